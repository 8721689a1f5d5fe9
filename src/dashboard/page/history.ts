// The last two minutes by service and by endpoint, for the plots.
import type { LiveGolden, LiveState } from '../../live/state.js';

export const SECONDS = 120;
/** Maximum interval between two events of the same proxy process, ms. A longer one is a gap. */
const GAP_MS = 3500;

export interface Frame {
  readonly at: number;
  readonly requests: number | null;
  readonly p50: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
  readonly distribution: readonly (readonly [bucket: number, count: number])[];
}

const NOTHING: readonly Frame[] = [];

type Golden = Pick<LiveGolden, 'requests' | 'latency'>;

function frameOf(at: number, { requests, latency }: Golden): Frame {
  return {
    at,
    requests,
    p50: latency?.p50 ?? null,
    p95: latency?.p95 ?? null,
    p99: latency?.p99 ?? null,
    distribution: latency?.distribution ?? [],
  };
}

const gap = (at: number): Frame => ({ at, requests: null, p50: null, p95: null, p99: null, distribution: [] });

/** The key of a plot's subject: all services, one service, or one endpoint. Names contain no newline. */
export const subjectOf = (service: string, endpoint = ''): string =>
  endpoint === '' ? service : `${service}\n${endpoint}`;

/** A subject's name for people. */
export function spoken(subject: string): string {
  const [service, endpoint] = subject.split('\n');
  if (endpoint !== undefined) return `${endpoint} of ${service}`;
  return service === '' ? 'all services' : service;
}

export class History {
  /** By subject; '' stands for all services together. */
  private readonly frames = new Map<string, Frame[]>();

  add(state: LiveState): void {
    this.push('', state.at, state.total);
    for (const service of state.services) this.push(subjectOf(service.name), state.at, service);
    for (const endpoint of state.endpoints)
      this.push(subjectOf(endpoint.service, endpoint.address), state.at, endpoint);
    for (const [name, frames] of this.frames)
      if (frames[frames.length - 1].at < state.at - SECONDS * 1000) this.frames.delete(name);
  }

  of(name: string): readonly Frame[] {
    return this.frames.get(name) ?? NOTHING;
  }

  private push(name: string, at: number, golden: Golden): void {
    const frames = this.frames.get(name) ?? [];
    this.frames.set(name, frames);
    const last = frames[frames.length - 1];
    // Another process or machine may have a clock that is behind.
    if (last !== undefined && at <= last.at) frames.length = 0;
    else if (last !== undefined && at - last.at > GAP_MS) frames.push(gap(last.at + 1000), gap(at - 1000));
    frames.push(frameOf(at, golden));
    while (frames[0].at < at - SECONDS * 1000) frames.shift();
  }
}

/** The distributions of the last `seconds`, added up: counts by bucket. */
export function merged(frames: readonly Frame[], seconds: number): Map<number, number> {
  const sums = new Map<number, number>();
  const from = (frames[frames.length - 1]?.at ?? 0) - seconds * 1000;
  for (const { at, distribution } of frames)
    if (at > from) for (const [bucket, count] of distribution) sums.set(bucket, (sums.get(bucket) ?? 0) + count);
  return sums;
}

export interface Percentile {
  /** 1 / (1 − p): 1 is the minimum, 10 the 90th percentile, 100 the 99th. */
  readonly odds: number;
  readonly bucket: number;
}

/** The distribution as a curve, from the minimum to the maximum. */
export function percentiles(sums: ReadonlyMap<number, number>): Percentile[] {
  const buckets = [...sums].sort(([a], [b]) => a - b);
  const total = buckets.reduce((sum, [, count]) => sum + count, 0);
  const curve: Percentile[] = [];
  let seen = 0;
  for (const [bucket, count] of buckets) {
    curve.push({ odds: total / (total - seen), bucket });
    seen += count;
    // The last bucket has no end in this scale. It is drawn to where one more value would be.
    curve.push({ odds: seen < total ? total / (total - seen) : total * 2, bucket });
  }
  return curve;
}
