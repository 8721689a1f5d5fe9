// Which names of a connection have values that come again. Paths with identifiers in them, traces, times and cookies never do: to look for
// such a value by two hashes, and to note its first sight, is for nothing, and pushes out what was noted of others.
//
// By name it is counted how much more often a value was new than not. From LIMIT on values are passed over; after PASSED of them a few are looked at
// again, so that a name whose values come to repeat is found out. Names share counters: those of a name that repeats and of one that
// does not cancel out, and then both are looked at. Each connection of HTTP/2 has its own, so that nobody spoils it for others; those of
// HTTP/1 share some for all, by name and socket.

/** Counters of one connection. */
const SLOTS = 64;
const LIMIT = 64;
const PASSED = 960;
/** Values that are looked at then, at least. */
const LOOKS = 32;
const NONE = new Int16Array(0);

export class Novelty {
  private counts = NONE;

  /** `slots` is a power of two. */
  constructor(private readonly slots = SLOTS) {}

  /** Whether the next value of a name, by its reference or another number, is worth looking for. */
  worth(ref: number): boolean {
    const { counts } = this;
    if (counts.length === 0) return true;
    const slot = ref & (this.slots - 1);
    const count = counts[slot];
    if (count < LIMIT) return true;
    counts[slot] = count === LIMIT + PASSED ? LIMIT - LOOKS : count + 1;
    return false;
  }

  /** A value that was looked for was known, or has been seen before. */
  again(ref: number): void {
    const { counts } = this;
    if (counts.length === 0) return;
    const slot = ref & (this.slots - 1);
    const count = counts[slot];
    if (count > 0) counts[slot] = Math.min(count, LIMIT) - 1;
  }

  /** It was not. */
  fresh(ref: number): void {
    if (this.counts.length === 0) this.counts = new Int16Array(this.slots);
    this.counts[ref & (this.slots - 1)]++;
  }
}
