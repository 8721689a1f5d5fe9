// How much may wait for a reader that is slow, and who is not read meanwhile. What waits is counted in buffers, which is what it costs, and
// the mark falls as the slab fills: whoever is stalled holds a share of what is free, and those who move have an eighth of the slab for
// themselves.
import { BUFFER_SIZE, type Slab } from '../io/slab.js';
import type { Sockets } from '../io/sockets.js';
import { LIMITS, W } from '../metrics/layout.js';

const BUFFER_SHIFT = 31 - Math.clz32(BUFFER_SIZE);
const LIMIT_BUFFERED = LIMITS.indexOf('buffered-bytes');

/** What this needs of the worker's context. */
interface Shared {
  readonly sockets: Sockets;
  readonly slab: Slab;
  readonly values: Float64Array;
  readonly limits: { readonly maxBufferedBytes: number };
  limited(limit: number): void;
}

export class Pressure {
  constructor(private readonly context: Shared) {}

  /** Buffers that may wait for one reader now. Whoever has no more than that goes on: one more is everybody's, however short memory is. */
  get mark(): number {
    const { slab, limits } = this.context;
    return Math.min(slab.share, limits.maxBufferedBytes >> BUFFER_SHIFT);
  }

  /** The same in bytes, not more than `most`. */
  bytes(most: number): number {
    return Math.min(this.context.slab.share << BUFFER_SHIFT, most);
  }

  /** Whether as much waits for `reader` as should. */
  full(reader: number): boolean {
    return this.context.sockets.pinned[reader] > this.mark;
  }

  /** Whether `length` octets more may wait for `reader`: where that takes more than a buffer, within its share only. */
  affords(reader: number, length: number): boolean {
    const { slab, sockets } = this.context;
    return length <= BUFFER_SIZE || slab.affords(sockets.pinned[reader] + (length >> BUFFER_SHIFT) + 1);
  }

  /** Stops reading from `source` until `reader`, a socket, has been sent all: `drained` tells. */
  hold(source: number, reader: number): void {
    const { sockets } = this.context;
    this.count();
    sockets.pause(source);
    sockets.notifyDrained(reader);
  }

  /** Counts that somebody is held back. */
  count(): void {
    this.context.values[W.BACKPRESSURE]++;
    this.context.limited(LIMIT_BUFFERED);
  }
}
