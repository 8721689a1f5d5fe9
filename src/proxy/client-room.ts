// How many clients all workers together may have. File descriptors limit them; one is counted for each client's endpoint.
import { LOAD_BOARD } from './snapshot.js';

/**
 * At the limit idle clients are closed until this part of it is free. All of them would be back at once, and whoever waits needs only some
 * places: the kernel's queue is checked for more within milliseconds.
 */
const PART = 16;

export class ClientRoom {
  limit = Number.POSITIVE_INFINITY;
  /** The limit is reached: further clients wait in the kernel's queue. */
  full = false;

  constructor(
    private readonly loadBoard: Int32Array,
    private readonly workers: number,
  ) {}

  /** How many more there may be. */
  left(): number {
    let clients = 0;
    for (let worker = 0; worker < this.workers; worker++) clients += this.loadBoard[LOAD_BOARD.LOAD + worker];
    return this.limit - clients;
  }

  /** Whether an idle client has to make room for those that wait. */
  wanted(): boolean {
    return this.full && this.left() <= this.limit / PART;
  }
}
