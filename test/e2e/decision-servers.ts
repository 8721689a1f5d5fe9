// The other end of the decision tree: ports on which the server speaks first, and ports of TLS. Runs as a process in pods of
// pods-decisions.test.ts: ports of the first kind, a `-`, ports of the second. What it says is what it has seen.
import { createServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { fileURLToPath } from 'node:url';

export const SERVERS = fileURLToPath(import.meta.url);

const greet = (socket: Socket): void => {
  socket.on('error', () => undefined).end(`served ${socket.localPort}\n`);
};

if (process.argv[1] === SERVERS) {
  const args = process.argv.slice(2);
  const kinds = args.indexOf('-');
  const { CERTIFICATE: cert, KEY: key } = process.env;
  for (const port of args.slice(0, kinds)) createServer({ allowHalfOpen: true }, greet).listen(Number(port), '0.0.0.0');
  for (const port of args.slice(kinds + 1)) createTlsServer({ cert, key }, greet).listen(Number(port), '0.0.0.0');
  process.on('SIGTERM', () => process.exit(0));
}
