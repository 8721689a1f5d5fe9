// Hashes of things seen once recently, so that only what comes again is learned.
//
// Sets of four, most recent first. With a single place per hash, two names of one request that share a place would displace each other at
// every request and never be learned: with a dozen names and a thousand places this happens in one of fifteen processes.
import { column } from '../../http/columns.js';

const WAYS = 4;

export class SeenFilter {
  private readonly hashes: Int32Array;
  private readonly mask: number;

  /** Remembers up to `places`, a power of two of at least 4. */
  constructor(places: number) {
    this.hashes = column(Int32Array, places);
    this.mask = places / WAYS - 1;
  }

  /** Whether the hash is among the last ones of its set; it is from now on. */
  seenBefore(hash: number): boolean {
    const { hashes } = this;
    const at = (hash & this.mask) * WAYS;
    for (let way = 0; way < WAYS; way++) if (hashes[at + way] === hash) return true;
    for (let way = WAYS - 1; way > 0; way--) hashes[at + way] = hashes[at + way - 1];
    hashes[at] = hash;
    return false;
  }

  clear(): void {
    this.hashes.fill(0);
  }
}
