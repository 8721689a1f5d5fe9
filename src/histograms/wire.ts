// The full format of the admin port's histograms (`/histograms?format=full`). The proxy's main thread writes it, so it must be cheap: plain
// buckets, no compression.
import { lowestOf } from '../metrics/histogram.js';
import { HISTOGRAM, HISTOGRAM_SLOTS } from '../metrics/layout.js';
import type { Steps } from '../metrics/steps.js';
import type { NamedHistogram } from './catalog.js';
import { unitOf } from './catalog.js';

export const WIRE_FORMAT = 'sluice-histograms';

/** A histogram as JSON. */
export interface WireHistogram {
  readonly id: string;
  readonly kind: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly unit: string;
  readonly count: number;
  readonly sum: number;
  /** Alternating: the smallest value of a bucket, and its count. */
  readonly buckets: readonly number[];
}

export interface WireHistograms {
  readonly format: typeof WIRE_FORMAT;
  readonly version: 1;
  readonly significantDigits: number;
  /** Ms since the epoch. */
  readonly startMs: number;
  readonly endMs: number;
  readonly histograms: readonly WireHistogram[];
}

/** As JSON. */
export function* wireText(histograms: readonly NamedHistogram[], startMs: number, endMs: number): Steps<string> {
  const texts: string[] = [];
  for (const named of histograms) {
    texts.push(JSON.stringify(wireHistogram(named)));
    yield;
  }
  const head = { format: WIRE_FORMAT, version: 1, significantDigits: HISTOGRAM.digits, startMs, endMs } as const;
  // The same as of a WireHistograms, but its histograms are written one by one.
  return `${JSON.stringify(head satisfies Omit<WireHistograms, 'histograms'>).slice(0, -1)},"histograms":[${texts.join(',')}]}`;
}

function wireHistogram({ id, kind, histogram, labels, data }: NamedHistogram): WireHistogram {
  const buckets: number[] = [];
  for (let slot = 0; slot < HISTOGRAM_SLOTS; slot++)
    if (data.counts[slot] !== 0) buckets.push(lowestOf(slot), data.counts[slot]);
  const { count, sum } = data;
  return { id, kind, name: histogram, labels, unit: unitOf(histogram), count, sum, buckets };
}
