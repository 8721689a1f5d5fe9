// Slices of buffers, in linked lists over typed arrays. Lists belong to those who extend this: it only has the slices.
import { column } from './columns.js';

/** No slice. It is 0, so that unwritten columns take no memory; the first slice is 1. */
export const NO_SLICE = 0;

export class Slices {
  /** Position in the slab, and bytes. */
  protected at: Int32Array<ArrayBuffer>;
  protected length: Int32Array<ArrayBuffer>;
  /** The buffer that a slice holds, or a negative number. */
  protected buffer: Int32Array<ArrayBuffer>;
  /** The slice behind it in its list. */
  protected next: Int32Array<ArrayBuffer>;
  private free = NO_SLICE;

  /** `slices`: room for so many, at first. */
  protected constructor(slices: number) {
    this.at = column(Int32Array, slices);
    this.length = column(Int32Array, slices);
    this.buffer = column(Int32Array, slices);
    this.next = column(Int32Array, slices);
    this.buffer[NO_SLICE] = -1;
    this.link(1);
  }

  /** A slice that is in no list yet. */
  protected allocate(at: number, length: number, bid: number): number {
    if (this.free === NO_SLICE) this.grow();
    const slice = this.free;
    this.free = this.next[slice];
    this.at[slice] = at;
    this.length[slice] = length;
    this.buffer[slice] = bid;
    return slice;
  }

  /** The slice is in no list any more. */
  protected recycle(slice: number): void {
    this.next[slice] = this.free;
    this.free = slice;
  }

  private link(from: number): void {
    for (let i = this.next.length - 1; i >= from; i--) this.recycle(i);
  }

  private grow(): void {
    const from = this.next.length;
    const grown = (old: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> => {
      const array = new Int32Array(from * 2);
      array.set(old);
      return array;
    };
    this.at = grown(this.at);
    this.length = grown(this.length);
    this.buffer = grown(this.buffer);
    this.next = grown(this.next);
    this.link(from);
  }
}
