// The two directions of an opaque relay, each named by its source: whether its bytes are copied or spliced, and whether it is paused
// because its reader is slow.
//
// A direction begins by copying through the slab, which is cheapest for small messages. When receives keep filling whole buffers it is a
// bulk flow, and the direction is spliced; when splices become small it is copied again.
//
// Methods that return true have started a splice: the caller moves its first bytes.
import { column } from '../../http/columns.js';
import { BUFFER_CAPACITY } from '../../io/slab.js';
import { SOCKET } from '../../io/sockets.js';
import { LIMITS, W } from '../../metrics/layout.js';
import type { Context } from '../context.js';
import { FLOW } from '../http1/sockets.js';

/** A receive of at least this many bytes counts as bulk ... */
const BULK_BYTES = BUFFER_CAPACITY >> 1;
/** ... and this many in a row make a bulk flow: about 128 KiB. */
const BULK_RUN = 8;
const LIMIT_PIPES = LIMITS.indexOf('pipes');

export class RelayFlow {
  /** One of FLOW. */
  private readonly mode: Uint8Array;
  /** Bulk receives in a row. */
  private readonly bulkRun: Uint8Array;
  /** The source is paused because its reader is slow. */
  private readonly throttled: Uint8Array;

  constructor(private readonly context: Context) {
    const n = context.sockets.capacity;
    this.mode = column(Uint8Array, n);
    this.bulkRun = column(Uint8Array, n);
    this.throttled = column(Uint8Array, n);
  }

  /** Columns by socket of which the cells of free slots may become 0. */
  columns(): readonly ArrayBufferView[] {
    return [this.mode, this.bulkRun, this.throttled];
  }

  /** The direction is copied, as at its beginning. */
  reset(source: number): void {
    this.mode[source] = FLOW.COPY;
    this.bulkRun[source] = 0;
    this.throttled[source] = 0;
  }

  /** Nothing of the direction is spliced any more. */
  endSplice(source: number): void {
    this.mode[source] = FLOW.COPY;
  }

  /** The reader that it was paused for is gone. */
  release(source: number): void {
    this.throttled[source] = 0;
  }

  /** `length` bytes of `source` have been received at once. */
  received(source: number, reader: number, length: number): boolean {
    if (length < BULK_BYTES) {
      this.bulkRun[source] = 0;
      return false;
    }
    return ++this.bulkRun[source] >= BULK_RUN && this.mode[source] === FLOW.COPY && this.beginSplice(source, reader);
  }

  /** Pauses `source` while too much waits for its reader. */
  throttle(source: number, reader: number): void {
    const { outputLimits } = this.context;
    if (!outputLimits.full(reader)) return;
    this.throttled[source] = 1;
    outputLimits.pauseUntilDrained(source, reader);
  }

  /** The same, unless it is paused already. */
  throttleOnce(source: number, reader: number): void {
    if (this.throttled[source] === 0) this.throttle(source, reader);
  }

  /** A receive found no buffer. Data that would only wait for a slow reader stays in the kernel. */
  starved(source: number, reader: number): void {
    if (this.mode[source] === FLOW.COPY) this.throttleOnce(source, reader);
  }

  /** The receive of `source` is off. */
  paused(source: number): boolean {
    if (this.mode[source] !== FLOW.PAUSING) return false;
    this.mode[source] = FLOW.DRAINING;
    return this.startSplice(source);
  }

  /** Everything queued for the reader of `source` has been sent. */
  drained(source: number): boolean {
    if (this.mode[source] === FLOW.DRAINING) return this.startSplice(source);
    if (this.throttled[source] === 0) return false;
    this.throttled[source] = 0;
    if (this.mode[source] === FLOW.COPY) this.context.sockets.resumeSlowly(source);
    return false;
  }

  private beginSplice(source: number, reader: number): boolean {
    const { sockets, limits, splicer } = this.context;
    if (!sockets.spliceable(source) || !sockets.spliceable(reader)) return false;
    if (limits.maxPipes === 0 || (sockets.flags[reader] & (SOCKET.CONNECTING | SOCKET.SHUT)) !== 0) return false;
    if (splicer.exhausted) {
      this.countLimited(source);
      return false;
    }
    this.mode[source] = FLOW.PAUSING;
    return sockets.pause(source) && this.paused(source);
  }

  private startSplice(source: number): boolean {
    const { sockets, splicer, values } = this.context;
    const reader = sockets.peer[source];
    if (reader < 0) return false;
    if (sockets.queued[reader] > 0) {
      sockets.notifyDrained(reader);
      return false;
    }
    this.throttled[source] = 0;
    if (!splicer.start(source, reader, Number.POSITIVE_INFINITY)) {
      this.mode[source] = FLOW.COPY;
      this.countLimited(source);
      sockets.resume(source);
      return false;
    }
    values[W.SPLICE_STARTS]++;
    this.mode[source] = FLOW.SPLICE;
    return true;
  }

  /** There is no pipe: the next attempt comes after another bulk run. */
  private countLimited(source: number): void {
    this.bulkRun[source] = 0;
    this.context.values[W.PIPE_LIMITED]++;
    this.context.limited(LIMIT_PIPES);
  }
}
