// Samples of a running proxy's metrics, and the difference of two samples.
import type { HistogramData } from '../metrics/histogram.js';
import type { MetricsReader, MetricsSnapshot } from '../metrics/reader.js';
import { atOnce, type Steps } from '../metrics/steps.js';
import { Interval, type KeptHistograms, keepHistograms, latencyOf } from './latency.js';
import type { LiveLatency } from './state.js';

type Values = ReadonlyMap<string, Float64Array>;

/** The metrics at one time, in the form needed for a later comparison. */
export interface MetricsSample {
  /** ms, from a monotonic clock. */
  readonly clock: number;
  readonly snapshot: MetricsSnapshot;
  readonly services: Values;
  readonly endpoints: Values;
  readonly listeners: Values;
  readonly clients: Values;
  readonly workers: Values;
  readonly histograms: KeptHistograms;
}

type Slotted = { readonly slot: number };

export const keyOf = {
  service: ({ slot, info }: Slotted & { readonly info: { readonly name: string } }) => `${slot} ${info.name}`,
  endpoint: ({ slot, info }: Slotted & { readonly info: { readonly service: string; readonly address: string } }) =>
    `${slot} ${info.service} ${info.address}`,
  client: ({ info }: MetricsSnapshot['clients'][number]) => `${info.slot} ${info.seen} ${info.name} ${info.identity}`,
  worker: ({ id }: { readonly id: number }) => String(id),
} as const;

function valuesBy<Item extends { readonly values: Float64Array }>(
  items: readonly Item[],
  key: (item: Item) => string,
): Values {
  return new Map(items.map((item) => [key(item), item.values]));
}

/** Takes a sample. Unchanged data is shared with `before`, the previous sample. */
export function* takeSample(reader: MetricsReader, clock: number, before: MetricsSample | null): Steps<MetricsSample> {
  const snapshot = yield* reader.steps();
  const { services, endpoints, listeners, clients, workers } = snapshot;
  const all: (HistogramData | null)[] = [];
  for (const { histograms } of [...endpoints, ...workers]) all.push(...histograms);
  for (const { cells } of services) all.push(...cells);
  return {
    clock,
    snapshot,
    services: valuesBy(services, keyOf.service),
    endpoints: valuesBy(endpoints, keyOf.endpoint),
    listeners: valuesBy(listeners, keyOf.service),
    clients: valuesBy(clients, keyOf.client),
    workers: valuesBy(workers, keyOf.worker),
    histograms: yield* keepHistograms(all, before?.histograms ?? null),
  };
}

export const takeSampleAtOnce = (...of: Parameters<typeof takeSample>): MetricsSample => atOnce(takeSample(...of));

/** The difference to `before`, or to the start. Valid while snapshots are held, or before the next one, because histograms are not copied. */
export class SampleDelta {
  private readonly scratch = new Interval();

  constructor(
    readonly before: MetricsSample | null,
    readonly now: MetricsSample,
    readonly seconds: number,
  ) {}

  /** A counter's increase. A counter that fell was reset, so all of it counts. */
  grown(before: Float64Array | undefined, now: Float64Array, field: number): number {
    const more = now[field] - (before?.[field] ?? 0);
    return more >= 0 ? more : now[field];
  }

  /** The same per second. */
  rate(before: Float64Array | undefined, now: Float64Array, field: number): number {
    return this.grown(before, now, field) / this.seconds;
  }

  latency(data: HistogramData | null, distribution: boolean): LiveLatency | null {
    const interval = this.interval([data]);
    return interval === null ? null : latencyOf(interval, distribution);
  }

  /** The sum of what these recorded in the interval; null if nothing. Valid until the next call. */
  interval(all: readonly (HistogramData | null)[]): Interval | null {
    const { scratch } = this;
    scratch.clear();
    for (const data of all) {
      if (data === null) continue;
      const kept = this.before?.histograms.get(data.of);
      if (kept?.count !== data.count) scratch.add(data, kept);
    }
    return scratch.total === 0 ? null : scratch;
  }
}
