// How much measurements of the same thing vary: mean and mean deviation (as for the round trip time in RFC 6298), struct of arrays. Whole
// µs, as in peak-ewma.ts. Two endpoints whose ranges overlap are equal: the difference of their estimates is chance.

const MEAN_GAIN = 1 / 4;
const DEVIATION_GAIN = 1 / 8;
/** A sample this many deviations above the mean is clamped to that, unless the previous one was as high. */
const FAR = 4;
/** Loop turns and scheduler slices on the way are no real difference, µs. */
const NOISE_US = 1000;

/**
 * This few samples say little: the first one included a connect, a program that has just started was cold, and something else may have had
 * the processor. The smallest is the best evidence.
 */
const FIRST = 3;
/** Value of `#known`, which counts samples up to FIRST: the last sample was far off. */
const DOUBTED = FIRST + 1;

export class Scatter {
  readonly #mean: Float64Array;
  readonly #deviation: Float64Array;
  /** Smallest of the first samples. */
  readonly #least: Float64Array;
  readonly #known: Uint8Array;

  constructor(size: number) {
    this.#mean = new Float64Array(size);
    this.#deviation = new Float64Array(size);
    this.#least = new Float64Array(size);
    this.#known = new Uint8Array(size);
  }

  /** Little or nothing is known: anything up to `assumed` is equally likely. */
  start(index: number, assumed: number, known = 0): void {
    this.#mean[index] = assumed / 2;
    this.#deviation[index] = assumed / 2;
    this.#known[index] = known;
  }

  sample(index: number, sample: number): void {
    const known = this.#known[index];
    if (known < FIRST) {
      this.#first(index, sample, known + 1);
      return;
    }
    let taken = sample;
    const most = this.#mean[index] + FAR * this.#deviation[index] + NOISE_US;
    if (sample <= most) this.#known[index] = FIRST;
    else if (known === FIRST) {
      this.#known[index] = DOUBTED;
      taken = most;
    }
    const off = taken - this.#mean[index];
    this.#deviation[index] += (Math.abs(off) - this.#deviation[index]) * DEVIATION_GAIN;
    this.#mean[index] += off * MEAN_GAIN;
  }

  /** For now it counts as exactly this value: a failure is not noise. */
  fix(index: number, value: number): void {
    this.#known[index] = DOUBTED;
    this.#mean[index] = value;
    this.#deviation[index] = 0;
  }

  alike(a: number, b: number): boolean {
    const apart = Math.abs(this.#mean[a] - this.#mean[b]);
    return apart <= this.#deviation[a] + this.#deviation[b] + NOISE_US;
  }

  #first(index: number, sample: number, known: number): void {
    this.#known[index] = known;
    const least = known === 1 ? sample : Math.min(sample, this.#least[index]);
    this.#least[index] = least;
    if (known === FIRST) {
      this.#mean[index] = least;
      this.#deviation[index] = least / 2;
    } else if (sample > 2 * this.#mean[index]) this.start(index, sample, known);
  }
}
