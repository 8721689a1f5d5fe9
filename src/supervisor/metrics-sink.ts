// Where metrics are sent to, if anywhere: as the configuration says, which a reload may change. What sends them is loaded when it is wanted.
import { hostname } from 'node:os';
import type { MetricsOtlpConfig } from '../config/telemetry-model.js';
import type { Logger } from '../log/logger.js';
import { sluiceVersion } from '../log/process-state.js';
import type { MetricsReader } from '../metrics/reader.js';
import type { MetricsPush } from '../otlp/push.js';

/** How long what is queued may take at the end, ms. */
const GRACE_MS = 2000;

export class MetricsSink {
  readonly #startedMs = Date.now();
  #config: MetricsOtlpConfig | null = null;
  #push: Promise<MetricsPush> | null = null;

  constructor(
    private readonly reader: MetricsReader,
    private readonly logger: Pick<Logger, 'warn' | 'info'>,
  ) {}

  configure(config: MetricsOtlpConfig | null): void {
    if (JSON.stringify(config) === JSON.stringify(this.#config)) return;
    const closed = this.close();
    this.#config = config;
    this.reader.push.wanted = config !== null;
    // The one before has told its counts to the end.
    if (config !== null) this.#push = closed.then(() => this.#make(config));
  }

  /** Sends what has been counted, within a moment. */
  async close(): Promise<void> {
    const before = this.#push;
    this.#push = null;
    this.#config = null;
    if (before !== null) await (await before).close(GRACE_MS);
  }

  async #make(config: MetricsOtlpConfig): Promise<MetricsPush> {
    const { MetricsPush } = await import('../otlp/push.js');
    const { reader, logger } = this;
    const attributes = {
      'service.version': sluiceVersion(),
      // Two proxies of one host are two sources of the same series.
      'service.instance.id': `${hostname()}:${process.pid}`,
      'host.name': hostname(),
    };
    return new MetricsPush(config, { reader, counts: reader.push, logger, startedMs: this.#startedMs, attributes });
  }
}
