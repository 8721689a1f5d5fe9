// The main thread's side of tracing: encodes the workers' spans and passes them to the exporter, in batches. Nothing waits for it. Spans that do
// not fit into the queue are dropped and counted.
import type { TracingConfig } from '../config/telemetry-model.js';
import type { LogFields } from '../log/logger.js';
import { OtlpExporter } from '../otlp/exporter.js';
import type { TracingCounts } from './counts.js';
import { type Attributes, encodeSpans } from './encode.js';
import type { Span } from './span.js';

/** Maximum spans per message, and how long to wait for spans of several workers, ms. */
const BATCH = 512;
const GATHER_MS = 50;

export interface TracingDeps {
  readonly counts: TracingCounts;
  readonly logger: {
    warn(message: string, fields?: LogFields): void;
    info(message: string, fields?: LogFields): void;
  };
  readonly version: string;
  /** Further attributes of the resource. */
  readonly resource: Attributes;
}

export class Tracing {
  readonly #deps: TracingDeps;
  readonly #exporter: OtlpExporter;
  readonly #resource: Attributes;
  #spans: Span[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** Counts of earlier exporters. */
  readonly #before: { readonly sent: number; readonly dropped: number; readonly rejected: number };

  constructor(config: TracingConfig, deps: TracingDeps) {
    this.#deps = deps;
    this.#resource = { 'service.name': config.serviceName, ...deps.resource, ...config.attributes };
    this.#exporter = new OtlpExporter({
      url: new URL(config.endpoint),
      headers: config.headers,
      maxQueuedBytes: config.maxQueued,
      timeoutMs: config.timeoutMs,
      onTrouble: (trouble) => {
        if (trouble === null) deps.logger.info('the collector takes spans again');
        else deps.logger.warn('spans do not reach the collector', { endpoint: config.endpoint, trouble });
      },
    });
    deps.counts.look = () => {
      const { sent, dropped, rejected } = this.#exporter.counts;
      deps.counts.messages.sent = this.#before.sent + sent;
      deps.counts.messages.dropped = this.#before.dropped + dropped;
      deps.counts.dropped.rejected = this.#before.rejected + rejected;
    };
    this.#before = { ...deps.counts.messages, rejected: deps.counts.dropped.rejected };
  }

  /** A worker has made spans. `skipped`: spans that it did not make because of the rate limit. */
  received(spans: readonly Span[], skipped: number): void {
    const { counts } = this.#deps;
    counts.spans += spans.length;
    counts.dropped.rate += skipped;
    this.#spans.push(...spans);
    while (this.#spans.length >= BATCH) this.#offer(this.#spans.splice(0, BATCH));
    if (this.#spans.length > 0) this.#timer ??= setTimeout(() => this.flush(), GATHER_MS).unref();
  }

  /** Passes the collected spans to the exporter. */
  flush(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#spans.length > 0) this.#offer(this.#spans.splice(0));
  }

  /** Sends what it has, within this time at most. */
  async close(graceMs: number): Promise<void> {
    this.flush();
    await this.#exporter.close(graceMs);
  }

  #offer(spans: readonly Span[]): void {
    const { counts, version } = this.#deps;
    if (!this.#exporter.offer(encodeSpans(spans, this.#resource, version))) counts.dropped.queue += spans.length;
  }
}
