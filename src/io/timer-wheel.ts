// A hierarchical timer wheel: one deadline per slot, in intrusive lists over typed arrays. Four levels of 64 buckets with a tick of 2 ms
// reach 9.3 hours; later deadlines are rescheduled then. Scheduling and cancelling are a few stores.
//
// Deadlines that move later (idle timers) need not be moved here: when the timer fires, the owner checks its own clock and schedules the
// rest. So a busy connection costs the wheel nothing.
import { column } from '../http/columns.js';

/** Milliseconds per tick: the resolution of every timeout. */
export const TICK_MS = 2;
const BITS = 6;
const BUCKETS = 1 << BITS;
const LEVELS = 4;
/** Ticks per bucket of each level; the last is the reach of all levels together. */
const SPAN = [1, BUCKETS, BUCKETS ** 2, BUCKETS ** 3, BUCKETS ** 4] as const;
/** Bucket of a slot without a timer. */
export const NO_BUCKET = -1;
const NONE = NO_BUCKET;

export class TimerWheel {
  private readonly next: Int32Array;
  private readonly prev: Int32Array;
  /** Bucket of each slot, or NONE. */
  private readonly bucket: Int16Array;
  private readonly deadline: Float64Array;
  private readonly heads = column(Int32Array, LEVELS * BUCKETS).fill(NONE);
  private readonly counts = column(Int32Array, LEVELS);
  /** Ticks up to and including this one have fired. */
  private tick: number;
  private readonly due: Int32Array;
  private armed = 0;
  private cascading = false;
  /** Last result of `nextMs`, kept up to date by new timers; -1 once that time has come. */
  private soonest = -1;

  /** A cell of `bucket` is NONE before its slot is first used. */
  constructor(capacity: number, nowMs: number, bucket = new Int16Array(capacity).fill(NONE)) {
    this.next = column(Int32Array, capacity);
    this.prev = column(Int32Array, capacity);
    this.bucket = bucket;
    this.deadline = column(Float64Array, capacity);
    this.due = column(Int32Array, capacity);
    this.tick = Math.floor(nowMs / TICK_MS);
  }

  /** Columns by slot of which the cells of slots without a timer may become 0. */
  columns(): readonly ArrayBufferView[] {
    return [this.next, this.prev, this.deadline];
  }

  /** Timers armed. */
  get size(): number {
    return this.armed;
  }

  /** Arms or moves the timer of `slot` to `deadlineMs`. */
  schedule(slot: number, deadlineMs: number): void {
    if (this.bucket[slot] !== NONE) this.unlink(slot);
    this.deadline[slot] = deadlineMs;
    this.link(slot);
  }

  /** Arms the timer, or moves it only if `deadlineMs` is earlier than the current deadline. */
  pull(slot: number, deadlineMs: number): void {
    if (this.bucket[slot] !== NONE) {
      if (this.deadline[slot] <= deadlineMs) return;
      this.unlink(slot);
    }
    this.deadline[slot] = deadlineMs;
    this.link(slot);
  }

  cancel(slot: number): void {
    if (this.bucket[slot] !== NONE) this.unlink(slot);
  }

  /**
   * Advances time and collects the slots whose deadline has come, in no order within a tick. Returns their number; read them with
   * `expired(i)`. They are no longer armed.
   */
  advance(nowMs: number): number {
    const target = Math.floor(nowMs / TICK_MS);
    if (target * TICK_MS >= this.soonest) this.soonest = -1;
    if (this.armed === 0) {
      if (target > this.tick) this.tick = target;
      return 0;
    }
    let n = 0;
    while (this.tick < target) {
      // An empty level 0 is skipped to its next cascade: a long silence costs one step per 64 ticks.
      if (this.counts[0] === 0) {
        // No `|`: it would turn a tick count over 2^31 (an uptime of 50 days) negative.
        const last = this.tick + BUCKETS - 1 - (this.tick & (BUCKETS - 1));
        if (last >= target) {
          this.tick = target;
          break;
        }
        this.tick = last;
      }
      this.tick++;
      if ((this.tick & (BUCKETS - 1)) === 0) {
        this.cascading = true;
        this.cascade(1);
        this.cascading = false;
      }
      n = this.collect(this.tick & (BUCKETS - 1), n);
      if (this.armed === 0) {
        this.tick = target;
        break;
      }
    }
    return n;
  }

  expired(i: number): number {
    return this.due[i];
  }

  /** Earliest time at which `advance` has something to do, ms; Infinity if no timer is armed. May be early, never late. */
  nextMs(): number {
    if (this.armed === 0) return Number.POSITIVE_INFINITY;
    if (this.soonest < 0) this.soonest = this.findNext();
    return this.soonest;
  }

  private findNext(): number {
    if (this.counts[0] > 0) {
      for (let i = 1; i <= BUCKETS; i++) {
        const tick = this.tick + i;
        if (this.heads[tick & (BUCKETS - 1)] !== NONE || (tick & (BUCKETS - 1)) === 0) return tick * TICK_MS;
      }
    }
    // Nothing at level 0: the next cascade that can bring something down. Any level may be the first: a distant timer moves down only when
    // its bucket's turn comes.
    let earliest = Number.POSITIVE_INFINITY;
    for (let level = 1; level < LEVELS; level++) {
      if (this.counts[level] === 0) continue;
      const base = Math.floor(this.tick / SPAN[level]);
      for (let i = 1; i <= BUCKETS; i++) {
        if (this.heads[level * BUCKETS + ((base + i) & (BUCKETS - 1))] !== NONE) {
          earliest = Math.min(earliest, (base + i) * SPAN[level] * TICK_MS);
          break;
        }
      }
    }
    return earliest;
  }

  private collect(index: number, n: number): number {
    let slot = this.heads[index];
    while (slot !== NONE) {
      const next = this.next[slot];
      this.bucket[slot] = NONE;
      this.counts[0]--;
      this.armed--;
      this.due[n++] = slot;
      slot = next;
    }
    this.heads[index] = NONE;
    return n;
  }

  private cascade(level: number): void {
    if (level >= LEVELS) return;
    const index = Math.floor(this.tick / SPAN[level]) & (BUCKETS - 1);
    if (index === 0) this.cascade(level + 1);
    const at = level * BUCKETS + index;
    let slot = this.heads[at];
    this.heads[at] = NONE;
    while (slot !== NONE) {
      const next = this.next[slot];
      this.bucket[slot] = NONE;
      this.counts[level]--;
      this.armed--;
      this.link(slot);
      slot = next;
    }
  }

  private link(slot: number): void {
    let tick = Math.ceil(this.deadline[slot] / TICK_MS);
    // Only during a cascade is the current tick not yet collected, and so a valid place.
    const earliest = this.cascading ? this.tick : this.tick + 1;
    if (tick < earliest) tick = earliest;
    const delta = tick - this.tick;
    let level = 0;
    if (delta >= BUCKETS) {
      level = delta < SPAN[2] ? 1 : delta < SPAN[3] ? 2 : 3;
      // Beyond the last level: wait in the bucket that comes round last.
      if (delta >= SPAN[LEVELS]) tick = this.tick + SPAN[LEVELS] - 1;
    }
    const turn = Math.floor(tick / SPAN[level]);
    const index = level * BUCKETS + (turn & (BUCKETS - 1));
    if (this.soonest >= 0) this.soonest = Math.min(this.soonest, turn * SPAN[level] * TICK_MS);
    const head = this.heads[index];
    this.next[slot] = head;
    this.prev[slot] = NONE;
    if (head !== NONE) this.prev[head] = slot;
    this.heads[index] = slot;
    this.bucket[slot] = index;
    this.counts[level]++;
    this.armed++;
  }

  private unlink(slot: number): void {
    const index = this.bucket[slot];
    const next = this.next[slot];
    const prev = this.prev[slot];
    if (next !== NONE) this.prev[next] = prev;
    if (prev !== NONE) this.next[prev] = next;
    else this.heads[index] = next;
    this.bucket[slot] = NONE;
    this.counts[index >> BITS]--;
    this.armed--;
  }
}
