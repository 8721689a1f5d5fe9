// How far apart measurements of the same thing are: mean and mean deviation (as of the round trip time in RFC 6298), struct of arrays.
// Whole µs, as in peak-ewma.ts. Two endpoints whose ranges overlap are alike: what sets their estimates apart is chance.

const MEAN_GAIN = 1 / 4;
const DEVIATION_GAIN = 1 / 8;
/** A sample that is so many deviations above the mean is taken for that much, unless the one before was so too. */
const FAR = 4;
/** Turns of the loops and slices of the schedulers on the way are no difference, µs. */
const NOISE_US = 1000;

/** What is known of an index. */
const KNOWN = {
  NOTHING: 0,
  /** One sample, which tells little: a connection was made for it, and a program that has just started was cold. */
  FIRST: 1,
  MEASURED: 2,
  /** As before; the last sample was far off. */
  DOUBTED: 3,
} as const;

export class Scatter {
  readonly #mean: Float64Array;
  readonly #deviation: Float64Array;
  /** One of KNOWN. */
  readonly #known: Uint8Array;

  constructor(size: number) {
    this.#mean = new Float64Array(size);
    this.#deviation = new Float64Array(size);
    this.#known = new Uint8Array(size);
  }

  /** Nothing is known: anything up to `assumed` is as likely. */
  start(index: number, assumed: number): void {
    this.#mean[index] = assumed / 2;
    this.#deviation[index] = assumed / 2;
    this.#known[index] = KNOWN.NOTHING;
  }

  sample(index: number, sample: number): void {
    const known = this.#known[index];
    if (known < KNOWN.MEASURED) {
      this.#known[index] = known + 1;
      if (known === KNOWN.NOTHING) return;
      this.#mean[index] = sample;
      this.#deviation[index] = sample / 2;
      return;
    }
    let taken = sample;
    const most = this.#mean[index] + FAR * this.#deviation[index] + NOISE_US;
    if (sample <= most) this.#known[index] = KNOWN.MEASURED;
    else if (known === KNOWN.MEASURED) {
      this.#known[index] = KNOWN.DOUBTED;
      taken = most;
    }
    const off = taken - this.#mean[index];
    this.#deviation[index] += (Math.abs(off) - this.#deviation[index]) * DEVIATION_GAIN;
    this.#mean[index] += off * MEAN_GAIN;
  }

  /** It counts as exactly that, for now: a failure is no noise. */
  fix(index: number, value: number): void {
    this.#known[index] = KNOWN.DOUBTED;
    this.#mean[index] = value;
    this.#deviation[index] = 0;
  }

  alike(a: number, b: number): boolean {
    const apart = Math.abs(this.#mean[a] - this.#mean[b]);
    return apart <= this.#deviation[a] + this.#deviation[b] + NOISE_US;
  }
}
