// Heads and trailer sections larger than a buffer: collected in the inbox, and joined once they are complete.
import { MAX_HEAD_BYTES } from '../../http/scratch-buffers.js';
import { BlankLine } from '../../http1/blank-line.js';
import type { Core } from '../../http2/shared-state.js';
import type { Context } from '../context.js';
import type { SocketSlot } from '../slots.js';
import type { Http1Sockets } from './sockets.js';

/** Bytes before the new ones that may be part of the blank line. */
const OVERLAP = 3;

/** Return values of `gather` without a complete section. */
export const GATHER = { MORE: 0, TOO_LARGE: -1, MEMORY: -2 } as const;

export class LargeInput {
  private readonly blankLine = new BlankLine();

  constructor(
    private readonly context: Context,
    private readonly core: Core,
    private readonly http1: Http1Sockets,
  ) {}

  /** Start of the gathered section. */
  get at(): number {
    return this.core.scratch.received;
  }

  /**
   * Takes a complete head or trailer section out of the socket's inbox. Returns the position after it, or a GATHER. Once called for a
   * socket, it must be called until the section is complete: `http1.large`.
   */
  gather(socket: SocketSlot): number {
    const { inbox, slab } = this.context;
    const { http1 } = this;
    const length = this.search(socket, http1.scanned[socket]);
    const most = Math.min(this.context.limits.http1.maxHeaderBytes, MAX_HEAD_BYTES);
    if (length > most) return GATHER.TOO_LARGE;
    if (length > 0) {
      http1.large[socket] = 0;
      http1.scanned[socket] = 0;
      inbox.take(socket, length, this.at);
      return this.at + length;
    }
    http1.scanned[socket] = inbox.bytes[socket];
    if (inbox.bytes[socket] > most) return GATHER.TOO_LARGE;
    http1.large[socket] = 1;
    return slab.withinShare(inbox.count(socket)) ? GATHER.MORE : GATHER.MEMORY;
  }

  /** Length up to and including the blank line, 0 if there is none. The first `searched` bytes have been searched. */
  private search(socket: SocketSlot, searched: number): number {
    const { inbox, bytes } = this.context;
    const { blankLine } = this;
    blankLine.reset();
    const skip = Math.max(0, searched - OVERLAP);
    let before = 0;
    for (let bid = inbox.first(socket); bid >= 0; bid = inbox.following(bid)) {
      const start = inbox.startOf(bid);
      const end = inbox.endOf(bid);
      const from = start + Math.max(0, skip - before);
      if (from < end) {
        const found = blankLine.find(bytes, from, end);
        if (found >= 0) return before + found - start;
      }
      before += end - start;
    }
    return 0;
  }
}
