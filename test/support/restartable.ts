// Endpoints that go down and come back at the same address. Each has a loopback address of its own, so that nobody else gets its port meanwhile.
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttp1 } from 'node:http';
import { createServer as createHttp2 } from 'node:http2';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { Http2Client } from './http2.js';

export type Speaks = 'http1' | 'http2' | 'opaque';
export const SPEAKS: readonly Speaks[] = ['http1', 'http2', 'opaque'];

/** A loopback address that no other test is likely to have. */
const host = (): string => `127.${randomInt(64, 128)}.${randomInt(256)}.${randomInt(1, 255)}`;

export class Restartable {
  /** Requests or connections served so far. */
  served = 0;
  private server: Server | undefined;
  private readonly sockets = new Set<Socket>();

  private constructor(
    readonly speaks: Speaks,
    private readonly host: string,
    private port: number,
  ) {}

  /** An endpoint that is up. */
  static async start(speaks: Speaks): Promise<Restartable> {
    const endpoint = new Restartable(speaks, host(), 0);
    await endpoint.start();
    return endpoint;
  }

  get address(): string {
    return `${this.host}:${this.port}`;
  }

  async start(): Promise<void> {
    const server = this.make();
    server.on('connection', (socket: Socket) => {
      this.sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => this.sockets.delete(socket));
    });
    server.listen(this.port, this.host);
    await once(server, 'listening');
    this.port = (server.address() as AddressInfo).port;
    this.server = server;
  }

  /** Ends at once, with all connections. */
  async stop(): Promise<void> {
    const { server } = this;
    if (server === undefined) return;
    this.server = undefined;
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  private make(): Server {
    if (this.speaks === 'opaque')
      return createServer((socket) => {
        this.served++;
        socket.pipe(socket);
      });
    if (this.speaks === 'http1')
      return createHttp1({ keepAliveTimeout: 0 }, (_request, response) => {
        this.served++;
        response.end('ok');
      });
    return createHttp2((_request, response) => {
      this.served++;
      response.end('ok');
    }).on('sessionError', () => undefined);
  }
}

/** One request, or bytes there and back. What came of it: a status, or 200 and 0 for opaque bytes. */
export async function ask(speaks: Speaks, port: number): Promise<{ status: number; reason: string | null }> {
  if (speaks === 'http1') {
    const response = await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } });
    await response.text();
    return { status: response.status, reason: response.headers.get('sluice-error') };
  }
  if (speaks === 'http2') {
    const client = await Http2Client.open(port);
    try {
      const { status, headers } = await client.ask();
      return { status, reason: (headers['sluice-error'] as string | undefined) ?? null };
    } finally {
      client.close();
    }
  }
  return await new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('\0echo'));
    const end = (status: number): void => {
      socket.destroy();
      resolve({ status, reason: null });
    };
    socket.once('data', () => end(200));
    socket.once('error', () => end(0));
    socket.once('close', () => end(0));
  });
}
