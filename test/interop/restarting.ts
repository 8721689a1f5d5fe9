// Endpoints that are restarted on their port as a deployment does it: they stop accepting, finish what is under way, are away, and
// come back. And clients that ask all the while and count what went wrong.
import { once } from 'node:events';
import { Agent, createServer as createHttp1Server, request } from 'node:http';
import { createServer as createHttp2Server, type ServerHttp2Session } from 'node:http2';
import { type AddressInfo, connect, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Http2Client } from '../support/http2.js';

const HOST = '127.0.0.1';

export type Spoken = 'http1' | 'http2' | 'opaque';

const made = new Set<Restarting>();
const active = new Set<Asking>();

/** Ends what tests that failed have left running: for after the last test of a file. */
export async function killAll(): Promise<void> {
  for (const one of active) void one.stop();
  await Promise.all([...made].map((endpoint) => endpoint.kill()));
}

export class Restarting {
  port = 0;
  served = 0;
  private server: Server | undefined;
  private readonly sessions = new Set<ServerHttp2Session>();
  private readonly sockets = new Set<Socket>();

  constructor(readonly spoken: Spoken) {
    made.add(this);
  }

  get address(): string {
    return `${HOST}:${this.port}`;
  }

  async start(): Promise<void> {
    const server = this.make();
    this.server = server;
    server.on('connection', (socket: Socket) => {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
      socket.on('error', () => undefined);
    });
    server.listen(this.port, HOST);
    await once(server, 'listening');
    this.port = (server.address() as AddressInfo).port;
  }

  /** Stops accepting, lets what is under way come to its end, and ends. */
  async stop(): Promise<void> {
    const { server } = this;
    if (server === undefined) return;
    const closed = new Promise((resolve) => server.close(resolve));
    for (const session of this.sessions) session.close();
    await closed;
  }

  async kill(): Promise<void> {
    const { server } = this;
    if (server === undefined) return;
    made.delete(this);
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  private make(): Server {
    switch (this.spoken) {
      case 'http1':
        // A response under way while it closes says so, and the connection ends behind it.
        return createHttp1Server((asked, response) => {
          this.served++;
          asked.resume();
          asked.once('end', () => {
            setTimeout(() => {
              if (this.server?.listening === false) response.setHeader('connection', 'close');
              response.end('hello');
            }, 2);
          });
        });
      case 'http2': {
        const server = createHttp2Server((asked, response) => {
          this.served++;
          asked.resume();
          response.stream.on('error', () => undefined);
          asked.once('end', () => setTimeout(() => response.stream.destroyed || response.end('hello'), 2));
        });
        server.on('sessionError', () => undefined);
        server.on('session', (session) => {
          this.sessions.add(session);
          session.once('close', () => this.sessions.delete(session));
        });
        return server;
      }
      case 'opaque':
        return createTcpServer((socket) => {
          this.served++;
          socket.once('data', (bytes) => socket.end(bytes));
        });
    }
  }
}

export interface Asking {
  asked: number;
  readonly failures: Map<string, number>;
  stop(): Promise<void>;
}

/** Asks at `port` in `lanes` lanes until it is stopped. */
export function asking(port: number, spoken: Spoken, lanes: number): Asking {
  const failures = new Map<string, number>();
  let running = true;
  const agent = new Agent({ keepAlive: true, maxSockets: lanes });
  let session: Promise<Http2Client> | undefined;
  const once1 = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const asked = request({ agent, port, host: HOST, path: '/' }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.once('end', () => resolve(`${response.statusCode} ${text.trim()}`));
        response.once('error', reject);
      });
      asked.once('error', reject);
      asked.end();
    });
  const once2 = async (): Promise<string> => {
    session ??= Http2Client.open(port);
    const body = Math.random() < 0.5 ? undefined : Buffer.alloc(1000);
    const { status, text } = await (await session).ask(
      { ':path': '/', ':method': body ? 'POST' : 'GET' },
      body === undefined ? {} : { body },
    );
    return `${status} ${text.trim()}`;
  };
  const onceOpaque = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connect(port, HOST, () => socket.write('\0hello'));
      let text = '';
      socket.on('data', (chunk) => {
        text += chunk.toString('latin1');
      });
      socket.once('error', reject);
      socket.once('end', () => resolve(text === '\0hello' ? '200 hello' : `end after ${text.length} bytes`));
    });
  const act = { http1: once1, http2: once2, opaque: onceOpaque }[spoken];
  const result: Asking = {
    asked: 0,
    failures,
    stop: async () => {
      running = false;
      active.delete(result);
      await Promise.all(all);
      agent.destroy();
      (await session)?.close();
    },
  };
  active.add(result);
  const lane = async (): Promise<void> => {
    while (running) {
      result.asked++;
      const said = await act().catch((error: Error) => error.message);
      if (said !== '200 hello') failures.set(said, (failures.get(said) ?? 0) + 1);
      await delay(3);
    }
  };
  const all = Array.from({ length: lanes }, lane);
  return result;
}
