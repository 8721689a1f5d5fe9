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

/** What a load at a rate has shown. `disturbed`: it did not hold, but something other than the subject may be the reason. */
export type Outcome = 'held' | 'failed' | 'disturbed';

/** Factor to the next rate while nothing has failed. */
const GROWTH = 2;
/** A rate counts as failed after this many failures: one bad moment of the machine is not a limit. If it held in between, the majority decides. */
const FAILURES = 2;
/** Disturbed loads at a rate that are repeated; further ones count as failures. */
const DISTURBANCES = 4;
/** The same for a whole search: a machine that stays busy is not waited for at every rate. */
const ALL_DISTURBANCES = 12;
/** The number of doublings is unknown; this guess is used for the remaining time. */
const GUESSED_DOUBLINGS = 4;

export class RateSearch {
  readonly #options: SearchOptions;
  /** The highest rate that held; 0: none yet. */
  #held = 0;
  /** The lowest rate that did not; infinite: none has failed. */
  #failed = Number.POSITIVE_INFINITY;
  #next: number | null;
  /** Rates that held, ascending: the last one has to hold once more in the end. */
  #heldRates: number[] = [];
  #confirming = false;
  /** Outcomes of the current rate. */
  #holds = 0;
  #failures = 0;
  #disturbances = 0;
  #allDisturbances = 0;
  /** Whether the lowest rate that failed was disturbed in each load. */
  #doubtful = false;

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

  /** Whether the rate that did not hold was never tried undisturbed: then the limit may be the machine's. */
  get doubtful(): boolean {
    return this.#doubtful;
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
  record(outcome: Outcome): void {
    const rate = this.#next;
    if (rate === null) throw new Error('no rate was asked for');
    if (outcome === 'disturbed' && this.#mayRepeat()) return;
    if (outcome === 'held') this.#holds++;
    else this.#failures++;
    if (this.#failures > 0 && this.#holds < FAILURES && this.#failures < FAILURES) return;
    const held = this.#failures < FAILURES;
    if (held) this.#hold(rate);
    else this.#fail(rate, outcome === 'disturbed');
    this.#holds = this.#failures = this.#disturbances = 0;
    this.#next = this.#chooseNext();
    if (this.#next !== null || this.#held === 0 || this.#confirming) return;
    // The answer is a rate that has held twice.
    this.#confirming = true;
    this.#next = this.#held;
  }

  /** Whether a disturbed load is repeated. */
  #mayRepeat(): boolean {
    return ++this.#disturbances <= DISTURBANCES && ++this.#allDisturbances <= ALL_DISTURBANCES;
  }

  #hold(rate: number): void {
    this.#held = Math.max(this.#held, rate);
    if (!this.#heldRates.includes(rate)) this.#heldRates.push(rate);
  }

  #fail(rate: number, doubtful: boolean): void {
    if (rate < this.#failed) this.#doubtful = doubtful;
    this.#failed = Math.min(this.#failed, rate);
    if (!this.#confirming) return;
    // It held by chance.
    this.#confirming = false;
    this.#heldRates = this.#heldRates.filter((lower) => lower < rate);
    this.#held = this.#heldRates.at(-1) ?? 0;
  }

  #chooseNext(): number | null {
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
