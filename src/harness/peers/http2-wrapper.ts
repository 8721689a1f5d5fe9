// node:http2 for clients, the package http2-wrapper towards the endpoint, with a single session as in typical proxies of this kind.
//   node dist/src/harness/peers/http2-wrapper.js PORT UPSTREAM_PORT DIRECTORY…
import type { IncomingMessage } from 'node:http';
import { type ClientHttp2Session, connect, createServer, type OutgoingHttpHeaders } from 'node:http2';
import type { Writable } from 'node:stream';
import { foreign } from './packages.js';

interface Wrapper {
  request(url: string, options: object, answered: (answer: IncomingMessage) => void): Writable;
}

const [port, upstream, ...directories] = process.argv.slice(2);
const wrapper = foreign('http2-wrapper', directories) as Wrapper | null;
if (wrapper === null) throw new Error(`http2-wrapper is in no node_modules of ${directories.join(', ')}`);
const origin = `http://127.0.0.1:${upstream}`;
let session: ClientHttp2Session | null = null;

function sessionOf(): ClientHttp2Session {
  if (session !== null && !session.closed && !session.destroyed) return session;
  session = connect(origin);
  session.on('error', () => undefined);
  return session;
}

const ordinary = (headers: object): OutgoingHttpHeaders =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith(':')));

createServer((request, response) => {
  const options = { method: request.method, headers: ordinary(request.headers), h2session: sessionOf() };
  const fail = (): void => {
    if (response.headersSent) response.stream.close();
    else response.writeHead(502).end();
  };
  const onward = wrapper.request(`${origin}${request.url}`, options, (answer) => {
    response.writeHead(answer.statusCode ?? 502, ordinary(answer.headers));
    answer.on('error', fail).on('end', () => response.addTrailers(answer.trailers));
    answer.pipe(response);
  });
  onward.on('error', fail);
  request.on('error', () => onward.destroy());
  request.pipe(onward);
}).listen(Number(port), '127.0.0.1', 4096);
