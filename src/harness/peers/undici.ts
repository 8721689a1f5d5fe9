// A typical self-written proxy: node:http, with undici's pool towards the endpoint.
//   node dist/src/harness/peers/undici.js PORT UPSTREAM_PORT
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { Pool } from 'undici';

const CONNECTIONS = 256;
/** Fields of the connection rather than the message (RFC 9110, 7.6.1). */
const HOP = ['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'te', 'upgrade', 'host'];

const forwarded = (headers: IncomingHttpHeaders): IncomingHttpHeaders =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !HOP.includes(name)));

const [port, upstream] = process.argv.slice(2).map(Number);
const pool = new Pool(`http://127.0.0.1:${upstream}`, { connections: CONNECTIONS });

createServer((request, response) => {
  const { method = 'GET', url = '/', headers } = request;
  const body = method === 'GET' || method === 'HEAD' ? null : request;
  const fail = (): void => {
    if (response.headersSent) response.destroy();
    else response.writeHead(502).end();
  };
  pool
    .stream({ method, path: url, headers: forwarded(headers), body, opaque: response }, (answer) => {
      response.writeHead(answer.statusCode, forwarded(answer.headers));
      return response;
    })
    .catch(fail);
}).listen(port, '127.0.0.1', 4096);
