// Speaks first, as mail servers do.
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';

const port = Number(process.env.PORT ?? 2525);
createServer((socket) => {
  socket.on('error', () => undefined);
  socket.write(`220 ${process.env.POD ?? 'mail'} ready\r\n`);
  socket.on('data', (data) => {
    if (/^quit/i.test(data.toString())) socket.end('221 bye\r\n');
    else socket.write('250 ok\r\n');
  });
}).listen(port, () => console.log(`listening on ${port}`));
// The kubelet asks here. A probe that only connects to 2525 would reach the proxy, which takes every connection.
createHttpServer((_request, response) => response.end('ok\n')).listen(Number(process.env.HEALTH_PORT ?? 8080));
process.on('SIGTERM', () => process.exit(0));
