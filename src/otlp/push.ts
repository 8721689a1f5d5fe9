// Pushes metrics to a collector: all of them from one snapshot per interval, split into messages. The main thread encodes one message per
// turn, and nothing waits for the collector. Values are totals, so a lost round loses nothing for good.
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises';
import type { MetricsOtlpConfig } from '../config/telemetry-model.js';
import type { LogFields } from '../log/logger.js';
import type { MetricsReader } from '../metrics/reader.js';
import { inPieces } from '../metrics/steps.js';
import type { PushCounts } from './counts.js';
import { OtlpExporter } from './exporter.js';
import { encodeMetrics, type OtlpMetric, type OtlpResource } from './metrics.js';
import { otlpPoints } from './points.js';

/** Maximum points per message: encoding that many histograms takes a few milliseconds. */
export const MAX_POINTS = 100;

export interface PushDeps {
  readonly reader: Pick<MetricsReader, 'hold' | 'steps'>;
  readonly counts: PushCounts;
  readonly logger: {
    warn(message: string, fields?: LogFields): void;
    info(message: string, fields?: LogFields): void;
  };
  /** The start of the totals, ms since the epoch. */
  readonly startedMs: number;
  /** Further attributes of the resource. */
  readonly attributes: Readonly<Record<string, string>>;
  /** Calls `run` once after a delay, without keeping the process alive. The returned function cancels that. */
  readonly later?: (run: () => void, ms: number) => () => void;
  readonly random?: () => number;
}

export class MetricsPush {
  readonly #config: MetricsOtlpConfig;
  readonly #deps: Required<PushDeps>;
  readonly #exporter: OtlpExporter;
  readonly #resource: OtlpResource;
  #cancel: () => void;
  #round: Promise<void> | null = null;

  constructor(config: MetricsOtlpConfig, deps: PushDeps) {
    this.#config = config;
    this.#deps = { later, random: Math.random, ...deps };
    const { counts, logger, random } = this.#deps;
    this.#resource = { name: config.serviceName, attributes: { ...deps.attributes, ...config.attributes } };
    this.#exporter = new OtlpExporter({
      url: new URL(config.endpoint),
      headers: config.headers,
      maxQueuedBytes: config.maxQueued,
      timeoutMs: config.timeoutMs,
      onTrouble: (trouble) => {
        if (trouble === null) logger.info('the collector takes metrics again');
        else logger.warn('metrics do not reach the collector', { endpoint: config.endpoint, trouble });
      },
    });
    const before = { ...counts.messages, retries: counts.retries, rejected: counts.dropped.rejected };
    counts.look = () => {
      const { sent, dropped, retries, rejected } = this.#exporter.counts;
      counts.messages.sent = before.sent + sent;
      counts.messages.dropped = before.dropped + dropped;
      counts.retries = before.retries + retries;
      counts.dropped.rejected = before.rejected + rejected;
    };
    // Jitter: proxies that start together must not send together.
    this.#cancel = this.#deps.later(() => this.#due(), config.intervalMs * random());
  }

  /** Sends the final totals, within this time at most. */
  async close(graceMs: number): Promise<void> {
    this.#cancel();
    await this.#round;
    // Messages that are being sent may take half of the time: the final totals matter more.
    const late = new AbortController();
    const half = wait(graceMs / 2, undefined, { signal: late.signal }).catch(() => undefined);
    await Promise.race([this.#exporter.idle(), half]);
    late.abort();
    if (!this.#exporter.busy) await this.#send();
    await this.#exporter.close(graceMs / 2);
  }

  #due(): void {
    this.#cancel = this.#deps.later(() => this.#due(), this.#config.intervalMs);
    if (this.#round !== null || this.#exporter.busy) {
      this.#deps.counts.skipped++;
      return;
    }
    this.#round = this.#send()
      .catch((error: unknown) => this.#deps.logger.warn('metrics could not be sent', { error }))
      .finally(() => {
        this.#round = null;
      });
  }

  async #send(): Promise<void> {
    const { reader, counts, startedMs } = this.#deps;
    const release = reader.hold();
    try {
      const snapshot = await inPieces(reader.steps());
      const span = { startMs: startedMs, endMs: snapshot.atMs, delta: false };
      for (const metrics of messages(otlpPoints(snapshot), MAX_POINTS)) {
        const points = metrics.reduce((sum, metric) => sum + metric.points.length, 0);
        counts.points += points;
        if (!this.#exporter.offer(encodeMetrics(metrics, span, this.#resource))) counts.dropped.queue += points;
        await turn();
      }
    } finally {
      release();
    }
  }
}

const later = (run: () => void, ms: number): (() => void) => {
  const timer = setTimeout(run, ms).unref();
  return () => clearTimeout(timer);
};

/** Splits metrics into groups of this many points. A metric with more points is split too. */
export function* messages(metrics: readonly OtlpMetric[], most: number): Generator<OtlpMetric[]> {
  let message: OtlpMetric[] = [];
  let room = most;
  for (const metric of metrics) {
    for (let from = 0; from < metric.points.length; ) {
      const part = metric.points.slice(from, from + room);
      message.push({ ...metric, points: part } as OtlpMetric);
      from += part.length;
      room -= part.length;
      if (room > 0) continue;
      yield message;
      message = [];
      room = most;
    }
  }
  if (message.length > 0) yield message;
}
