// The servers behind the demo's proxy: three HTTP and three gRPC servers of different speed, a WebSocket echo, a TCP echo, a mail server.
import type { RequestListener } from 'node:http';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { Server, Socket } from 'node:net';
import { createServer } from 'node:net';
import type { ServerPorts } from './ports.js';
import { echoWebSocket } from './websocket.js';

/** Response time of each HTTP server, ms. */
const DELAYS_MS = [2, 8, 30] as const;
/** The slowest server fails each time this many requests have come, so that the success rate is below 100 %. */
const FAIL_EVERY = 25;

function web(name: string, delayMs: number, failEvery: number): RequestListener {
  let served = 0;
  return (request, response) => {
    request.resume();
    served++;
    const status = served % failEvery === 0 ? 503 : 200;
    setTimeout(() => {
      response.writeHead(status, { 'Content-Type': 'text/plain' });
      response.end(`${status === 200 ? 'hello' : 'sorry'} from ${name}, ${delayMs} ms\n`);
    }, delayMs);
  };
}

/** Response time of each gRPC server, ms. */
const CALL_DELAYS_MS = [5, 5, 50] as const;

/** helloworld.Greeter from gRPC's examples: answers every call with a HelloReply that names the server. */
function greeter(name: string, delayMs: number): Server {
  const text = Buffer.from(`hello from ${name}, ${delayMs} ms\n`);
  // Not compressed, length; field 1, length.
  const reply = Buffer.concat([Buffer.from([0, 0, 0, 0, text.length + 2, 0x0a, text.length]), text]);
  return createHttp2Server().on('stream', (stream) => {
    stream.on('error', () => undefined).resume();
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    setTimeout(() => {
      if (stream.destroyed) return;
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.end(reply);
    }, delayMs);
  });
}

/** Just enough SMTP: a greeting, QUIT, and a refusal of everything else. */
function mail(socket: Socket): void {
  socket.write('220 mail.demo ESMTP ready\r\n');
  let line = '';
  socket.on('data', (chunk) => {
    line = (line + chunk.toString('latin1')).slice(-1024);
    if (!line.includes('\n')) return;
    if (/^quit/i.test(line)) socket.end('221 goodbye\r\n');
    else socket.write('502 this server only says hello; try QUIT\r\n');
    line = '';
  });
}

function listen(server: Server, port: number, what: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const hint = error.code === 'EADDRINUSE' ? `port ${port} is taken; end the program that has it` : error.message;
      reject(new Error(`cannot start ${what} on 127.0.0.1:${port}: ${hint}`));
    });
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

export interface Upstreams {
  close(): void;
}

/** Starts all servers or none. Rejects with the port that could not be bound. */
export async function startUpstreams(ports: ServerPorts): Promise<Upstreams> {
  const sockets = new Set<Socket>();
  const tcp = (serve: (socket: Socket) => void): Server =>
    createServer((socket) => {
      socket.on('error', () => socket.destroy());
      serve(socket);
    });
  const chat = createHttpServer((_request, response) => response.writeHead(426).end('this is a WebSocket echo\n'));
  chat.on('upgrade', echoWebSocket);
  const servers = [
    ...ports.web.map((port, index) => {
      const listener = web(`web-${index + 1}`, DELAYS_MS[index], index === 2 ? FAIL_EVERY : Number.POSITIVE_INFINITY);
      return { port, what: `web-${index + 1}`, server: createHttpServer(listener) };
    }),
    ...ports.greeter.map((port, index) => {
      const what = `greeter-${index + 1}`;
      return { port, what, server: greeter(what, CALL_DELAYS_MS[index]) };
    }),
    { port: ports.chat, what: 'the WebSocket echo', server: chat },
    { port: ports.echo, what: 'the TCP echo', server: tcp((socket) => socket.pipe(socket)) },
    { port: ports.mail, what: 'the mail server', server: tcp(mail) },
  ];
  const close = (): void => {
    for (const { server } of servers) server.close();
    for (const socket of sockets) socket.destroy();
  };
  for (const { server } of servers) {
    server.on('connection', (socket: Socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
    });
  }
  try {
    await Promise.all(servers.map(({ server, port, what }) => listen(server, port, what)));
  } catch (error) {
    close();
    throw error;
  }
  return { close };
}
