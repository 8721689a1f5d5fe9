// How much may wait for a slow reader, and which sources are paused meanwhile. Waiting data is counted in buffers, which is what it costs,
// and the mark falls as the slab fills: stalled readers share what is free, and an eighth of the slab is reserved for readers that make
// progress.
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

export class OutputLimits {
  constructor(private readonly context: Shared) {}

  /** Buffers that may wait for one reader now. A reader with no more than one buffer always continues, however short memory is. */
  get maxBuffers(): number {
    const { slab, limits } = this.context;
    return Math.min(slab.share, limits.maxBufferedBytes >> BUFFER_SHIFT);
  }

  /** The same in bytes, at most `most`. */
  bytes(most: number): number {
    return Math.min(this.context.slab.share << BUFFER_SHIFT, most);
  }

  /** Whether `reader` has reached its mark. */
  full(reader: number): boolean {
    return this.context.sockets.pinned[reader] > this.maxBuffers;
  }

  /** Whether `length` more bytes may wait for `reader`. More than one buffer is allowed only within its share. */
  withinShare(reader: number, length: number): boolean {
    const { slab, sockets } = this.context;
    return length <= BUFFER_SIZE || slab.withinShare(sockets.pinned[reader] + (length >> BUFFER_SHIFT) + 1);
  }

  /** Pauses `source` until everything has been sent to `reader`, a socket; `drained` reports that. */
  pauseUntilDrained(source: number, reader: number): void {
    const { sockets } = this.context;
    this.count();
    sockets.pause(source);
    sockets.notifyDrained(reader);
  }

  /** Counts that a source was paused. */
  count(): void {
    this.context.values[W.BACKPRESSURE]++;
    this.context.limited(LIMIT_BUFFERED);
  }
}
