import { parseHostPort, ValueError } from '../config/values.js';
import type { DashboardPage } from '../dashboard/page.js';
import type { LiveFeed } from '../live/feed.js';
import { LOG_LEVELS } from '../log/logger.js';
import type { BinaryPage, Page } from '../metrics/exposition.js';
import type { Client } from '../policy/explain-authorization.js';
import type { Answer, Streamed } from './answer.js';
import { json, text } from './answer.js';
import type { HistogramPages } from './histograms.js';
import type { RouteInfo } from './index-page.js';
import { indexPage } from './index-page.js';
import type { AdminRequest, RouteDeps } from './request.js';

/** Loaded when somebody asks for it. */
const live = () => import('./live.js');

interface Route extends RouteInfo {
  answer(request: AdminRequest): Answer | Promise<Answer | Streamed>;
}

export class Routes {
  readonly #deps: RouteDeps;
  readonly #page: (accept: string) => Promise<Page | BinaryPage | null>;
  readonly #startedMs = Date.now();
  readonly #routes: readonly Route[];
  #feed: Promise<LiveFeed> | null = null;
  #pages: Promise<HistogramPages> | undefined;
  #dashboard: DashboardPage | null = null;

  /** `page`: the metrics, in the format preferred by an Accept header; null if too many are being made. */
  constructor(deps: RouteDeps, page: (accept: string) => Promise<Page | BinaryPage | null>) {
    this.#deps = deps;
    this.#page = page;
    this.#routes = this.#build();
  }

  /** The answer to a request; 404 and 405 list what exists. */
  async answer(request: AdminRequest): Promise<Answer | Streamed> {
    if (request.path === '/') {
      if (request.method !== 'GET') return notAllowed('/', ['GET']);
      return indexPage(this.#routes, `Sluice ${this.#deps.version}`, request.accept.includes('text/html'));
    }
    const route =
      this.#routes.find(({ path }) => path === request.path) ??
      this.#routes.find(({ path }) => path.includes('<') && request.path.startsWith(path.slice(0, path.indexOf('<'))));
    if (route === undefined) {
      return text(404, `no such page: ${request.path}\nThere are ${this.#routes.map(({ path }) => path).join(', ')}.`);
    }
    if (!route.methods.includes(request.method)) return notAllowed(route.path, route.methods);
    return route.answer(request);
  }

  #build(): readonly Route[] {
    const routes: Route[] = [
      {
        path: '/metrics',
        methods: ['GET'],
        summary: 'all metrics, for Prometheus (text, OpenMetrics or protocol buffers, by the Accept header)',
        example: 'curl localhost:4191/metrics',
        answer: async ({ accept }) => {
          const page = await this.#page(accept);
          if (page === null) {
            const headers = { 'Retry-After': '1' };
            return text(503, 'too many pages are being made already (metrics.maxScrapes); ask again', headers);
          }
          const body = 'octets' in page ? page.octets : page.body;
          return { status: 200, type: page.contentType, body, headers: { Vary: 'Accept' } };
        },
      },
      {
        path: '/ready',
        methods: ['GET'],
        summary:
          '200 once all workers accept and a service has endpoints; 503 with the reasons before, and while draining',
        example: 'curl -f localhost:4191/ready',
        answer: () => {
          const { ok, reasons, notes = [] } = this.#deps.ready();
          return ok
            ? text(200, ['ready', ...notes].join('\n'))
            : text(503, ['not ready', ...reasons, ...notes].join('\n'));
        },
      },
      {
        path: '/live',
        methods: ['GET'],
        summary: '200 as long as the process can answer',
        example: 'curl -f localhost:4191/live',
        answer: () => text(200, 'live'),
      },
      {
        path: '/histograms',
        methods: ['GET'],
        summary:
          'the available latency histograms; with `format=log` or `format=full` all of them, with `interval=10s` or `interval=1m` of that time',
        example: "curl 'localhost:4191/histograms?format=log&interval=10s'",
        answer: async ({ query }) => (await this.#histograms()).list(query),
      },
      {
        path: '/histograms/<id>',
        methods: ['GET'],
        summary: 'one histogram: percentiles (json), .hgrm for plotting, or an HdrHistogram log',
        example: "curl 'localhost:4191/histograms/service.web.response_latency_us?format=hgrm'",
        answer: async ({ path, query }) =>
          (await this.#histograms()).one(decoded(path.slice('/histograms/'.length)), query),
      },
      {
        path: '/dashboard',
        methods: ['GET'],
        summary: 'a page that shows what is going on, for people with a browser',
        example: 'open http://localhost:4191/dashboard',
        answer: async () => {
          this.#dashboard ??= (await import('../dashboard/page.js')).dashboardPage();
          const { html, headers } = this.#dashboard;
          return { status: 200, type: 'text/html; charset=utf-8', body: html, headers };
        },
      },
      {
        path: '/state',
        methods: ['GET'],
        summary: 'the current state: rates, latencies, endpoints, clients, workers, recent errors (json)',
        example: "curl 'localhost:4191/state?window=5s'",
        answer: async (request) => (await live()).stateAnswer(await this.#live(), request),
      },
      {
        path: '/events',
        methods: ['GET'],
        summary: 'the same every second, as server-sent events',
        example: 'curl -N localhost:4191/events',
        answer: async ({ trusted }) => (await live()).eventsAnswer(await this.#live(), trusted),
      },
      {
        path: '/explain',
        methods: ['GET'],
        summary: 'how a connection to a destination is treated, and why',
        example: "curl 'localhost:4191/explain?dst=127.0.0.1:8080'",
        answer: ({ query }) => {
          const client = { from: query.get('from'), identity: query.get('identity') };
          return this.#explain(query.get('dst'), query.get('listener'), client);
        },
      },
      {
        path: '/loglevel',
        methods: ['GET', 'PUT'],
        summary: `the log level (${LOG_LEVELS.join(', ')}); PUT changes it, from this machine only`,
        example: 'curl -X PUT -d debug localhost:4191/loglevel',
        answer: (request) => this.#logLevel(request),
      },
    ];
    const { shutdown, taps } = this.#deps;
    if (taps !== undefined) {
      routes.push({
        path: '/tap',
        methods: ['GET'],
        summary: 'requests as they end, some of them, as lines of JSON; to this machine only',
        example: "curl -N 'localhost:4191/tap?path=/api&status=5xx'",
        answer: async ({ trusted, query }) =>
          trusted ? (await import('./tap.js')).tapAnswer(taps, query) : forbidden(),
      });
    }
    if (shutdown !== undefined) {
      routes.push({
        path: '/shutdown',
        methods: ['POST'],
        summary: 'drains and ends the proxy, from this machine only',
        example: 'curl -X POST localhost:4191/shutdown',
        answer: ({ trusted }) => {
          if (!trusted) return forbidden();
          shutdown();
          return text(202, 'shutting down');
        },
      });
    }
    return routes;
  }

  /** The watcher is created on first use. */
  #live(): Promise<LiveFeed> {
    this.#feed ??= live().then((made) => made.feedOf(this.#deps));
    return this.#feed;
  }

  /** Loaded on first use. */
  #histograms(): Promise<HistogramPages> {
    this.#pages ??= import('./histograms.js').then(
      ({ HistogramPages }) =>
        new HistogramPages(this.#deps.reader, { startedMs: this.#startedMs, most: this.#deps.maxScrapes }),
    );
    return this.#pages;
  }

  async #explain(destination: string | null, listener: string | null, client: Client): Promise<Answer> {
    const hint = 'Ask for a destination like this: /explain?dst=10.0.0.7:5432 or /explain?dst=[::1]:8080';
    if (destination === null) return text(400, hint);
    try {
      const { host, port } = parseHostPort(destination, '10.0.0.7:5432');
      if (host === '') return text(400, `"${destination}" has no host\n${hint}`);
      return json(await this.#deps.explain(host, port, listener, client));
    } catch (error) {
      if (error instanceof ValueError) return text(400, `${error.message}\n${hint}`);
      throw error;
    }
  }

  #logLevel({ method, body, trusted }: AdminRequest): Answer {
    if (method === 'GET') return text(200, this.#deps.getLogLevel());
    if (!trusted) return forbidden();
    const level = LOG_LEVELS.find((candidate) => candidate === body.trim());
    if (level === undefined) return text(400, `the body must be a log level: ${LOG_LEVELS.join(', ')}`);
    this.#deps.setLogLevel(level);
    return text(200, level);
  }
}

function forbidden(): Answer {
  return text(403, 'this is allowed from this machine only, and not to web pages');
}

function notAllowed(path: string, methods: readonly string[]): Answer {
  const allow = methods.includes('GET') ? [...methods, 'HEAD'] : methods;
  return text(405, `${path} takes ${allow.join(', ')}`, { Allow: allow.join(', ') });
}

/** Decodes an id in a path; unchanged if it has an invalid escape. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
