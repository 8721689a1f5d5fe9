// How far apart measurements of the same thing are: mean and mean deviation (as of the round trip time in RFC 6298), struct of arrays.
// Whole µs, as in peak-ewma.ts. Two endpoints whose ranges overlap are alike: what sets their estimates apart is chance.

const MEAN_GAIN = 1 / 4;
/** Smaller than that of the mean: one measurement far off moves the range more than it widens it. */
const DEVIATION_GAIN = 1 / 8;
/** Turns of the loops and slices of the schedulers on the way are no difference, µs. */
const NOISE_US = 1000;

export class Scatter {
  readonly #mean: Float64Array;
  readonly #deviation: Float64Array;
  /** 1 once something was measured. */
  readonly #measured: Uint8Array;

  constructor(size: number) {
    this.#mean = new Float64Array(size);
    this.#deviation = new Float64Array(size);
    this.#measured = new Uint8Array(size);
  }

  /** Nothing is known: anything up to `assumed` is as likely. */
  start(index: number, assumed: number): void {
    this.#mean[index] = assumed / 2;
    this.#deviation[index] = assumed / 2;
    this.#measured[index] = 0;
  }

  sample(index: number, sample: number): void {
    if (this.#measured[index] === 0) {
      this.#measured[index] = 1;
      this.#mean[index] = sample;
      this.#deviation[index] = sample / 2;
      return;
    }
    const off = sample - this.#mean[index];
    this.#deviation[index] += (Math.abs(off) - this.#deviation[index]) * DEVIATION_GAIN;
    this.#mean[index] += off * MEAN_GAIN;
  }

  /** It counts as exactly that, for now: a failure is no noise. */
  fix(index: number, value: number): void {
    this.#measured[index] = 1;
    this.#mean[index] = value;
    this.#deviation[index] = 0;
  }

  alike(a: number, b: number): boolean {
    const apart = Math.abs(this.#mean[a] - this.#mean[b]);
    return apart <= this.#deviation[a] + this.#deviation[b] + NOISE_US;
  }
}
