// How much measurements of the same thing vary: mean and mean deviation (as for the round trip time in RFC 6298), struct of arrays. Whole
// µs, as in peak-ewma.ts. Two endpoints whose ranges overlap are equal: the difference of their estimates is chance.
import { column } from '../http/columns.js';

const MEAN_GAIN = 1 / 4;
const DEVIATION_GAIN = 1 / 8;
/** A sample this many deviations above the mean is clamped to that, unless the previous one was as high. */
const OUTLIER_DEVIATIONS = 4;
/** Loop turns and scheduler slices on the way are no real difference, µs. */
const NOISE_US = 1000;

/**
 * This few samples say little: the first one included a connect, a program that has just started was cold, and something else may have had
 * the processor. The smallest is the best evidence.
 */
const WARMUP_SAMPLES = 3;
/** Value of `#samples`, which counts up to WARMUP_SAMPLES: the last sample was far off. */
const OUTLIER_SEEN = WARMUP_SAMPLES + 1;

export class LatencyDeviation {
  readonly #mean: Float64Array;
  readonly #deviation: Float64Array;
  /** Smallest of the first samples. */
  readonly #min: Float64Array;
  readonly #samples: Uint8Array;

  constructor(size: number) {
    this.#mean = column(Float64Array, size);
    this.#deviation = column(Float64Array, size);
    this.#min = column(Float64Array, size);
    this.#samples = column(Uint8Array, size);
  }

  /** Little or nothing is known: anything up to `assumed` is equally likely. */
  start(index: number, assumed: number, samples = 0): void {
    this.#mean[index] = assumed / 2;
    this.#deviation[index] = assumed / 2;
    this.#samples[index] = samples;
  }

  sample(index: number, sample: number): void {
    const samples = this.#samples[index];
    if (samples < WARMUP_SAMPLES) {
      this.#warmUp(index, sample, samples + 1);
      return;
    }
    let taken = sample;
    const most = this.#mean[index] + OUTLIER_DEVIATIONS * this.#deviation[index] + NOISE_US;
    if (sample <= most) this.#samples[index] = WARMUP_SAMPLES;
    else if (samples === WARMUP_SAMPLES) {
      this.#samples[index] = OUTLIER_SEEN;
      taken = most;
    }
    const off = taken - this.#mean[index];
    this.#deviation[index] += (Math.abs(off) - this.#deviation[index]) * DEVIATION_GAIN;
    this.#mean[index] += off * MEAN_GAIN;
  }

  /** For now it counts as exactly this value: a failure is not noise. */
  set(index: number, value: number): void {
    this.#samples[index] = OUTLIER_SEEN;
    this.#mean[index] = value;
    this.#deviation[index] = 0;
  }

  overlaps(a: number, b: number): boolean {
    const apart = Math.abs(this.#mean[a] - this.#mean[b]);
    return apart <= this.#deviation[a] + this.#deviation[b] + NOISE_US;
  }

  #warmUp(index: number, sample: number, samples: number): void {
    this.#samples[index] = samples;
    const least = samples === 1 ? sample : Math.min(sample, this.#min[index]);
    this.#min[index] = least;
    if (samples === WARMUP_SAMPLES) {
      this.#mean[index] = least;
      this.#deviation[index] = least / 2;
    } else if (sample > 2 * this.#mean[index]) this.start(index, sample, samples);
  }
}
