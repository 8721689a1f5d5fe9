// The slab: one mapping cut into buffers of 16 KiB, and the ring that lends them to the kernel's receives.
//
// Only as many buffers as a turn may need are lent at a time; the rest lie on a stack, so that the buffer released last,
// still in the cache, is lent next. The first data byte moves by a cache line from buffer to buffer: with equal offsets
// all of them would compete for the same few cache sets (the stride is a power of two).
import type { RingMemory } from './native.js';

export const BUFFER_SIZE = 16384;
const BUFFER_SHIFT = 14;
/** Room kept before the first data byte (frame headers, chunk sizes) and after the last. */
export const HEADROOM = 64;
export const TAILROOM = 64;
const COLOURS = 8;
/** Data bytes that every buffer holds at least. */
export const BUFFER_CAPACITY = BUFFER_SIZE - HEADROOM - (COLOURS - 1) * 64 - TAILROOM;

/** Entries of the provided-buffer ring: a power of two, the upper bound of what is lent at a time. */
export const RING_BUFFERS = 1024;
const RING_START = 64;
/** Buffers that receives leave for what is to be sent, so that input can't keep output from being written; less in a small slab. */
const RESERVE = 64;
/** What is kept for those who move, beyond the reserve: an eighth of the slab is not given to those who wait ... */
const KEPT_SHIFT = 3;
/** ... and of what is free beyond that, one who waits may hold a quarter. */
const SHARE_SHIFT = 2;
/** Buffers whose pages are given back at a time: 8 MiB, which takes the kernel about a millisecond. */
const SHRINK_BUFFERS = 512;

export class Slab {
  readonly bytes: Uint8Array;
  readonly low: number;
  readonly high: number;
  /** Bytes of a buffer, head and tail room included. */
  readonly bufferBytes = BUFFER_SIZE;
  /** Buffers in the slab, the fixed region excluded. */
  readonly buffers: number;
  /** Buffers on the stack: neither lent to the kernel nor held by a connection. */
  free = 0;
  /** Buffers lent to the kernel. */
  lent = 0;
  private target: number;
  /** Buffers whose pages were given back to the system, ever. */
  discarded = 0;
  private readonly reserve: number;
  private readonly kept: number;
  /** Buffers that are promised: one to each connection, as far as half of the slab goes. */
  private promised = 0;
  /** Buffers that were free all the time since `settle`: the lowest of the stack. */
  private lowest: number;
  /** Of these, those that have no pages. */
  private bare = 0;
  private ranOut = false;
  private cold = 0;
  private shrunkAt = -1;
  private readonly lentBids = new Int32Array(RING_BUFFERS);
  private readonly stack: Int32Array;
  private readonly refs: Uint16Array;
  private readonly ring32: Uint32Array;
  private readonly ring16: Uint16Array;
  /** Where in the ring a buffer that is lent has its entry. */
  private readonly place: Uint16Array;
  private ringTail = 0;
  private fixedAt: number;

  /** `fixedBytes` at the end of the mapping are kept for addresses and message headers. */
  constructor(memory: RingMemory, fixedBytes: number) {
    this.bytes = new Uint8Array(memory.slab);
    this.low = memory.slabLow;
    this.high = memory.slabHigh;
    // Buffer ids are 16 bits wide in a completion.
    this.buffers = Math.min(65536, Math.floor((memory.slab.byteLength - fixedBytes) / BUFFER_SIZE));
    this.fixedAt = this.buffers * BUFFER_SIZE;
    this.reserve = Math.min(RESERVE, this.buffers >> 3);
    this.kept = this.reserve + (this.buffers >> KEPT_SHIFT);
    this.target = Math.min(RING_START, this.buffers >> 1);
    this.stack = new Int32Array(this.buffers);
    this.refs = new Uint16Array(this.buffers);
    this.place = new Uint16Array(this.buffers);
    this.ring32 = new Uint32Array(memory.bufferRing);
    this.ring16 = new Uint16Array(memory.bufferRing);
    for (let bid = this.buffers - 1; bid >= 0; bid--) this.stack[this.free++] = bid;
    this.lend();
    this.lowest = this.free;
    // Nothing has been touched yet.
    this.bare = this.free;
  }

  /** Takes `length` bytes of the fixed region for good; returns their offset. Throws when it is used up. */
  fixed(length: number): number {
    const at = (this.fixedAt + 15) & ~15;
    if (at + length > this.bytes.length) throw new Error('the fixed region of the slab is used up');
    this.fixedAt = at + length;
    return at;
  }

  /** Offset of the first data byte of `bid`. */
  dataStart(bid: number): number {
    return bid * BUFFER_SIZE + HEADROOM + ((bid & (COLOURS - 1)) << 6);
  }

  /** Offset of the whole of `bid`, head and tail room included. */
  bufferStart(bid: number): number {
    return bid * BUFFER_SIZE;
  }

  /** Offset past the last data byte that `bid` may hold. */
  dataEnd(bid: number): number {
    return (bid + 1) * BUFFER_SIZE - TAILROOM;
  }

  /** The buffer that offset `at` lies in. */
  bufferOf(at: number): number {
    return at >>> BUFFER_SHIFT;
  }

  /**
   * How many buffers may be held now by one connection, stream or queue whose reader is slow; 0 where those who move need what is left. A
   * fraction of what is free: the more there are who wait, the less each may hold, as with the dynamic thresholds of switches
   * (Choudhury and Hahne, 1998).
   */
  get share(): number {
    const left = this.free + this.lent - this.kept - this.promised;
    return left > 0 ? left >> SHARE_SHIFT : 0;
  }

  /** Whether there is so much that a copy is not worth what it would save. */
  get plentiful(): boolean {
    return this.free + this.lent > this.buffers - (this.buffers >> 2);
  }

  /** Says how many connections there are: each is sure of a buffer, which others don't get. Called once a loop turn. */
  promise(connections: number): void {
    this.promised = Math.min(connections, this.buffers >> 1);
  }

  /** A buffer with one reference, or -1 when the slab is out. */
  take(): number {
    if (this.free === 0) return -1;
    const bid = this.stack[--this.free];
    this.refs[bid] = 1;
    return bid;
  }

  /** The same for what a transport hands to the protocols: it leaves the buffers that output needs, as receives do. */
  takeForInput(): number {
    return this.free > this.reserve ? this.take() : -1;
  }

  /**
   * The same for input that takes the place of a buffer which is given back right after, as plain text does of what it was decrypted from: half
   * of the reserve is there for that too, or all memory could be full of what waits to be decrypted.
   */
  takeToReplace(): number {
    return this.free > this.reserve >> 1 ? this.take() : -1;
  }

  /** Whether `takeToReplace` has a buffer. */
  get replaceable(): boolean {
    return this.free > this.reserve >> 1;
  }

  /** Notes that the kernel filled `bid`: it comes back from the ring with one reference. */
  received(bid: number): void {
    this.lent--;
    this.refs[bid] = 1;
  }

  /** How much a receive may have put into `bid`, a buffer that was lent: the kernel says so in its entry. */
  lentBytes(bid: number): number {
    return this.ring32[(this.place[bid] << 2) + 2];
  }

  /** The buffer that was lent behind `bid`, into which a receive goes on. */
  lentNext(bid: number): number {
    return this.ring16[(((this.place[bid] + 1) & (RING_BUFFERS - 1)) << 3) + 6];
  }

  retain(bid: number): void {
    this.refs[bid]++;
  }

  /** True if nobody but the caller refers to `bid`, so that its bytes may be moved. */
  exclusive(bid: number): boolean {
    return this.refs[bid] === 1;
  }

  /** Whether one peer may hold `count` buffers with something that is not whole: one always, more only within its share. */
  affords(count: number): boolean {
    return count <= 1 || count <= this.share;
  }

  release(bid: number): void {
    const refs = this.refs[bid] - 1;
    if (refs < 0) throw new Error(`buffer ${bid} released twice`);
    this.refs[bid] = refs;
    if (refs === 0) this.stack[this.free++] = bid;
  }

  /**
   * Fills the ring up to what is lent at a time, which is less where less is left: whoever has much to read may take in a turn all that is
   * lent, before it can be stopped. Called once a loop turn. `greedy`: there are receives that may take more than one buffer each. While memory
   * is short they get none, or a thousand readers that stall would have all of it before they are known; they end for want of buffers, and those
   * that take their place bring in one.
   */
  lend(greedy = false): void {
    if (greedy && this.share === 0) return;
    let n = this.target - this.lent;
    if (this.free < this.lowest) this.lowest = this.free;
    const free = this.free - this.reserve;
    if (n <= 0 || free <= 0) return;
    const half = Math.max((this.free + this.lent - this.kept) >> 1, (this.kept + 8) >> 3) - this.lent;
    if (n > half) n = half;
    if (n > free) n = free;
    let tail = this.ringTail;
    for (; n > 0; n--) {
      const bid = this.stack[--this.free];
      const entry = (tail & (RING_BUFFERS - 1)) << 2;
      this.ring32[entry] = (this.low + this.dataStart(bid)) >>> 0;
      this.ring32[entry + 1] = this.high;
      this.ring32[entry + 2] = BUFFER_CAPACITY;
      // Bytes 12..13; bytes 14..15 of entry 0 are the ring's tail.
      this.ring16[(entry << 1) + 6] = bid;
      this.place[bid] = tail & (RING_BUFFERS - 1);
      tail = (tail + 1) & 0xffff;
      this.lent++;
    }
    if (this.free < this.lowest) this.lowest = this.free;
    this.ringTail = tail;
    this.ring16[7] = tail;
  }

  /** A time has passed after which what nobody has touched is cold: what is lent at a time becomes less unless the kernel ran out. */
  settle(): void {
    if (this.bare > this.lowest) this.bare = this.lowest;
    this.cold = this.lowest;
    this.lowest = this.free;
    if (!this.ranOut && this.target > RING_START) this.target >>= 1;
    this.ranOut = false;
  }

  /**
   * Has `discard` give back the pages of some buffers that are cold. They are on the stack, so nobody refers to them, and neither does the
   * kernel: it has no more than the addresses of those that are lent.
   */
  shrink(discard: (bids: Int32Array, from: number, count: number, bytes: number) => number): void {
    const cold = Math.min(this.cold, this.free);
    const count = Math.min(cold - this.bare, SHRINK_BUFFERS);
    if (count <= 0) return;
    // Which of them is where is all the same; neighbours are given back together.
    this.stack.subarray(this.bare, cold).sort();
    this.discarded += discard(this.stack, this.bare, count, BUFFER_SIZE);
    this.bare += count;
  }

  /** The same for what is lent beyond what is lent now that it is quiet. */
  shrinkLent(discard: (bids: Int32Array, from: number, count: number, bytes: number) => number): void {
    const count = this.lent - this.target;
    // Nothing was lent since: they have no pages.
    if (count <= RING_START || this.shrunkAt === this.ringTail) return;
    this.shrunkAt = this.ringTail;
    for (let i = 0; i < count; i++) {
      const entry = ((this.ringTail - 1 - i) & (RING_BUFFERS - 1)) << 2;
      this.lentBids[i] = this.ring16[(entry << 1) + 6];
    }
    this.lentBids.subarray(0, count).sort();
    this.discarded += discard(this.lentBids, 0, count, BUFFER_SIZE);
  }

  /** Buffers that the kernel has to receive into, or could be lent. */
  get receivable(): number {
    return this.free > this.reserve ? this.lent + this.free - this.reserve : this.lent;
  }

  /** The kernel ran out of lent buffers: lend more at a time. */
  grow(): void {
    this.ranOut = true;
    if (this.target < RING_BUFFERS && this.target << 1 <= this.buffers >> 1) this.target <<= 1;
  }
}
