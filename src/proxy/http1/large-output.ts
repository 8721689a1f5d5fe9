// Heads and trailer sections larger than a buffer: written contiguously to an area, and sent from as many buffers as needed.
import { SCRATCH_BUFFER_BYTES } from '../../http/scratch-buffers.js';
import type { Core } from '../../http2/shared-state.js';
import { BUFFER_CAPACITY } from '../../io/slab.js';
import type { Context } from '../context.js';
import type { SocketSlot } from '../slots.js';

export class LargeOutput {
  /** Start and end of the area. */
  readonly at: number;
  readonly limit: number;
  /** Buffers that hold what was written, all full except the last. */
  private readonly buffers = new Int32Array(Math.ceil(SCRATCH_BUFFER_BYTES / BUFFER_CAPACITY));
  private count = 0;
  private length = 0;

  constructor(
    private readonly context: Context,
    core: Core,
  ) {
    this.at = core.scratch.written;
    this.limit = this.at + SCRATCH_BUFFER_BYTES;
  }

  /** Moves [from, to) to buffers, where it may wait. False if that takes more than one peer may hold. */
  hold(from: number, to: number): boolean {
    const { slab, bytes } = this.context;
    this.drop();
    if (!slab.withinShare(Math.ceil((to - from) / BUFFER_CAPACITY))) return false;
    for (let at = from; at < to; at += BUFFER_CAPACITY) {
      const buffer = slab.take();
      if (buffer < 0) {
        this.drop();
        return false;
      }
      this.buffers[this.count++] = buffer;
      bytes.copyWithin(slab.dataStart(buffer), at, Math.min(at + BUFFER_CAPACITY, to));
    }
    this.length = to - from;
    return true;
  }

  /** Sends what is held. */
  queue(socket: SocketSlot): void {
    const { slab, sockets } = this.context;
    for (let i = 0; i < this.count; i++) {
      const length = Math.min(this.length - i * BUFFER_CAPACITY, BUFFER_CAPACITY);
      sockets.queue(socket, slab.dataStart(this.buffers[i]), length, this.buffers[i]);
    }
    this.count = 0;
  }

  /** Sends what was written, up to `to`. False if the slab is exhausted. */
  send(socket: SocketSlot, to: number): boolean {
    if (!this.hold(this.at, to)) return false;
    this.queue(socket);
    return true;
  }

  /** Discards what is held. */
  drop(): void {
    for (let i = 0; i < this.count; i++) this.context.slab.release(this.buffers[i]);
    this.count = 0;
  }
}
