// Light traffic through the demo's proxy: HTTP, gRPC, a WebSocket, an echo, and a mail client that waits for the server's greeting.
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { Pool, WebSocket } from 'undici';
import type { Ports } from './ports.js';

const EVERY_MS = { request: 15, calls: 100, echo: 400, mail: 900, chat: 1000 } as const;
const SOCKET_TIMEOUT_MS = 5000;
/** Concurrent calls on one connection. */
const CALLS = 6;

export interface Traffic {
  stop(): Promise<void>;
}

/** Starts sending. Failures are only visible in the proxy's metrics. */
export function startTraffic({ edge, chat: chatPort, mail }: Ports): Traffic {
  const pool = new Pool(`http://127.0.0.1:${edge}`, { connections: 16, headersTimeout: 5000, bodyTimeout: 5000 });
  const greeter = calling(edge);
  const chat = chatting(chatPort);
  let sent = 0;
  const timers = [
    setInterval(() => request(pool), EVERY_MS.request),
    setInterval(() => greeter.call(CALLS), EVERY_MS.calls),
    setInterval(() => talk(edge, `ping ${sent++}\n`, '\n'), EVERY_MS.echo),
    setInterval(() => talk(mail, 'QUIT\r\n', '221', '220'), EVERY_MS.mail),
    setInterval(() => chat.say(`message ${sent++}`), EVERY_MS.chat),
  ];
  return {
    async stop() {
      for (const timer of timers) clearInterval(timer);
      greeter.close();
      chat.close();
      await pool.destroy();
    },
  };
}

function request(pool: Pool): void {
  pool
    .request({ method: 'GET', path: '/' })
    .then(({ body }) => body.dump())
    .catch(() => undefined);
}

/** gRPC calls over one connection, which is reopened when it is lost. */
function calling(port: number): { call(count: number): void; close(): void } {
  const head = {
    ':method': 'POST',
    ':path': '/helloworld.Greeter/SayHello',
    'content-type': 'application/grpc',
    te: 'trailers',
  };
  let session: ClientHttp2Session | undefined;
  return {
    call(count) {
      if (session === undefined || session.closed || session.destroyed) {
        session = connectHttp2(`http://127.0.0.1:${port}`).on('error', () => undefined);
      }
      for (let i = 0; i < count; i++) {
        const stream = session.request(head).on('error', () => undefined);
        // Not compressed, length 0: a HelloRequest without a name.
        stream.resume().end(Buffer.alloc(5));
      }
    },
    close: () => session?.destroy(),
  };
}

/** Sends `line` (after the server's `greeting`, if there is one), waits for `answer` and closes. */
function talk(port: number, line: string, answer: string, greeting = ''): void {
  let received = '';
  let said = greeting === '';
  const socket = connect(port, '127.0.0.1', () => said && socket.write(line));
  socket.setTimeout(SOCKET_TIMEOUT_MS, () => socket.destroy());
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => {
    received += chunk;
    if (!said && received.includes(greeting)) {
      said = true;
      socket.write(line);
    } else if (said && received.includes(answer)) socket.end();
  });
}

/** A WebSocket that is reopened when it is lost. */
function chatting(port: number): { say(text: string): void; close(): void } {
  let socket: WebSocket | undefined;
  return {
    say(text) {
      if (socket === undefined || socket.readyState === WebSocket.CLOSED) {
        socket = new WebSocket(`ws://127.0.0.1:${port}/`);
        socket.addEventListener('error', () => undefined);
      } else if (socket.readyState === WebSocket.OPEN) socket.send(text);
    },
    close: () => socket?.close(),
  };
}
