// Small pieces of memory: slab buffers divided into blocks of 1 KiB, for data that is kept for a while and is mostly small (requests that
// may have to be sent again, data waiting for a window).
import { column } from '../http/columns.js';

const SHIFT = 10;
export const BLOCK_BYTES = 1 << SHIFT;
const PER_BUFFER = 16;
const NONE = -1;

/** What this needs of the slab. */
export interface SlabBuffers {
  readonly bytes: Uint8Array;
  readonly buffers: number;
  take(): number;
  retain(bid: number): void;
  release(bid: number): void;
  dataStart(bid: number): number;
  dataEnd(bid: number): number;
  bufferOf(at: number): number;
  /** Offset of the whole buffer `bid`, including headroom and tailroom; `bufferBytes` long. */
  bufferStart(bid: number): number;
  readonly bufferBytes: number;
  /** Whether one peer may hold this many buffers. */
  withinShare(count: number): boolean;
  /** Buffers that a slow peer may hold now; 0: memory is short. */
  readonly share: number;
}

export class BlockAllocator {
  /** Blocks in use. */
  used = 0;
  /** Buffers with a free block, as a linked list; `freeMask[bid]` says which blocks. */
  private head = NONE;
  private readonly next: Int32Array;
  private readonly prev: Int32Array;
  private readonly freeMask: Uint16Array;

  constructor(private readonly slab: SlabBuffers) {
    this.next = column(Int32Array, slab.buffers);
    this.prev = column(Int32Array, slab.buffers);
    // In a buffer that is not ours all blocks count as free, so none can be released.
    this.freeMask = column(Uint16Array, slab.buffers).fill(0xffff);
  }

  /** Offset of a free block, or -1 if the slab is exhausted. */
  take(): number {
    let bid = this.head;
    if (bid === NONE) {
      bid = this.slab.take();
      if (bid < 0) return NONE;
      this.freeMask[bid] = 0xffff;
      this.link(bid);
    }
    const mask = this.freeMask[bid];
    const index = 31 - Math.clz32(mask);
    const left = mask & ~(1 << index);
    this.freeMask[bid] = left;
    if (left === 0) this.unlink(bid);
    this.used++;
    return (bid * PER_BUFFER + index) << SHIFT;
  }

  /** Releases the block at `at`. */
  release(at: number): void {
    const block = at >>> SHIFT;
    const bid = (block / PER_BUFFER) | 0;
    const bit = 1 << (block & (PER_BUFFER - 1));
    const mask = this.freeMask[bid];
    if ((mask & bit) !== 0) throw new Error(`block at ${at} released twice`);
    this.used--;
    this.freeMask[bid] = mask | bit;
    if (mask === 0) this.link(bid);
    else if ((mask | bit) === 0xffff && (this.next[bid] !== NONE || this.prev[bid] !== NONE)) {
      // All its blocks are free, and it is not the only spare buffer: the slab can make better use of it.
      this.unlink(bid);
      this.slab.release(bid);
    }
  }

  /** Releases the spare buffer if none of its blocks is in use: once per loop turn. */
  trim(): void {
    const bid = this.head;
    if (this.used > 0 || bid === NONE) return;
    this.unlink(bid);
    this.slab.release(bid);
  }

  private link(bid: number): void {
    this.next[bid] = this.head;
    this.prev[bid] = NONE;
    if (this.head !== NONE) this.prev[this.head] = bid;
    this.head = bid;
  }

  private unlink(bid: number): void {
    const next = this.next[bid];
    const prev = this.prev[bid];
    if (next !== NONE) this.prev[next] = prev;
    if (prev !== NONE) this.next[prev] = next;
    else this.head = next;
  }
}
