// Which names on a connection have values that repeat. Paths with identifiers, traces, times and cookies never do: looking such a value up
// by two hashes, and recording its first sight, is wasted effort and displaces records of others.
//
// For each name we count how much more often a value was new than not. From SKIP_FROM on, values are skipped; after SKIPPED of them a few
// are looked up again, to notice when a name's values begin to repeat. Names share counters: if one that repeats shares with one that does
// not, they cancel out, and both are looked up. Each HTTP/2 connection has its own counters, so that nobody spoils them for others; HTTP/1
// connections share some, by name and socket.

/** Counters of one connection. */
const SLOTS = 64;
const SKIP_FROM = 64;
const SKIPPED = 960;
/** Minimum number of values to look up then. */
const RECHECKED = 32;
const NONE = new Int16Array(0);

export class RecurrenceFilter {
  private counts = NONE;

  /** `slots` is a power of two. */
  constructor(private readonly slots = SLOTS) {}

  /** Whether to look up the next value of a name, given by its reference or another number. */
  shouldLookUp(ref: number): boolean {
    const { counts } = this;
    if (counts.length === 0) return true;
    const slot = ref & (this.slots - 1);
    const count = counts[slot];
    if (count < SKIP_FROM) return true;
    counts[slot] = count === SKIP_FROM + SKIPPED ? SKIP_FROM - RECHECKED : count + 1;
    return false;
  }

  /** A value that was looked up was known, or had been seen before. */
  recordKnown(ref: number): void {
    const { counts } = this;
    if (counts.length === 0) return;
    const slot = ref & (this.slots - 1);
    const count = counts[slot];
    if (count > 0) counts[slot] = Math.min(count, SKIP_FROM) - 1;
  }

  /** It was new. */
  recordNew(ref: number): void {
    if (this.counts.length === 0) this.counts = new Int16Array(this.slots);
    this.counts[ref & (this.slots - 1)]++;
  }
}
