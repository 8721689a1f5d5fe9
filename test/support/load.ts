// Loads in tests: small ones, which end when something has happened and not after a time.

import { createServer, type Server as HttpServer, type RequestListener } from 'node:http';
import {
  createServer as createHttp2Server,
  createSecureServer,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type SecureServerOptions,
  type ServerOptions,
} from 'node:http2';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import type { TlsOptions } from 'node:tls';
import type { LoadPlan, LoadTarget } from '../../src/load/plan.js';
import type { LoadResult } from '../../src/load/result.js';
import { runLoad } from '../../src/load/run.js';

export function target(port: number, more: Partial<LoadTarget> = {}): LoadTarget {
  return { address: '127.0.0.1', port, authority: `127.0.0.1:${port}`, path: '/', weight: 1, ...more };
}

/** One thread with a few connections in a closed loop, for a minute; without a warm-up. */
export function loadPlan(targets: readonly LoadTarget[], more: Partial<LoadPlan> = {}): LoadPlan {
  return {
    protocol: 'http1',
    targets,
    method: 'GET',
    headers: [],
    bodyBytes: 0,
    pace: { kind: 'closed', thinkMs: 0 },
    connections: 4,
    streams: 1,
    keepAlive: true,
    threads: 1,
    warmupSeconds: 0,
    seconds: 60,
    timeoutMs: 30_000,
    io: 'auto',
    tls: null,
    ...more,
  };
}

/** Ends a load when `happened` has been called so often. */
export class Enough {
  private readonly controller = new AbortController();
  private left: number;

  constructor(times: number) {
    this.left = times;
  }

  happened(): void {
    if (--this.left === 0) this.controller.abort();
  }

  end(): void {
    this.controller.abort();
  }

  run(plan: LoadPlan): Promise<LoadResult> {
    return runLoad(plan, () => undefined, this.controller.signal);
  }
}

/** To its end. */
export const runToEnd = (plan: LoadPlan): Promise<LoadResult> =>
  runLoad(plan, () => undefined, new AbortController().signal);

export interface Listening {
  readonly port: number;
  close(): Promise<void>;
}

async function listening(server: Server | HttpServer | Http2Server, sockets: Set<Socket>): Promise<Listening> {
  const seen = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  };
  server.on('connection', seen);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** Node's own server of HTTP/1. */
export const httpServer = (listener: RequestListener): Promise<Listening> =>
  listening(createServer(listener), new Set());

/** A server that does with its connections what it likes. */
export const tcpServer = (connection: (socket: Socket) => void): Promise<Listening> =>
  listening(createTcpServer(connection), new Set());

type Http2Listener = (request: Http2ServerRequest, response: Http2ServerResponse) => void;

/** Node's own server of HTTP/2. */
export const http2Server = (listener: Http2Listener, options: ServerOptions = {}): Promise<Listening> =>
  listening(createHttp2Server(options, listener), new Set());

export const https2Server = (listener: Http2Listener, options: SecureServerOptions): Promise<Listening> =>
  listening(
    createSecureServer(options, listener).on('tlsClientError', () => undefined),
    new Set(),
  );

export const httpsServer = (listener: RequestListener, options: TlsOptions): Promise<Listening> =>
  listening(
    createHttpsServer(options, listener).on('tlsClientError', () => undefined),
    new Set(),
  );
