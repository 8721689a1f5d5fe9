// Data to send, per slot: lists of slices, and the message headers that turn several slices into one vectored send. A slice holds its whole buffer, so buffers are counted. Small pieces that arrive while others wait are gathered behind
// them; otherwise a peer that sends a byte at a time would hold a buffer with each.
import { column } from '../http/columns.js';
import { NO_SLICE, Slices } from '../http/slices.js';
import type { Slab } from './slab.js';

const NONE = NO_SLICE;
/** Room for so many slices, at first. */
const FIRST_SLICES = 4096;
/** Slices in one vectored send. */
const MAX_SLICES = 16;
const MSGHDR_BYTES = 56;
const MESSAGE_BYTES = (MSGHDR_BYTES + MAX_SLICES * 16 + 15) & ~15;
/** Pieces up to this size are copied behind waiting data ... */
const GATHER_BYTES = 4096;
/** ... and with this many waiting buffers, any piece that fits: the reader is slow, and memory is worth more than the copy. */
const GATHER_ALL = 4;

export class SendQueue extends Slices {
  /** Bytes per slot. */
  readonly bytes: Int32Array;
  /** Buffers held by a slot, however few of their bytes are left to send. */
  readonly pinned: Int32Array;
  /** The same for all slots together. */
  pinnedTotal = 0;
  /** Bytes in the header that `vector` wrote last. */
  vectored = 0;
  private readonly head: Int32Array;
  private readonly tail: Int32Array;
  /** Header of the send in flight; NONE works because nothing in the fixed region is at 0. */
  private readonly message: Int32Array;

  private readonly messages: Int32Array;
  private messageCount = 0;
  private readonly words: Uint32Array;

  constructor(
    private readonly slab: Slab,
    slots: number,
    messageBlocks: number,
    /** A queue whose `bytes` and `pinned` include those of this one. */
    counted?: SendQueue,
    /** Whether small pieces are copied. Not if somebody else refers to them while they are queued. */
    private readonly gathers = false,
  ) {
    super(FIRST_SLICES);
    this.bytes = counted?.bytes ?? column(Int32Array, slots);
    this.pinned = counted?.pinned ?? column(Int32Array, slots);
    this.head = column(Int32Array, slots);
    this.tail = column(Int32Array, slots);
    this.message = column(Int32Array, slots);
    this.words = new Uint32Array(slab.bytes.buffer);
    this.messages = column(Int32Array, messageBlocks);
    for (let i = 0; i < messageBlocks; i++) this.messages[this.messageCount++] = slab.fixed(MESSAGE_BYTES);
  }

  /** Columns by socket of which the cells of free slots may become 0. */
  columns(): readonly ArrayBufferView[] {
    return [this.bytes, this.pinned, this.head, this.tail, this.message];
  }

  /** Bytes of the slab's fixed region that `messageBlocks` vectored sends need. */
  static fixedBytes(messageBlocks: number): number {
    return messageBlocks * (MESSAGE_BYTES + 16);
  }

  empty(slot: number): boolean {
    return this.head[slot] === NONE;
  }

  /** Appends `length` bytes at slab offset `at`; takes over one reference to `bid` (-1: nobody's buffer). */
  push(slot: number, at: number, length: number, bid: number): void {
    const last = this.tail[slot];
    // Data that continues the last slice is merged with it, even while that is being sent: `consume` counts bytes.
    if (last !== NONE && bid >= 0 && this.buffer[last] === bid && this.at[last] + this.length[last] === at) {
      this.length[last] += length;
      this.bytes[slot] += length;
      this.slab.release(bid);
      return;
    }
    if (last !== NONE && this.gathers && this.gather(slot, last, at, length, bid)) return;
    const slice = this.allocate(at, length, bid);
    this.next[slice] = NONE;
    if (this.head[slot] === NONE) this.head[slot] = slice;
    else this.next[this.tail[slot]] = slice;
    this.tail[slot] = slice;
    this.bytes[slot] += length;
    if (bid >= 0 && (last === NONE || this.buffer[last] !== bid)) this.pin(slot, 1);
  }

  /**
   * Puts `length` bytes before everything else; nothing of the slot may be in flight. Takes over one reference to `bid`, a buffer of their
   * own.
   */
  unshift(slot: number, at: number, length: number, bid: number): void {
    const slice = this.allocate(at, length, bid);
    this.next[slice] = this.head[slot];
    if (this.head[slot] === NONE) this.tail[slot] = slice;
    this.head[slot] = slice;
    this.bytes[slot] += length;
    this.pin(slot, 1);
  }

  /** Moves everything of `from`, of which nothing may be in flight, to the end of the queue of `to`. */
  move(from: number, to: number): void {
    const head = this.head[from];
    if (head === NONE) return;
    let bytes = 0;
    let pinned = 0;
    let before = -1;
    for (let slice = head; slice !== NONE; slice = this.next[slice]) {
      bytes += this.length[slice];
      const bid = this.buffer[slice];
      if (bid >= 0 && bid !== before) pinned++;
      before = bid;
    }
    const last = this.tail[to];
    const joined = last !== NONE && this.buffer[head] >= 0 && this.buffer[last] === this.buffer[head];
    if (last === NONE) this.head[to] = head;
    else this.next[last] = head;
    this.tail[to] = this.tail[from];
    this.bytes[to] += bytes;
    this.bytes[from] -= bytes;
    this.pin(to, joined ? pinned - 1 : pinned);
    this.pin(from, -pinned);
    this.head[from] = NONE;
    this.tail[from] = NONE;
  }

  /** Releases everything that is queued. */
  clear(slot: number): void {
    let slice = this.head[slot];
    while (slice !== NONE) {
      this.bytes[slot] -= this.length[slice];
      slice = this.drop(slot, slice);
    }
    this.head[slot] = NONE;
    this.tail[slot] = NONE;
  }

  /** Removes `count` sent bytes from the front. */
  consume(slot: number, count: number): void {
    this.bytes[slot] -= count;
    let left = count;
    let slice = this.head[slot];
    while (left > 0 && slice !== NONE) {
      const length = this.length[slice];
      if (left < length) {
        this.at[slice] += left;
        this.length[slice] = length - left;
        break;
      }
      left -= length;
      slice = this.drop(slot, slice);
    }
    this.head[slot] = slice;
    if (slice === NONE) this.tail[slot] = NONE;
  }

  /** Slab offset and length of the first slice, for a send of its own. */
  firstAt(slot: number): number {
    return this.at[this.head[slot]];
  }

  firstLength(slot: number): number {
    return this.length[this.head[slot]];
  }

  firstBuffer(slot: number): number {
    return this.buffer[this.head[slot]];
  }

  /** Writes a message header for the first slices; returns its slab offset, or -1 if there is only one slice or no free header. */
  vector(slot: number): number {
    const first = this.head[slot];
    if (this.next[first] === NONE || this.messageCount === 0) return -1;
    const at = this.messages[--this.messageCount];
    this.message[slot] = at;
    const words = this.words;
    const { low, high } = this.slab;
    let w = (at + MSGHDR_BYTES) >> 2;
    let n = 0;
    this.vectored = 0;
    for (let slice = first; slice !== NONE && n < MAX_SLICES; slice = this.next[slice]) {
      words[w] = (low + this.at[slice]) >>> 0;
      words[w + 1] = high;
      words[w + 2] = this.length[slice];
      this.vectored += this.length[slice];
      words[w + 3] = 0;
      w += 4;
      n++;
    }
    // struct msghdr: name 0, namelen 8, iov 16, iovlen 24, control 32, controllen 40, flags 48.
    const h = at >> 2;
    for (let i = 0; i < MSGHDR_BYTES >> 2; i++) words[h + i] = 0;
    words[h + 4] = (low + at + MSGHDR_BYTES) >>> 0;
    words[h + 5] = high;
    words[h + 6] = n;
    return at;
  }

  /** The send in flight has completed: its header may be reused. */
  settle(slot: number): void {
    const at = this.message[slot];
    if (at === NONE) return;
    this.messages[this.messageCount++] = at;
    this.message[slot] = NONE;
  }

  /** Copies a small piece behind the last slice, if nothing follows that in its buffer. The slice may grow while it is being sent. */
  private gather(slot: number, last: number, at: number, length: number, bid: number): boolean {
    const { slab } = this;
    if (length > GATHER_BYTES && this.pinned[slot] < GATHER_ALL) return false;
    const tail = this.buffer[last];
    if (tail < 0 || !slab.exclusive(tail)) return false;
    const to = this.at[last] + this.length[last];
    if (slab.dataEnd(tail) - to < length) return false;
    slab.bytes.copyWithin(to, at, at + length);
    this.length[last] += length;
    this.bytes[slot] += length;
    if (bid >= 0) slab.release(bid);
    return true;
  }

  private pin(slot: number, buffers: number): void {
    this.pinned[slot] += buffers;
    this.pinnedTotal += buffers;
  }

  /** Drops the first slice of a slot; returns the next. */
  private drop(slot: number, slice: number): number {
    const next = this.next[slice];
    const bid = this.buffer[slice];
    if (bid >= 0) {
      if (next === NONE || this.buffer[next] !== bid) this.pin(slot, -1);
      this.slab.release(bid);
    }
    this.recycle(slice);
    return next;
  }
}
