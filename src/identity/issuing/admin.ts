// The admin port of the identity service: metrics, and whether it is ready.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';
import type { Address } from '../../config/model.js';
import { listenOn, portOf } from '../../listening/listen-address.js';

export interface IssuingAdminDeps {
  readonly registry: Registry;
  /** Why it is not ready; empty if it is. */
  readonly reasons: () => readonly string[];
  /** Other facts worth knowing. */
  readonly notes: () => readonly string[];
}

const TIMEOUT_MS = 5000;
const MAX_CONNECTIONS = 64;

export class IssuingAdmin {
  readonly #server: Server;

  constructor(private readonly deps: IssuingAdminDeps) {
    const timeouts = { headersTimeout: TIMEOUT_MS, requestTimeout: TIMEOUT_MS, keepAliveTimeout: TIMEOUT_MS };
    this.#server = createServer({ ...timeouts, connectionsCheckingInterval: 1000 }, (request, response) => {
      this.#answer(request, response).catch(() => response.destroy());
    });
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.setTimeout(3 * TIMEOUT_MS);
  }

  get port(): number {
    return portOf(this.#server);
  }

  listen(place: Address): Promise<void> {
    return listenOn(this.#server, place, 'for admin on');
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '/').split('?', 1)[0];
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return send(response, 405, 'only GET is allowed here', { Allow: 'GET' });
    switch (path) {
      case '/live':
        return send(response, 200, 'live');
      case '/ready': {
        const reasons = this.deps.reasons();
        const lines = [reasons.length === 0 ? 'ready' : 'not ready', ...reasons, ...this.deps.notes()];
        return send(response, reasons.length === 0 ? 200 : 503, lines.join('\n'));
      }
      case '/metrics':
        return send(response, 200, (await this.deps.registry.metrics()).trimEnd(), {
          'Content-Type': this.deps.registry.contentType,
        });
      default:
        return send(response, path === '/' ? 200 : 404, 'the pages are /metrics, /ready and /live');
    }
  }
}

function send(response: ServerResponse, status: number, body: string, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', 'Cache-Control': 'no-store', ...headers });
  response.end(`${body}\n`);
}
