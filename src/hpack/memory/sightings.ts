// What was seen once of late, by its hash, so that only what comes again is learned.
//
// Sets of four, the latest sight first: with a place for each hash instead, two names of one request that share a place push
// each other out at every request and are never learned. A dozen names in a thousand places do so in one of fifteen processes.

const WAYS = 4;

export class Sightings {
  private readonly hashes: Int32Array;
  private readonly mask: number;

  /** Remembers up to `places`, a power of two of at least 4. */
  constructor(places: number) {
    this.hashes = new Int32Array(places);
    this.mask = places / WAYS - 1;
  }

  /** Whether the hash is among the last ones of its set; if not, it is from now on. */
  again(hash: number): boolean {
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
