// Latency estimates that rise at once and sink slowly (peak EWMA), struct of arrays.
import { decayFactor } from './decay.js';

export class PeakEwma {
  readonly #value: Float64Array;
  readonly #at: Float64Array;

  constructor(size: number) {
    this.#value = new Float64Array(size);
    this.#at = new Float64Array(size);
  }

  /** Begins anew with an assumed value. */
  start(index: number, value: number, now: number): void {
    this.#value[index] = value;
    this.#at[index] = now;
  }

  /** A sample above the estimate replaces it, one below pulls it down with weight 1 - e^(-elapsed / decayMs). */
  sample(index: number, sample: number, now: number, decayMs: number): void {
    const value = this.#value[index];
    this.#value[index] =
      sample >= value ? sample : sample + (value - sample) * decayFactor((now - this.#at[index]) / decayMs);
    this.#at[index] = now;
  }

  /** The estimate at `now`: it decays towards 0, so that who was slow once is tried again. */
  read(index: number, now: number, decayMs: number): number {
    return this.#value[index] * decayFactor((now - this.#at[index]) / decayMs);
  }
}
