// Clients and servers for the tests of the process life. The clients are strict: what a real one may not repeat they don't.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Server, type Socket } from 'node:net';

export interface Origin {
  readonly port: number;
  readonly close: () => Promise<void>;
}

/** An HTTP server on a port of the kernel's choosing. */
export async function httpOrigin(
  answer: (request: IncomingMessage, response: ServerResponse) => void = (_, response) => response.end('hello'),
): Promise<Origin> {
  const server = createServer(answer);
  server.keepAliveTimeout = 0;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { port: (server.address() as AddressInfo).port, close };
}

/** Listens on a port of the kernel's choosing and returns it. */
export async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** One service, one listener that is told what it carries. */
export const basicConfig = (originPort: number, more = ''): string =>
  `listeners:\n  - { name: edge, listen: "127.0.0.1:0", protocol: http1, service: web }\n` +
  `services:\n  web: { protocol: http1, endpoints: ["127.0.0.1:${originPort}"] }\n${more}`;

/** Connects, again and again while the port refuses; everything else is an error. */
export async function dial(port: number, patienceMs = 10_000): Promise<Socket> {
  const end = performance.now() + patienceMs;
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    socket.setNoDelay(true);
    try {
      await once(socket, 'connect');
      return socket;
    } catch (error) {
      const refused = (error as NodeJS.ErrnoException).code === 'ECONNREFUSED';
      if (!refused || performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

export interface Answer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

/** An HTTP/1 client on one raw connection: no retries, no pool. */
export class Connection {
  private buffered = '';
  private ended = false;
  private error: Error | undefined;
  private wake: () => void = () => undefined;

  constructor(readonly socket: Socket) {
    socket.setEncoding('latin1');
    const changed = (change: () => void) => () => {
      change();
      this.wake();
    };
    socket.on('data', (chunk: string) => {
      this.buffered += chunk;
      this.wake();
    });
    socket.on('error', (error) => {
      this.error = error;
      this.wake();
    });
    socket.on(
      'end',
      changed(() => (this.ended = true)),
    );
    socket.on(
      'close',
      changed(() => (this.ended = true)),
    );
  }

  static async open(port: number): Promise<Connection> {
    return new Connection(await dial(port));
  }

  /** The server has ended it. */
  get over(): boolean {
    return this.ended || this.error !== undefined;
  }

  write(text: string): void {
    this.socket.write(text);
  }

  async until(condition: () => boolean, what: string): Promise<void> {
    while (!condition()) {
      if (this.over) throw this.error ?? new Error(`the connection ended before ${what}; got ${this.buffered}`);
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  /** The next answer; throws if the connection ends before it is whole. Understands Content-Length only. */
  async answer(): Promise<Answer> {
    await this.until(() => this.buffered.includes('\r\n\r\n'), 'the answer');
    const end = this.buffered.indexOf('\r\n\r\n') + 4;
    const head = this.buffered.slice(0, end);
    const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
    await this.until(() => this.buffered.length >= end + length, 'the end of the body');
    const body = this.buffered.slice(end, end + length);
    this.buffered = this.buffered.slice(end + length);
    return { status: Number(head.slice(9, 12)), head, body };
  }

  async get(path = '/', headers = ''): Promise<Answer> {
    this.write(`GET ${path} HTTP/1.1\r\nHost: test\r\n${headers}\r\n`);
    return this.answer();
  }

  /** Resolves when the server has ended the connection. */
  async end(): Promise<void> {
    while (!this.over) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  close(): void {
    this.socket.destroy();
  }
}

export interface Load {
  readonly failures: string[];
  /** Requests answered so far. */
  readonly count: () => number;
  /** Ends after the requests under way. */
  readonly stop: () => Promise<void>;
}

/**
 * `clients` that send one request after the other: on one connection for as long as it lasts, or on one each. A connection
 * that was refused is tried again, and one that was ended before the next request was written is replaced; anything else
 * is a failure.
 */
export function load(port: number, clients: number, keepAlive: boolean): Load {
  const failures: string[] = [];
  let count = 0;
  let running = true;
  const run = async (): Promise<void> => {
    let connection: Connection | undefined;
    while (running) {
      try {
        connection ??= await Connection.open(port);
        // Whatever the server has said about this connection is heard before it is used again.
        await new Promise((resolve) => setImmediate(resolve));
        if (connection.over) {
          connection.close();
          connection = undefined;
          continue;
        }
        const { status, head } = await connection.get('/', keepAlive ? '' : 'Connection: close\r\n');
        if (status !== 200) failures.push(head);
        count++;
        if (!keepAlive || /^connection: *close/im.test(head)) {
          connection.close();
          connection = undefined;
        }
      } catch (error) {
        failures.push(
          error instanceof Error ? `${error.message} (${keepAlive ? 'kept alive' : 'new'})` : String(error),
        );
        connection?.close();
        connection = undefined;
      }
    }
    connection?.close();
  };
  const done = Promise.all(Array.from({ length: clients }, run));
  return {
    failures,
    count: () => count,
    stop: async () => {
      running = false;
      await done;
    },
  };
}
