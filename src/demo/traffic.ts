// Light traffic through the demo's proxy: HTTP, a WebSocket, an echo and a mail client that waits to be spoken to.
import { connect } from 'node:net';
import { Pool, WebSocket } from 'undici';
import type { Ports } from './ports.js';

const EVERY_MS = { request: 15, echo: 400, mail: 900, chat: 1000 } as const;
const SOCKET_TIMEOUT_MS = 5000;

export interface Traffic {
  stop(): Promise<void>;
}

/** Starts to send. What fails is left to the proxy's metrics to show. */
export function startTraffic({ edge, chat: chatPort, mail }: Ports): Traffic {
  const pool = new Pool(`http://127.0.0.1:${edge}`, { connections: 16, headersTimeout: 5000, bodyTimeout: 5000 });
  const chat = chatting(chatPort);
  let sent = 0;
  const timers = [
    setInterval(() => request(pool), EVERY_MS.request),
    setInterval(() => talk(edge, `ping ${sent++}\n`, '\n'), EVERY_MS.echo),
    setInterval(() => talk(mail, 'QUIT\r\n', '221', '220'), EVERY_MS.mail),
    setInterval(() => chat.say(`message ${sent++}`), EVERY_MS.chat),
  ];
  return {
    async stop() {
      for (const timer of timers) clearInterval(timer);
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

/** A WebSocket that is opened anew when it is lost. */
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
