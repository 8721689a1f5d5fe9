// An endpoint that speaks both versions of HTTP on one port, as Go's with h2c, hypercorn and Jetty do: it looks at the first octets.
import { once } from 'node:events';
import { createServer as createHttp1Server } from 'node:http';
import { createServer as createHttp2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { WebSocketServer } from 'ws';

const HOST = '127.0.0.1';

export interface DualEndpoint {
  readonly address: string;
  /** Connections that began with the preface of HTTP/2, and all others. */
  readonly connections: { http1: number; http2: number };
  /** What it speaks from the next connection on; those that are open go on. */
  speaks: { http1: boolean; http2: boolean };
  /** What becomes of a connection in a version that it does not speak. */
  refuse: (socket: Socket) => void;
  close(): Promise<void>;
}

function answer(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  stream.on('error', () => undefined);
  if (headers['content-type'] !== 'application/grpc') {
    stream.respond({ ':status': 200 });
    stream.end('by HTTP/2');
    return;
  }
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.pipe(stream);
}

/** Answers in the version in which it is asked; gRPC calls and WebSockets are echoed. By HTTP/1, gRPC gets the 505 of grpc-go. */
export async function dualEndpoint(): Promise<DualEndpoint> {
  const http1 = createHttp1Server((request, response) => {
    request.resume();
    const grpc = request.headers['content-type'] === 'application/grpc';
    response.writeHead(grpc ? 505 : 200).end(grpc ? 'gRPC requires HTTP/2' : 'by HTTP/1');
  });
  const sockets = new WebSocketServer({ server: http1 });
  sockets.on('connection', (socket) => socket.on('message', (message) => socket.send(message.toString())));
  const http2 = createHttp2Server();
  http2.on('stream', answer);
  http2.on('sessionError', () => undefined);
  const open = new Set<Socket>();
  const connections = { http1: 0, http2: 0 };
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => open.delete(socket));
    socket.once('readable', () => {
      const first: Buffer | null = socket.read();
      if (first === null) return;
      const version = first.toString('latin1').startsWith('PRI ') ? 'http2' : 'http1';
      connections[version]++;
      if (!endpoint.speaks[version]) {
        endpoint.refuse(socket);
        return;
      }
      socket.unshift(first);
      (version === 'http2' ? http2 : http1).emit('connection', socket);
    });
  });
  server.listen(0, HOST);
  await once(server, 'listening');
  const endpoint: DualEndpoint = {
    address: `${HOST}:${(server.address() as AddressInfo).port}`,
    connections,
    speaks: { http1: true, http2: true },
    refuse: (socket) => socket.destroy(),
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
  return endpoint;
}
