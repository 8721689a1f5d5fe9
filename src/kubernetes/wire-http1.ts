// HTTP/1.1 connections, for a server, or something in front of it, without HTTP/2: each watch occupies one.
import { type buildConnector, Pool } from 'undici';
import type { TlsParts } from './access.js';
import type { Received, Sent, Wire, WireTimes } from './wire.js';

/** Four watches, plus concurrent calls. */
const MAX_CONNECTIONS = 32;

export class Http1Wire implements Wire {
  readonly protocol = 'http/1.1';
  readonly #pool: Pool;

  constructor(server: URL, tls: TlsParts, { connectMs, pingMs }: WireTimes) {
    const connect: buildConnector.BuildOptions = {
      ...tls,
      allowH2: false,
      timeout: connectMs,
      keepAlive: true,
      keepAliveInitialDelay: pingMs,
    };
    // The caller limits the total time.
    this.#pool = new Pool(server.origin, {
      connect,
      connections: MAX_CONNECTIONS,
      pipelining: 1,
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  get ended(): boolean {
    return this.#pool.destroyed || this.#pool.closed;
  }

  async send({ method, path, headers, body }: Sent, signal: AbortSignal): Promise<Received> {
    const answer = await this.#pool.request({ method: method as 'GET', path, headers, body, signal });
    const retryAfter = answer.headers['retry-after'];
    return {
      status: answer.statusCode,
      retryAfter: Array.isArray(retryAfter) ? retryAfter[0] : retryAfter,
      body: answer.body,
      discard: () => answer.body.on('error', () => undefined).destroy(),
    };
  }

  leave(): void {
    if (!this.ended) void this.#pool.close();
  }

  destroy(): void {
    void this.#pool.destroy();
  }
}
