// Input that can't be used yet: an incomplete head, a pipelined request. Each slot has a list of received buffers, linked through columns
// indexed by buffer id, so that holding input allocates nothing.
import { column } from '../http/columns.js';
import { BUFFER_CAPACITY, BUFFER_SIZE, HEADROOM, type Slab, TAILROOM } from './slab.js';

const NONE = -1;
/** Pieces up to this size are copied behind held data. */
const GATHER_BYTES = 4096;
/** Data of up to this size may rest in a small block: it fits before whatever comes next, in the same buffer. */
const REST_BYTES = BUFFER_SIZE - HEADROOM - TAILROOM - BUFFER_CAPACITY;

/** Small pieces of memory. */
interface SmallBlocks {
  take(): number;
  release(at: number): void;
}

export class Inbox {
  /** Bytes held per slot. */
  readonly bytes: Int32Array;
  /** The first and the last buffer plus 1; 0: none, so that unwritten columns take no memory. */
  private readonly head: Int32Array;
  private readonly tail: Int32Array;
  private readonly next: Int32Array;
  private readonly start: Int32Array;
  private readonly end: Int32Array;
  /** Position of resting data plus 1; 0: nothing rests. */
  private readonly resting: Int32Array;
  /** Place for small input, so that it does not hold a buffer; undefined: it stays in its buffer. */
  blocks: SmallBlocks | undefined;

  constructor(
    private readonly slab: Slab,
    slots: number,
  ) {
    this.bytes = column(Int32Array, slots);
    this.head = column(Int32Array, slots);
    this.tail = column(Int32Array, slots);
    this.next = column(Int32Array, slab.buffers);
    this.start = column(Int32Array, slab.buffers);
    this.end = column(Int32Array, slab.buffers);
    this.resting = column(Int32Array, slots);
  }

  empty(slot: number): boolean {
    return this.head[slot] === 0 && this.resting[slot] === 0;
  }

  /** The data here needs more before it can be used. While memory is not plentiful, small data gives up its buffer. */
  rest(slot: number): void {
    const { slab, blocks } = this;
    const bid = this.head[slot] - 1;
    if (bid === NONE || blocks === undefined || slab.plentiful) return;
    const length = this.end[bid] - this.start[bid];
    if (this.next[bid] !== NONE || length > REST_BYTES) return;
    const at = blocks.take();
    if (at < 0) return;
    slab.bytes.copyWithin(at, this.start[bid], this.end[bid]);
    this.head[slot] = 0;
    this.tail[slot] = 0;
    this.resting[slot] = at + 1;
    slab.release(bid);
  }

  /**
   * Puts resting data back into a buffer. False if there is none; nothing is lost then. Call this before anything but `push` and `clear`.
   */
  wake(slot: number): boolean {
    if (this.resting[slot] === 0) return true;
    const bid = this.slab.take();
    if (bid < 0) return false;
    const start = this.slab.dataStart(bid);
    this.rise(slot, bid, start, start);
    return true;
  }

  /**
   * Appends [start, end) of `bid`; takes over the reference. Small pieces are gathered in the last buffer, so that a peer that sends a byte
   * at a time does not hold a buffer for each.
   */
  push(slot: number, bid: number, start: number, end: number): void {
    if (this.resting[slot] !== 0) {
      if (this.slab.exclusive(bid)) {
        this.rise(slot, bid, start, end);
        return;
      }
      if (!this.wake(slot)) throw new Error('input that others refer to, and no buffer for what came before');
    }
    const last = this.tail[slot] - 1;
    if (last !== NONE && end - start <= GATHER_BYTES && this.slab.exclusive(last)) {
      const at = this.end[last];
      if (this.slab.dataEnd(last) - at >= end - start && at + end - start - this.start[last] <= BUFFER_CAPACITY) {
        this.slab.bytes.copyWithin(at, start, end);
        this.end[last] = at + end - start;
        this.bytes[slot] += end - start;
        this.slab.release(bid);
        return;
      }
    }
    this.start[bid] = start;
    this.end[bid] = end;
    this.next[bid] = NONE;
    if (this.head[slot] === 0) this.head[slot] = bid + 1;
    else this.next[this.tail[slot] - 1] = bid;
    this.tail[slot] = bid + 1;
    this.bytes[slot] += end - start;
  }

  /** Puts [start, end) of `bid` before everything else. */
  unshift(slot: number, bid: number, start: number, end: number): void {
    this.start[bid] = start;
    this.end[bid] = end;
    this.next[bid] = this.head[slot] - 1;
    if (this.head[slot] === 0) this.tail[slot] = bid + 1;
    this.head[slot] = bid + 1;
    this.bytes[slot] += end - start;
  }

  /** Removes the first buffer; its range is in `startOf` and `endOf`. -1 if there is none. */
  shift(slot: number): number {
    const bid = this.head[slot] - 1;
    if (bid === NONE) return NONE;
    this.head[slot] = this.next[bid] + 1;
    if (this.head[slot] === 0) this.tail[slot] = 0;
    this.bytes[slot] -= this.end[bid] - this.start[bid];
    return bid;
  }

  /** The first buffer, for iteration with `following`; -1 if there is none. */
  first(slot: number): number {
    return this.head[slot] - 1;
  }

  following(bid: number): number {
    return this.next[bid];
  }

  /** Buffers held for `slot`. */
  count(slot: number): number {
    let count = 0;
    for (let bid = this.head[slot] - 1; bid !== NONE; bid = this.next[bid]) count++;
    return count;
  }

  /** Copies the first `length` bytes to slab offset `to`, and drops them here. */
  take(slot: number, length: number, to: number): void {
    const { slab } = this;
    let left = length;
    for (let bid = this.head[slot] - 1; left > 0 && bid !== NONE; bid = this.head[slot] - 1) {
      const start = this.start[bid];
      const count = Math.min(left, this.end[bid] - start);
      slab.bytes.copyWithin(to + length - left, start, start + count);
      left -= count;
      if (start + count === this.end[bid]) {
        this.shift(slot);
        slab.release(bid);
      } else {
        this.start[bid] = start + count;
        this.bytes[slot] -= count;
      }
    }
  }

  startOf(bid: number): number {
    return this.start[bid];
  }

  endOf(bid: number): number {
    return this.end[bid];
  }

  /**
   * Merges the first two buffers, for a piece that must be contiguous. Returns 1 when done, 0 if there is only one buffer, -1 if both
   * together are larger than a buffer, -2 if the slab is exhausted. Bytes of the second that do not fit stay.
   */
  merge(slot: number): number {
    const first = this.head[slot] - 1;
    if (first === NONE) return 0;
    const second = this.next[first];
    if (second === NONE) return 0;
    const slab = this.slab;
    const bytes = slab.bytes;
    let target = first;
    let at = this.start[first];
    let end = this.end[first];
    const length = end - at;
    if (length >= BUFFER_CAPACITY) return -1;
    if (!slab.exclusive(first)) {
      target = slab.take();
      if (target < 0) return -2;
      const to = slab.dataStart(target);
      bytes.copyWithin(to, at, end);
      at = to;
      end = to + length;
      this.next[target] = second;
      this.head[slot] = target + 1;
      slab.release(first);
    } else if (slab.dataEnd(first) - end < this.end[second] - this.start[second]) {
      const to = slab.dataStart(first);
      bytes.copyWithin(to, at, end);
      at = to;
      end = to + length;
    }
    const room = slab.dataEnd(target) - end;
    const available = this.end[second] - this.start[second];
    const n = Math.min(available, room);
    if (n <= 0) {
      this.start[target] = at;
      this.end[target] = end;
      return -1;
    }
    bytes.copyWithin(end, this.start[second], this.start[second] + n);
    this.start[target] = at;
    this.end[target] = end + n;
    if (n === available) {
      this.next[target] = this.next[second];
      if (this.tail[slot] === second + 1) this.tail[slot] = target + 1;
      slab.release(second);
    } else this.start[second] += n;
    return 1;
  }

  /** Puts resting data before [start, end) of `bid`, which is exclusive and becomes all that is held. */
  private rise(slot: number, bid: number, start: number, end: number): void {
    const { slab } = this;
    const at = this.resting[slot] - 1;
    const rested = this.bytes[slot];
    const from = slab.bufferStart(bid) + HEADROOM;
    slab.bytes.copyWithin(from + rested, start, end);
    slab.bytes.copyWithin(from, at, at + rested);
    this.drop(slot);
    this.start[bid] = from;
    this.end[bid] = from + rested + end - start;
    this.next[bid] = NONE;
    this.head[slot] = bid + 1;
    this.tail[slot] = bid + 1;
    this.bytes[slot] = rested + end - start;
  }

  private drop(slot: number): void {
    const at = this.resting[slot] - 1;
    if (at < 0) return;
    this.resting[slot] = 0;
    this.blocks?.release(at);
  }

  /** Drops everything held for `slot`. */
  clear(slot: number): void {
    this.drop(slot);
    let bid = this.head[slot] - 1;
    while (bid !== NONE) {
      const next = this.next[bid];
      this.slab.release(bid);
      bid = next;
    }
    this.head[slot] = 0;
    this.tail[slot] = 0;
    this.bytes[slot] = 0;
  }
}
