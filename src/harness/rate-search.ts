// The highest rate that holds, by bisection. It asks for a rate and is told what came of it; who makes the load is no business of it.

export interface SearchOptions {
  /** Requests a second, the first rate that is tried. */
  readonly from: number;
  /** Not tried above. */
  readonly most: number;
  /** Below it nothing is looked for: the answer is that nothing holds. */
  readonly least: number;
  /** The search ends when the highest rate that held and the lowest that didn't are as close, as a share of the latter. */
  readonly precision: number;
}

/** At so many times the rate before, while nothing has failed. */
const GROWTH = 2;
/** A rate that does not hold is tried again: one bad moment of the machine is no limit. */
const TRIES = 2;
/** Nobody knows how often it doubles; this is what the time that is left is guessed with. */
const GUESSED_DOUBLINGS = 4;

export class RateSearch {
  readonly #options: SearchOptions;
  /** The highest that held; 0: none has. */
  #held = 0;
  /** The lowest that did not; infinite: none has failed. */
  #failed = Number.POSITIVE_INFINITY;
  #next: number | null;
  #tries = 0;

  constructor(options: SearchOptions) {
    this.#options = options;
    this.#next = Math.min(options.most, Math.max(options.least, Math.round(options.from)));
  }

  /** The rate to try, or null: it is found. */
  get next(): number | null {
    return this.#next;
  }

  /** What held; null where not even the least did. */
  get found(): number | null {
    return this.#held === 0 ? null : this.#held;
  }

  /** Whether it is the highest that may be tried that held, so the limit lies above. */
  get atMost(): boolean {
    return this.#held === this.#options.most;
  }

  /** Rates that are still to be tried, if none has to be tried again. */
  get left(): number {
    if (this.#next === null) return 0;
    if (this.#failed === Number.POSITIVE_INFINITY) {
      const doublings = Math.ceil(Math.log2(Math.max(2, this.#options.most / this.#next)));
      return Math.min(doublings, GUESSED_DOUBLINGS) + this.#bisections(1 - 1 / GROWTH);
    }
    return this.#bisections(1 - this.#held / this.#failed);
  }

  /** What came of the rate that was asked for. */
  told(held: boolean): void {
    const rate = this.#next;
    if (rate === null) throw new Error('no rate was asked for');
    if (!held && ++this.#tries < TRIES) return;
    this.#tries = 0;
    if (held) this.#held = Math.max(this.#held, rate);
    else this.#failed = Math.min(this.#failed, rate);
    this.#next = this.#choose();
  }

  #choose(): number | null {
    const { most, least, precision } = this.#options;
    if (this.#failed === Number.POSITIVE_INFINITY) {
      return this.#held >= most ? null : Math.min(most, this.#held * GROWTH);
    }
    if (this.#held === 0) {
      return this.#failed <= least ? null : Math.max(least, Math.floor(this.#failed / GROWTH));
    }
    const middle = Math.round((this.#held + this.#failed) / 2);
    const close = (this.#failed - this.#held) / this.#failed <= precision;
    return close || middle <= this.#held || middle >= this.#failed ? null : middle;
  }

  #bisections(gap: number): number {
    return Math.max(0, Math.ceil(Math.log2(gap / this.#options.precision)));
  }
}
