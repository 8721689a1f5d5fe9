// Destination of workers' spans, according to the configuration, which a reload may change. The encoder is loaded when needed.
import { hostname } from 'node:os';
import type { TracingConfig } from '../config/telemetry-model.js';
import type { Logger } from '../log/logger.js';
import { sluiceVersion } from '../log/process-state.js';
import type { Exemplars } from '../metrics/exemplars.js';
import type { TracingCounts } from '../tracing/counts.js';
import type { Span } from '../tracing/span.js';
import type { Tracing } from '../tracing/tracing.js';

/** Time for queued spans at the end, ms. */
const GRACE_MS = 2000;

export class SpanSink {
  #config: TracingConfig | null = null;
  #tracing: Promise<Tracing> | null = null;

  constructor(
    private readonly counts: TracingCounts,
    private readonly logger: Pick<Logger, 'warn' | 'info'>,
    private readonly exemplars: Pick<Exemplars, 'note'>,
  ) {}

  configure(config: TracingConfig | null): void {
    if (JSON.stringify(config) === JSON.stringify(this.#config)) return;
    void this.close();
    this.#config = config;
    this.counts.wanted = config !== null;
    if (config !== null) this.#tracing = this.#make(config);
  }

  received(spans: readonly Span[], skipped: number): void {
    for (const { traceId, service, cell, latencyUs, whole, endMs } of spans)
      if (whole && service !== '' && latencyUs >= 0)
        this.exemplars.note(service, cell, { traceId, valueUs: latencyUs, atMs: endMs });
    void this.#tracing?.then((tracing) => tracing.received(spans, skipped));
  }

  /** Sends what it has, within a moment. */
  async close(): Promise<void> {
    const before = this.#tracing;
    this.#tracing = null;
    this.#config = null;
    if (before !== null) await (await before).close(GRACE_MS);
  }

  async #make(config: TracingConfig): Promise<Tracing> {
    const { Tracing } = await import('../tracing/tracing.js');
    const { counts, logger } = this;
    const version = sluiceVersion();
    const resource = { 'service.version': version, 'host.name': hostname() };
    return new Tracing(config, { counts, logger, version, resource });
  }
}
