// The admin port: node:http on the main thread, for probes, scrapers and people. Nothing here may take the proxy down.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import { type AddressInfo, isIP } from 'node:net';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Address } from '../config/model.js';
import type { Logger } from '../log/logger.js';
import type { BinaryPage, Exposition, Page } from '../metrics/exposition.js';
import type { Answer, Streamed } from './answer.js';
import { text } from './answer.js';
import type { RouteDeps } from './request.js';
import { Routes } from './routes.js';

export interface AdminDeps extends RouteDeps {
  readonly logger: Pick<Logger, 'warn' | 'error'>;
}

/** Limits on slow or hostile clients. */
export interface AdminLimits {
  /** From the connection, or the end of the last response, to the end of a request's head, ms. */
  readonly headersTimeoutMs: number;
  /** To the end of the whole request, ms. */
  readonly requestTimeoutMs: number;
  /** Silence before a connection is closed, also of a reader that does not read, ms. */
  readonly idleTimeoutMs: number;
  readonly maxConnections: number;
}

export const ADMIN_LIMITS: AdminLimits = {
  headersTimeoutMs: 5000,
  requestTimeoutMs: 10_000,
  idleTimeoutMs: 15_000,
  maxConnections: 128,
};

/** Maximum bytes of a request body. The longest useful one is a log level. */
const MAX_BODY_BYTES = 1024;
/** Pages shorter than this are not worth compressing, bytes. */
const MIN_GZIP_BYTES = 1024;
/** Node checks for timed-out requests only this often, even if there are none; its default is 30 s. */
const MAX_CHECK_MS = 5000;

const compress = promisify(gzip);

export class AdminServer {
  readonly #deps: AdminDeps;
  readonly #routes: Routes;
  readonly #server: Server;
  readonly #limits: AdminLimits;
  #exposition: Promise<Exposition> | null = null;

  constructor(deps: AdminDeps, limits: AdminLimits = ADMIN_LIMITS) {
    this.#deps = deps;
    this.#limits = limits;
    this.#routes = new Routes(deps, (accept) => this.#page(accept));
    this.#server = createServer(
      {
        maxHeaderSize: 8192,
        headersTimeout: limits.headersTimeoutMs,
        requestTimeout: limits.requestTimeoutMs,
        keepAliveTimeout: limits.headersTimeoutMs,
        connectionsCheckingInterval: Math.min(limits.headersTimeoutMs, MAX_CHECK_MS),
      },
      (request, response) => {
        this.#serve(request, response).catch((error: unknown) => this.#crashed(request, response, error));
      },
    );
    this.#server.maxConnections = limits.maxConnections;
    this.#server.setTimeout(limits.idleTimeoutMs);
  }

  /** Resolves once connections are accepted; rejects with the address and a remedy if it cannot be bound. */
  listen(address: Address): Promise<void> {
    return new Promise((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException): void => reject(bindError(address, error));
      this.#server.once('error', failed);
      this.#server.listen(address.port, address.host, () => {
        this.#server.off('error', failed);
        this.#server.on('error', (error) => this.#deps.logger.error('admin server failed', { error }));
        resolve();
      });
    });
  }

  /** The actual port, for `port: 0`. */
  get port(): number {
    return (this.#server.address() as AddressInfo | null)?.port ?? 0;
  }

  /** Closes the port and every connection. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  /** The page's code is loaded for the first scrape: it takes 3 MB and 15 ms, which a start should not wait for. */
  async #page(accept: string): Promise<Page | BinaryPage | null> {
    const { reader, version, executor, maxScrapes } = this.#deps;
    this.#exposition ??= import('../metrics/exposition.js').then(
      (made) => new made.Exposition(reader, { version, executor }, { most: maxScrapes }),
    );
    return (await this.#exposition).answer(accept);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const method = request.method === 'HEAD' ? 'GET' : (request.method ?? '');
    const [path, query = ''] = (request.url ?? '/').split('?', 2);
    const body = method === 'GET' ? '' : await readBody(request);
    if (body === null) {
      // The rest of the body is not read, so the connection cannot continue.
      response.shouldKeepAlive = false;
      return send(request, response, text(413, `a body of more than ${MAX_BODY_BYTES} bytes is not accepted`));
    }
    const { socket, headers } = request;
    const answer = await this.#routes.answer({
      method,
      path,
      query: new URLSearchParams(query),
      accept: headers.accept ?? '',
      body,
      // Web pages in a browser on this machine can reach the loopback address too, but are recognised by their origin, or by the name that
      // they use for this address.
      trusted: isLoopback(socket.remoteAddress ?? '') && headers.origin === undefined && isLocal(headers.host ?? ''),
      takes: (ms) => socket.setTimeout(this.#limits.idleTimeoutMs + ms),
    });
    socket.setTimeout(this.#limits.idleTimeoutMs);
    if ('stream' in answer) stream(request, response, answer);
    else await send(request, response, answer);
  }

  #crashed(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    if (request.destroyed && !request.complete) {
      response.destroy();
      return;
    }
    this.#deps.logger.error('admin request failed', { method: request.method, url: request.url, error });
    if (response.headersSent) response.destroy();
    else response.writeHead(500, { 'Content-Type': 'text/plain' }).end('internal error; the log says more\n');
  }
}

/** The request's body; null if it is too long. Rejects if the client goes away before its end. */
async function readBody(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_BODY_BYTES) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

async function send(request: IncomingMessage, response: ServerResponse, answer: Answer): Promise<void> {
  const zipped = answer.body.length >= MIN_GZIP_BYTES && acceptsGzip(String(request.headers['accept-encoding'] ?? ''));
  const body = zipped ? await compress(answer.body) : Buffer.from(answer.body);
  response.writeHead(answer.status, {
    'Content-Type': answer.type,
    'Content-Length': body.length,
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    ...answer.headers,
    ...(zipped ? { 'Content-Encoding': 'gzip' } : {}),
  });
  response.end(body);
}

/** Never compressed, because data must be sent at once. */
function stream(request: IncomingMessage, response: ServerResponse, answer: Streamed): void {
  response.writeHead(200, {
    'Content-Type': answer.type,
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  });
  const left = answer.stream({
    get ready() {
      return response.writableLength === 0;
    },
    get waiting() {
      return response.writableLength;
    },
    write: (text) => {
      if (request.method !== 'HEAD') response.write(text);
    },
    end: () => response.destroy(),
  });
  if (request.method === 'HEAD') response.end();
  if (request.method === 'HEAD' || response.destroyed) left();
  else response.once('close', left);
}

/** Whether an Accept-Encoding header names gzip, with a weight other than 0. */
function acceptsGzip(header: string): boolean {
  return header.split(',').some((part) => {
    const [coding, weight] = part.split(';').map((piece) => piece.trim().toLowerCase());
    return coding === 'gzip' && !/^q=0(\.0*)?$/.test(weight ?? '');
  });
}

function isLoopback(address: string): boolean {
  return address === '::1' || /^(::ffff:)?127\./.test(address);
}

/**
 * Whether a Host header is an address, or a name that always means this machine: any other name may belong to somebody with a DNS server.
 */
function isLocal(host: string): boolean {
  const name = host.replace(/:\d+$/, '').toLowerCase();
  return name === '' || name === 'localhost' || name.endsWith('.localhost') || isIP(name.replace(/^\[|\]$/g, '')) !== 0;
}

function bindError(address: Address, error: NodeJS.ErrnoException): Error {
  const shown = `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
  const advice: Readonly<Record<string, string>> = {
    EADDRINUSE: 'the port is taken; end the process that has it or set another admin.listen',
    EADDRNOTAVAIL: 'this host has no such address; set another admin.listen',
    EACCES: 'ports below 1024 need a privilege; set another admin.listen',
  };
  const reason = advice[error.code ?? ''] ?? error.message;
  return new Error(`cannot listen for admin on ${shown}: ${reason} (${error.code ?? 'unknown'})`, { cause: error });
}
