// Latency at a fixed rate, the same for all, with an open-loop generator.
import type { Bar, Bench, Sample } from '../bench.js';
import type { LatencyLoad, Load } from '../load.js';
import { type Contender, direct, type Running, type Work } from '../rivals/contender.js';
import type { Session } from '../session.js';

interface LatencyBench {
  readonly name: string;
  readonly title: string;
  /** What is compared; the others are shown. */
  readonly figure: 'mean' | 'p50' | 'p99' | 'p999';
  readonly bar: Bar | null;
  readonly contenders: readonly Contender[];
  readonly work: Omit<Work, 'upstream'>;
  upstream(session: Session): Promise<number>;
  /** A fixed number of requests a second, or a share of what the slowest contender sustains. */
  readonly rate: number | { readonly share: number; capacity(session: Session, running: Running): Promise<Load> };
  load(session: Session, running: Running, seconds: number, rate: number): Promise<LatencyLoad>;
}

/** Rates are multiples of this, for people to read. */
const RATE_STEP = 500;

export function latencyBench({ figure, rate, load, ...bench }: LatencyBench): Bench {
  let requestsPerSecond = typeof rate === 'number' ? rate : 5000;
  return {
    ...bench,
    unit: 'µs',
    async calibrate(session, running) {
      if (typeof rate === 'number') return;
      const rates: number[] = [];
      for (const contender of running) {
        if (contender.name === direct.name) continue;
        const { units, seconds } = await rate.capacity(session, contender);
        rates.push(units / seconds);
      }
      const wanted = Math.min(...rates) * rate.share;
      requestsPerSecond = Math.max(2 * RATE_STEP, Math.floor(wanted / RATE_STEP) * RATE_STEP);
    },
    async sample(session, running, seconds): Promise<Sample> {
      const result = await load(session, running, seconds, requestsPerSecond);
      const { mean, p50, p99, p999 } = result;
      const extra = { mean, p50, p99, p999, requestsPerSecond };
      return { value: result[figure], errors: result.errors, rate: result.units / result.seconds, extra };
    },
  };
}
