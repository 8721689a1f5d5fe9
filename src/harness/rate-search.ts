// Finds the highest rate that holds, by bisection. It proposes a rate and is told the outcome; who makes the load does not matter here.

export interface SearchOptions {
  /** First rate to try, requests per second. */
  readonly from: number;
  /** Maximum rate to try. */
  readonly most: number;
  /** Minimum rate to try: if it does not hold, nothing does. */
  readonly least: number;
  /** The search ends when the highest rate that held and the lowest that did not are this close, as a share of the latter. */
  readonly precision: number;
}

/** Factor to the next rate while nothing has failed. */
const GROWTH = 2;
/** A rate that does not hold is tried again: one bad moment of the machine is not a limit. */
const TRIES = 2;
/** The number of doublings is unknown; this guess is used for the remaining time. */
const GUESSED_DOUBLINGS = 4;

export class RateSearch {
  readonly #options: SearchOptions;
  /** The highest rate that held; 0: none yet. */
  #held = 0;
  /** The lowest rate that did not; infinite: none has failed. */
  #failed = Number.POSITIVE_INFINITY;
  #next: number | null;
  #tries = 0;

  constructor(options: SearchOptions) {
    this.#options = options;
    this.#next = Math.min(options.most, Math.max(options.least, Math.round(options.from)));
  }

  /** The rate to try next; null: the search is over. */
  get next(): number | null {
    return this.#next;
  }

  /** The result; null if not even the minimum held. */
  get found(): number | null {
    return this.#held === 0 ? null : this.#held;
  }

  /** Whether the maximum rate held, so that the limit is above it. */
  get atMost(): boolean {
    return this.#held === this.#options.most;
  }

  /** Number of rates still to try, if none has to be repeated. */
  get left(): number {
    if (this.#next === null) return 0;
    if (this.#failed === Number.POSITIVE_INFINITY) {
      const doublings = Math.ceil(Math.log2(Math.max(2, this.#options.most / this.#next)));
      return Math.min(doublings, GUESSED_DOUBLINGS) + this.#bisections(1 - 1 / GROWTH);
    }
    return this.#bisections(1 - this.#held / this.#failed);
  }

  /** Reports the outcome of the proposed rate. */
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
