// Clients and servers for the tests of the process life. The clients are strict: what a real one may not repeat they don't.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Server, type Socket } from 'node:net';
import { Wire } from '../support/http.js';

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

/** A raw HTTP/1 client: no retries, no pool. */
export const open = async (port: number): Promise<Wire> => new Wire(await dial(port));

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
    let connection: Wire | undefined;
    while (running) {
      try {
        connection ??= await open(port);
        // Whatever the server has said about this connection is heard before it is used again.
        await new Promise((resolve) => setImmediate(resolve));
        if (connection.end !== undefined) {
          connection.destroy();
          connection = undefined;
          continue;
        }
        const { start, status, field } = await connection.get('/', keepAlive ? '' : 'Connection: close\r\n');
        if (status !== 200) failures.push(start);
        count++;
        if (!keepAlive || field('connection')?.toLowerCase() === 'close') {
          connection.destroy();
          connection = undefined;
        }
      } catch (error) {
        failures.push(
          error instanceof Error ? `${error.message} (${keepAlive ? 'kept alive' : 'new'})` : String(error),
        );
        connection?.destroy();
        connection = undefined;
      }
    }
    connection?.destroy();
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
