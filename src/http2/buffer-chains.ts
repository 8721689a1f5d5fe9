// Waiting bytes, one chain per stream. Large pieces stay where they were received; small ones are gathered in blocks, so that a peer that
// sends a byte at a time can't hold a buffer with each. The memory that a chain holds is counted separately from its bytes.
import { column } from '../http/columns.js';
import { NO_SLICE, Slices } from '../http/slices.js';
import { BLOCK_BYTES, type BlockAllocator, type SlabBuffers } from './block-allocator.js';

/** Smaller pieces are copied; for larger ones keeping the buffer is cheaper. */
const COPY_BYTES = 2048;
export const NO_PIECE = NO_SLICE;
const NONE = NO_PIECE;
/** Room for so many pieces, at first. */
const FIRST_PIECES = 1024;
/** In place of a buffer: the piece is in a block. */
const BLOCK = -1;

export class BufferChains extends Slices {
  /** Bytes by chain. */
  readonly bytes: Int32Array;
  /** Memory that a chain holds, in blocks: 1 for a block, a whole buffer for pieces in one. */
  readonly pinned: Int32Array;
  /** Total bytes of all chains. */
  total = 0;
  /** Total memory of all chains, in blocks. */
  pinnedTotal = 0;
  /** Blocks in a buffer. */
  private readonly bufferBlocks: number;
  private readonly first: Int32Array;
  private readonly last: Int32Array;

  constructor(
    private readonly slab: SlabBuffers,
    private readonly blocks: BlockAllocator,
    chains: number,
  ) {
    super(FIRST_PIECES);
    this.bytes = column(Int32Array, chains);
    this.pinned = column(Int32Array, chains);
    this.bufferBlocks = slab.bufferBytes / BLOCK_BYTES;
    this.first = column(Int32Array, chains);
    this.last = column(Int32Array, chains);
  }

  /** Columns by chain of which the cells of empty chains may become 0. */
  columns(): readonly ArrayBufferView[] {
    return [this.bytes, this.pinned, this.first, this.last];
  }

  /** Total memory of all chains, in buffers. */
  get pinnedBuffers(): number {
    return Math.ceil(this.pinnedTotal / this.bufferBlocks);
  }

  empty(chain: number): boolean {
    return this.first[chain] === NONE;
  }

  /** Appends [at, at + length) of a buffer that the caller holds. False if the slab is exhausted. */
  append(chain: number, at: number, length: number): boolean {
    if (length >= COPY_BYTES) {
      const bid = this.slab.bufferOf(at);
      this.slab.retain(bid);
      this.adopt(chain, at, length, bid);
      return true;
    }
    return this.copy(chain, at, length);
  }

  /** Like `append`, for bytes anywhere; their place is free afterwards. */
  copy(chain: number, at: number, length: number): boolean {
    let from = at;
    const end = at + length;
    while (from < end) {
      const tail = this.last[chain];
      let to = -1;
      let room = 0;
      if (tail !== NONE && this.buffer[tail] === BLOCK) {
        to = this.at[tail] + this.length[tail];
        room = BLOCK_BYTES - (to & (BLOCK_BYTES - 1));
        // A piece that fills its block to the end has no room, although the arithmetic gives a whole block.
        if ((to & (BLOCK_BYTES - 1)) === 0) room = 0;
      }
      if (room === 0) {
        to = this.blocks.take();
        if (to < 0) return false;
        this.adopt(chain, to, 0, BLOCK);
        room = BLOCK_BYTES;
      }
      const n = Math.min(room, end - from);
      this.slab.bytes.copyWithin(to, from, from + n);
      this.length[this.last[chain]] += n;
      this.bytes[chain] += n;
      this.total += n;
      from += n;
    }
    return true;
  }

  /** Position of the first piece. */
  firstAt(chain: number): number {
    return this.at[this.first[chain]];
  }

  firstLength(chain: number): number {
    return this.length[this.first[chain]];
  }

  /** The buffer of the first piece, -1 if it has to be copied. */
  firstBuffer(chain: number): number {
    return this.buffer[this.first[chain]];
  }

  /** Removes `count` bytes from the first piece. */
  consume(chain: number, count: number): void {
    const piece = this.first[chain];
    this.bytes[chain] -= count;
    this.total -= count;
    if (count < this.length[piece]) {
      this.at[piece] += count;
      this.length[piece] -= count;
      return;
    }
    this.first[chain] = this.next[piece];
    if (this.first[chain] === NONE) this.last[chain] = NONE;
    this.drop(chain, piece);
  }

  /** The first piece, for iteration with `following`, `pieceAt` and `pieceLength`; NO_PIECE for none. */
  start(chain: number): number {
    return this.first[chain];
  }

  following(piece: number): number {
    return this.next[piece];
  }

  pieceAt(piece: number): number {
    return this.at[piece];
  }

  pieceLength(piece: number): number {
    return this.length[piece];
  }

  /** Copies the whole chain to `to`, where there must be room. Returns the position after it. */
  gather(chain: number, to: number): number {
    const { bytes } = this.slab;
    let p = to;
    for (let piece = this.first[chain]; piece !== NONE; piece = this.next[piece]) {
      const at = this.at[piece];
      bytes.copyWithin(p, at, at + this.length[piece]);
      p += this.length[piece];
    }
    return p;
  }

  clear(chain: number): void {
    let piece = this.first[chain];
    if (piece === NONE) return;
    while (piece !== NONE) {
      const next = this.next[piece];
      this.drop(chain, piece);
      piece = next;
    }
    this.first[chain] = NONE;
    this.last[chain] = NONE;
    this.total -= this.bytes[chain];
    this.bytes[chain] = 0;
  }

  /** Appends a piece that the chain takes over: `bid` is its buffer, or -1 if it is a block. */
  adopt(chain: number, at: number, length: number, bid: number): void {
    const piece = this.allocate(at, length, bid);
    this.next[piece] = NONE;
    const last = this.last[chain];
    if (last === NONE) this.first[chain] = piece;
    else this.next[last] = piece;
    this.last[chain] = piece;
    if (bid === BLOCK) this.pin(chain, 1);
    else if (last === NONE || this.buffer[last] !== bid) this.pin(chain, this.bufferBlocks);
    this.bytes[chain] += length;
    this.total += length;
  }

  private pin(chain: number, blocks: number): void {
    this.pinned[chain] += blocks;
    this.pinnedTotal += blocks;
  }

  /** Drops the first piece of a chain. */
  private drop(chain: number, piece: number): void {
    const bid = this.buffer[piece];
    const next = this.next[piece];
    if (bid >= 0) {
      if (next === NONE || this.buffer[next] !== bid) this.pin(chain, -this.bufferBlocks);
      this.slab.release(bid);
    } else {
      this.pin(chain, -1);
      this.blocks.release(this.at[piece]);
    }
    this.recycle(piece);
  }
}
