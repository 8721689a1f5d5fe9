// Memory for heads and trailer sections larger than a buffer, in which one is contiguous while it is processed.
//
// Waiting data (for more of it, for a connection, for a reader) is in buffers of the slab, as always, and is joined here for the duration
// of one call. So a worker needs only one area per purpose: nobody can use them up, and their pages are touched only when needed.

/** Maximum configurable size of a head or trailer section. */
export const MAX_HEAD_BYTES = 256 * 1024;
/** Larger than that, because a head grows a little in translation. */
export const SCRATCH_BUFFER_BYTES = MAX_HEAD_BYTES + 32 * 1024;
export const SCRATCH_BUFFERS_BYTES = 4 * SCRATCH_BUFFER_BYTES;

export class ScratchBuffers {
  /** Received pieces. */
  readonly received: number;
  /** Decoded text that is not in the block itself: the scratch of `Core.list`. */
  readonly decoded: number;
  /** A kept head. */
  readonly replay: number;
  /** Output. */
  readonly written: number;

  /** Uses SCRATCH_BUFFERS_BYTES from `at` on. */
  constructor(at: number) {
    this.received = at;
    this.decoded = at + SCRATCH_BUFFER_BYTES;
    this.replay = at + 2 * SCRATCH_BUFFER_BYTES;
    this.written = at + 3 * SCRATCH_BUFFER_BYTES;
  }
}
