// Latency at a fixed rate, the same for all, with an open-loop generator.

import { direct, type Running, type Subject, type Work } from '../../src/harness/subjects/subject.js';
import type { Bar, Bench, Sample } from '../bench.js';
import type { LatencyLoad, Load } from '../load.js';
import type { Session } from '../session.js';

interface LatencyBench {
  readonly name: string;
  readonly title: string;
  /** What is compared; the others are shown. */
  readonly figure: 'mean' | 'p50' | 'p99' | 'p999';
  readonly bar: Bar | null;
  readonly contenders: readonly Subject[];
  readonly work: Omit<Work, 'upstream'>;
  upstream(session: Session): Promise<number>;
  /** A fixed number of requests a second, or a share of what the slowest contender sustains. */
  readonly rate: number | { readonly share: number; capacity(session: Session, running: Running): Promise<Load> };
  load(session: Session, running: Running, seconds: number, rate: number): Promise<LatencyLoad>;
}

/** Rates are multiples of this, for people to read. */
const RATE_STEP = 500;
/** At the rate that is measured, for so many times as long as a round. */
const WARM_UPS = 3;

export function latencyBench({ figure, rate, load, ...bench }: LatencyBench): Bench {
  let requestsPerSecond = typeof rate === 'number' ? rate : 5000;
  return {
    ...bench,
    unit: 'µs',
    measures: 'latency',
    async calibrate(session, running, seconds) {
      if (typeof rate !== 'number') {
        const rates: number[] = [];
        for (const contender of running) {
          if (contender.name === direct.name) continue;
          const capacity = await rate.capacity(session, contender);
          rates.push(capacity.units / capacity.seconds);
        }
        const wanted = Math.min(...rates) * rate.share;
        requestsPerSecond = Math.max(2 * RATE_STEP, Math.floor(wanted / RATE_STEP) * RATE_STEP);
      }
      // A percentile of two seconds shows each pause of a compiler that is still at work: this is about what comes after it.
      for (const contender of running) await load(session, contender, WARM_UPS * seconds, requestsPerSecond);
    },
    async sample(session, running, seconds): Promise<Sample> {
      const result = await load(session, running, seconds, requestsPerSecond);
      const { mean, p50, p99, p999 } = result;
      const extra = { mean, p50, p99, p999, requestsPerSecond };
      return { value: result[figure], errors: result.errors, rate: result.units / result.seconds, extra };
    },
  };
}
