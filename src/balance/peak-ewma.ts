// Latency estimates that rise at once and fall slowly (peak EWMA), struct of arrays. Latencies are whole µs and times whole ms: fractions
// passed between functions are allocated, unless V8 happens to inline them.
import { column } from '../http/columns.js';
import { DECAY, LAST_STEP, STEPS_PER_UNIT } from './decay.js';

export class PeakEwma {
  readonly #value: Float64Array;
  readonly #at: Float64Array;

  constructor(size: number) {
    this.#value = column(Float64Array, size);
    this.#at = column(Float64Array, size);
  }

  /** Starts over with an assumed value. */
  start(index: number, value: number, now: number): void {
    this.#value[index] = value;
    this.#at[index] = now;
  }

  /** A sample above the estimate replaces it; one below pulls it down with weight 1 - e^(-elapsed / decayMs). */
  sample(index: number, sample: number, now: number, decayMs: number): void {
    const value = this.#value[index];
    if (sample >= value) this.#value[index] = sample;
    else {
      // `decayFactor`, inlined.
      const x = ((now - this.#at[index]) * STEPS_PER_UNIT) / decayMs;
      const steps = x > 0 ? Math.min(x, LAST_STEP) : 0;
      const i = steps | 0;
      this.#value[index] = sample + (value - sample) * (DECAY[i] + (DECAY[i + 1] - DECAY[i]) * (steps - i));
    }
    this.#at[index] = now;
  }

  /** The estimate at `now`, an integer: it decays towards 0, so that an endpoint that was slow once is tried again. */
  read(index: number, now: number, decayMs: number): number {
    const x = ((now - this.#at[index]) * STEPS_PER_UNIT) / decayMs;
    const steps = x > 0 ? Math.min(x, LAST_STEP) : 0;
    const i = steps | 0;
    return Math.round(this.#value[index] * (DECAY[i] + (DECAY[i + 1] - DECAY[i]) * (steps - i)));
  }
}
