// Where heads and trailer sections lie that are larger than a buffer: pieces of memory in which such a one is contiguous while it is looked at.
//
// What waits (for more of it, for a connection, for a reader) waits in buffers of the slab, as everything does, and is put together here for as
// long as one call takes. So one area for each purpose does for a worker: nobody can use them up, and their pages are touched when there is need.

/** The largest head or trailer section that can be configured. */
export const MAX_HEAD_BYTES = 256 * 1024;
/** More than that: a head grows a little on its way to the other version. */
export const AREA_BYTES = MAX_HEAD_BYTES + 32 * 1024;
export const AREAS_BYTES = 4 * AREA_BYTES;

export class Areas {
  /** What has come, in pieces. */
  readonly arrived: number;
  /** Text that is not in a block as such: what `Core.list` has for scratch. */
  readonly decoded: number;
  /** What was kept. */
  readonly kept: number;
  /** What is about to go out. */
  readonly written: number;

  /** Uses AREAS_BYTES from `at` on. */
  constructor(at: number) {
    this.arrived = at;
    this.decoded = at + AREA_BYTES;
    this.kept = at + 2 * AREA_BYTES;
    this.written = at + 3 * AREA_BYTES;
  }
}
