// What the soak's traffic reaches: an HTTP server with every kind of body, and a TCP server that echoes or streams.
import { createServer as createHttpServer } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { patternAt } from '../pattern.js';

export const SMALL_BODY = '0123456789012345678901234567890123456789';

/** Streams `size` bytes of the pattern; waits for the reader. */
export function writePattern(out: Writable, size: number, piece: number, done: () => void): void {
  let sent = 0;
  const more = (): void => {
    while (sent < size) {
      if (out.destroyed) return;
      const chunk = patternAt(sent, Math.min(piece, size - sent));
      sent += chunk.length;
      if (!out.write(chunk)) {
        out.once('drain', more);
        return;
      }
    }
    done();
  };
  more();
}

/** A request and its response as Node's servers of both versions of HTTP have them. */
interface Request extends Readable {
  readonly url?: string | undefined;
}
interface Response extends Writable {
  writeHead(status: number, headers?: Record<string, number | string>): unknown;
}

/** `breakOff` cuts the response short. */
export function respond(request: Request, response: Response, breakOff: () => void): void {
  const url = new URL(request.url ?? '/', 'http://bench');
  const size = Number(url.searchParams.get('n') ?? 0);
  switch (url.pathname) {
    case '/bytes':
      response.writeHead(200, { 'content-length': size });
      writePattern(response, size, 256 * 1024, () => response.end());
      return;
    case '/chunked':
      response.writeHead(200);
      writePattern(response, size, 1 + (size % 7919), () => response.end());
      return;
    case '/echo':
      response.writeHead(200);
      request.pipe(response);
      return;
    case '/ticks':
      response.writeHead(200);
      writePattern(response, size, 200, () => response.end());
      return;
    case '/events':
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(patternAt(0, 100));
      return;
    case '/slow':
      setTimeout(() => response.end(), Number(url.searchParams.get('ms')));
      return;
    case '/early':
      response.writeHead(413);
      response.end();
      return;
    case '/head':
      response.writeHead(200, { 'x-large': 'v'.repeat(size), 'content-length': 0 });
      response.end();
      return;
    case '/reset':
      // Promises more than it sends, then resets: whoever reads must notice.
      response.writeHead(200, { 'content-length': size * 2 + 1 });
      writePattern(response, size, 64 * 1024, () => setTimeout(breakOff, 5));
      return;
    default:
      response.writeHead(200, { 'content-length': SMALL_BODY.length });
      response.end(SMALL_BODY);
  }
}

/** `/`, `/bytes?n=`, `/chunked?n=`, `/ticks?n=`, `/events`, `/slow?ms=`, `/early`, `/head?n=`, `/echo`, `/reset?n=`, and `Upgrade` to an echo. */
export function httpUpstream(): Server {
  const server = createHttpServer(
    { keepAliveTimeout: 0, requestTimeout: 0, maxHeaderSize: 128 * 1024 },
    (request, response) => respond(request, response, () => request.socket.resetAndDestroy()),
  );
  server.on('upgrade', (_request, socket: Socket, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
    if (head.length > 0) socket.write(head);
    socket.pipe(socket);
  });
  return server;
}

/** First bytes of a request to the TCP server for a stream: then 8 bytes of size, little endian. */
export const STREAM_REQUEST = Buffer.from([0, 0x53]);
/** Anything else is echoed. It begins with a byte that no known protocol begins with. */
export const ECHO_FIRST_BYTE = 1;

export function tcpUpstream(): Server {
  return createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    socket.once('data', (first) => {
      if (first[0] === ECHO_FIRST_BYTE) {
        socket.write(first);
        socket.pipe(socket);
        return;
      }
      if (first.length < 10) return void socket.destroy();
      writePattern(socket, Number(first.readBigUInt64LE(2)), 256 * 1024, () => socket.end());
      socket.resume();
    });
  });
}

/** Listens on 127.0.0.1:port. */
export function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', 4096, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
