// The package http-proxy, which is not our dependency.
//   node dist/src/harness/peers/http-proxy.js PORT UPSTREAM_PORT DIRECTORY…
import { Agent } from 'node:http';
import { foreign } from './packages.js';

interface Server {
  on(event: 'error', handler: (error: Error, request: unknown, response: { destroy(): void }) => void): Server;
  listen(port: number, host: string): void;
}
interface HttpProxy {
  createProxyServer(options: object): Server;
}

const [port, upstream, ...directories] = process.argv.slice(2);
const found = foreign('http-proxy', directories) as HttpProxy | null;
if (found === null) throw new Error(`http-proxy is in no node_modules of ${directories.join(', ')}`);
found
  .createProxyServer({
    target: `http://127.0.0.1:${upstream}`,
    // Without an agent it opens a connection for each request.
    agent: new Agent({ keepAlive: true, maxSockets: 256 }),
  })
  .on('error', (_, __, response) => response.destroy())
  .listen(Number(port), '127.0.0.1');
