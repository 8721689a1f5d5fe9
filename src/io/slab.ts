// The slab: one mapping divided into buffers of 16 KiB, and the ring that lends them to the kernel's receives.
//
// Only as many buffers as a turn may need are lent at a time. The rest lie on a stack, so that the buffer released last, still in the
// cache, is lent next. The first data byte moves by a cache line from buffer to buffer: with equal offsets all buffers would compete for
// the same few cache sets (the stride is a power of two).
import { column } from '../http/columns.js';
import type { RingMemory } from './native.js';

export const BUFFER_SIZE = 16384;
const BUFFER_SHIFT = 14;
/** Room kept before the first data byte (frame headers, chunk sizes) and after the last. */
export const HEADROOM = 64;
export const TAILROOM = 64;
const COLORS = 8;
/** Minimum data bytes of a buffer. */
export const BUFFER_CAPACITY = BUFFER_SIZE - HEADROOM - (COLORS - 1) * 64 - TAILROOM;

/** Entries of the provided-buffer ring: a power of two, and the maximum lent at a time. */
export const RING_BUFFERS = 1024;
const RING_START = 64;
/** Buffers that receives leave for output, so that input can't keep output from being written; fewer in a small slab. */
const RESERVE = 64;
/** Beyond the reserve, an eighth of the slab is kept for peers that make progress ... */
const RESERVED_SHIFT = 3;
/** ... and of what is free beyond that, one stalled peer may hold a quarter. */
const SHARE_SHIFT = 2;
/** Buffers whose pages are returned at a time: 8 MiB, which takes the kernel about a millisecond. */
const SHRINK_BUFFERS = 512;

export class Slab {
  readonly bytes: Uint8Array;
  readonly low: number;
  readonly high: number;
  /** Bytes of a buffer, including headroom and tailroom. */
  readonly bufferBytes = BUFFER_SIZE;
  /** Buffers in the slab, the fixed region excluded. */
  readonly buffers: number;
  /** Buffers on the stack: neither lent to the kernel nor held by a connection. */
  free = 0;
  /** Buffers lent to the kernel. */
  lent = 0;
  private target: number;
  /** Buffers whose pages have been returned to the system so far. */
  discarded = 0;
  private readonly reserve: number;
  private readonly reservedTotal: number;
  /** Promised buffers: one per connection, up to half of the slab. */
  private guaranteed = 0;
  /** Buffers that have been free since `settle`: the bottom of the stack. */
  private lowest: number;
  /** Those of them that have no pages. */
  private discardedFree = 0;
  private exhausted = false;
  private cold = 0;
  /** End of the ring when `shrinkLent` was last asked, and how many before it have no pages. */
  private settledTail: number;
  private shrunk: number;
  private readonly lentBids = column(Int32Array, RING_BUFFERS);
  private readonly stack: Int32Array;
  private readonly refs: Uint16Array;
  private readonly ring32: Uint32Array;
  private readonly ring16: Uint16Array;
  /** Entry of a lent buffer in the ring. */
  private readonly place: Uint16Array;
  private ringTail = 0;
  private fixedAt: number;

  /** `fixedBytes` at the end of the mapping are reserved for addresses and message headers. */
  constructor(memory: RingMemory, fixedBytes: number) {
    this.bytes = new Uint8Array(memory.slab);
    this.low = memory.slabLow;
    this.high = memory.slabHigh;
    // Buffer ids are 16 bits wide in a completion.
    this.buffers = Math.min(65536, Math.floor((memory.slab.byteLength - fixedBytes) / BUFFER_SIZE));
    this.fixedAt = this.buffers * BUFFER_SIZE;
    this.reserve = Math.min(RESERVE, this.buffers >> 3);
    this.reservedTotal = this.reserve + (this.buffers >> RESERVED_SHIFT);
    this.target = Math.min(RING_START, this.buffers >> 1);
    this.stack = column(Int32Array, this.buffers);
    this.refs = column(Uint16Array, this.buffers);
    this.place = column(Uint16Array, this.buffers);
    this.ring32 = new Uint32Array(memory.bufferRing);
    this.ring16 = new Uint16Array(memory.bufferRing);
    for (let bid = this.buffers - 1; bid >= 0; bid--) this.stack[this.free++] = bid;
    this.lend();
    this.lowest = this.free;
    // Nothing has been touched yet.
    this.discardedFree = this.free;
    this.settledTail = this.ringTail;
    this.shrunk = this.lent;
  }

  /** Permanently takes `length` bytes of the fixed region; returns their offset. Throws when it is used up. */
  fixed(length: number): number {
    const at = (this.fixedAt + 15) & ~15;
    if (at + length > this.bytes.length) throw new Error('the fixed region of the slab is used up');
    this.fixedAt = at + length;
    return at;
  }

  /** Offset of the first data byte of `bid`. */
  dataStart(bid: number): number {
    return bid * BUFFER_SIZE + HEADROOM + ((bid & (COLORS - 1)) << 6);
  }

  /** Offset of the whole buffer `bid`, including headroom and tailroom. */
  bufferStart(bid: number): number {
    return bid * BUFFER_SIZE;
  }

  /** Offset past the last data byte that `bid` may hold. */
  dataEnd(bid: number): number {
    return (bid + 1) * BUFFER_SIZE - TAILROOM;
  }

  /** The buffer that contains offset `at`. */
  bufferOf(at: number): number {
    return at >>> BUFFER_SHIFT;
  }

  /**
   * How many buffers one connection, stream or queue with a slow reader may hold now; 0 if peers that make progress need what is left. It
   * is a fraction of the free buffers: the more peers wait, the less each may hold, like the dynamic thresholds of switches (Choudhury and
   * Hahne, 1998).
   */
  get share(): number {
    const left = this.free + this.lent - this.reservedTotal - this.guaranteed;
    return left > 0 ? left >> SHARE_SHIFT : 0;
  }

  /** Whether memory is so plentiful that saving some is not worth a copy. */
  get plentiful(): boolean {
    return this.free + this.lent > this.buffers - (this.buffers >> 2);
  }

  /** Sets the number of connections: each is guaranteed a buffer, which others can't take. Called once per loop turn. */
  guarantee(connections: number): void {
    this.guaranteed = Math.min(connections, this.buffers >> 1);
  }

  /** A buffer with one reference, or -1 if the slab is exhausted. */
  take(): number {
    if (this.free === 0) return -1;
    const bid = this.stack[--this.free];
    // Here, and not once a turn: what is taken and given back within one has been written all the same.
    if (this.free < this.lowest) this.lowest = this.free;
    this.refs[bid] = 1;
    return bid;
  }

  /** The same for data that a transport passes to the protocols: like receives, it leaves the buffers that output needs. */
  takeForInput(): number {
    return this.free > this.reserve ? this.take() : -1;
  }

  /**
   * The same for input that replaces a buffer that is released right after, as plaintext replaces its ciphertext. It may use half of the
   * reserve too; otherwise all memory could be full of data waiting to be decrypted.
   */
  takeToReplace(): number {
    return this.free > this.reserve >> 1 ? this.take() : -1;
  }

  /** Whether `takeToReplace` has a buffer. */
  get replaceable(): boolean {
    return this.free > this.reserve >> 1;
  }

  /** The kernel filled `bid`: it comes back from the ring with one reference. */
  received(bid: number): void {
    this.lent--;
    this.refs[bid] = 1;
  }

  /** How much a receive may have put into `bid`, a lent buffer: the kernel says so in its entry. */
  lentBytes(bid: number): number {
    return this.ring32[(this.place[bid] << 2) + 2];
  }

  /** The buffer lent after `bid`, in which a receive continues. */
  lentNext(bid: number): number {
    return this.ring16[(((this.place[bid] + 1) & (RING_BUFFERS - 1)) << 3) + 6];
  }

  retain(bid: number): void {
    this.refs[bid]++;
  }

  /** True if only the caller refers to `bid`, so that its bytes may be moved. */
  exclusive(bid: number): boolean {
    return this.refs[bid] === 1;
  }

  /** Whether one peer may hold `count` buffers with incomplete data: one always, more only within its share. */
  withinShare(count: number): boolean {
    return count <= 1 || count <= this.share;
  }

  release(bid: number): void {
    const refs = this.refs[bid] - 1;
    if (refs < 0) throw new Error(`buffer ${bid} released twice`);
    this.refs[bid] = refs;
    if (refs === 0) this.stack[this.free++] = bid;
  }

  /**
   * Fills the ring up to the current limit of lent buffers, which is smaller if few are left: a socket with much to read may take
   * everything lent in one turn, before it can be stopped. Called once per loop turn. `greedy`: some receives may take several buffers
   * each. While memory is short they get none, because a thousand stalled readers would take everything before they are recognised; the
   * receives end for lack of buffers, and their replacements take one each.
   */
  lend(greedy = false): void {
    if (greedy && this.share === 0) return;
    let n = this.target - this.lent;
    if (this.free < this.lowest) this.lowest = this.free;
    const free = this.free - this.reserve;
    if (n <= 0 || free <= 0) return;
    const half = Math.max((this.free + this.lent - this.reservedTotal) >> 1, (this.reservedTotal + 8) >> 3) - this.lent;
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

  /**
   * Called periodically: buffers that nobody has touched since the last call are cold. The limit of lent buffers falls unless the kernel
   * ran out.
   */
  settle(): void {
    if (this.discardedFree > this.lowest) this.discardedFree = this.lowest;
    this.cold = this.lowest;
    this.lowest = this.free;
    if (!this.exhausted && this.target > RING_START) this.target >>= 1;
    this.exhausted = false;
  }

  /**
   * Lets `discard` return the pages of some cold buffers. They are on the stack, so neither we nor the kernel refer to them: it only has
   * the addresses of lent buffers.
   */
  shrink(discard: (bids: Int32Array, from: number, count: number, bytes: number) => number): void {
    const cold = Math.min(this.cold, this.free);
    const count = Math.min(cold - this.discardedFree, SHRINK_BUFFERS);
    if (count <= 0) return;
    // Their order does not matter; neighbours are returned together.
    this.stack.subarray(this.discardedFree, cold).sort();
    this.discarded += discard(this.stack, this.discardedFree, count, BUFFER_SIZE);
    this.discardedFree += count;
  }

  /**
   * The same for what is lent beyond what is lent now that it is quiet, and for all that is lent where nothing was received since this was
   * last asked. Between two turns of the ring: what the kernel has written into them must have been told by then.
   */
  shrinkLent(discard: (bids: Int32Array, from: number, count: number, bytes: number) => number): void {
    const silent = this.ringTail === this.settledTail;
    if (!silent) this.shrunk = 0;
    this.settledTail = this.ringTail;
    // Those lent last are at the end of the ring, and the kernel begins at the other.
    const most = silent ? this.lent : this.lent - this.target;
    const count = most - this.shrunk;
    if (count <= (silent ? 0 : RING_START)) return;
    for (let i = 0; i < count; i++) {
      const entry = ((this.ringTail - 1 - this.shrunk - i) & (RING_BUFFERS - 1)) << 2;
      this.lentBids[i] = this.ring16[(entry << 1) + 6];
    }
    this.shrunk = most;
    this.lentBids.subarray(0, count).sort();
    this.discarded += discard(this.lentBids, 0, count, BUFFER_SIZE);
  }

  /** Buffers that the kernel can receive into, or that could be lent. */
  get receivable(): number {
    return this.free > this.reserve ? this.lent + this.free - this.reserve : this.lent;
  }

  /** The kernel ran out of lent buffers: lend more at a time. */
  grow(): void {
    this.exhausted = true;
    if (this.target < RING_BUFFERS && this.target << 1 <= this.buffers >> 1) this.target <<= 1;
  }
}
