// The bytes that payloads consist of, as in bench/load/net.h: their period is a prime, so that a piece lost, repeated or moved shows.

const PERIOD = 65521;
const REPEATED = Buffer.alloc(PERIOD * 5);
for (let i = 0; i < REPEATED.length; i++) {
  const at = i % PERIOD;
  REPEATED[i] = at * 31 + (at >> 8);
}
/** Longest slice that is returned. */
const LONGEST = REPEATED.length - PERIOD;

/** Up to `length` bytes of the pattern from `offset` on; at most 256 KiB. Shared memory: do not write to it. */
export function patternAt(offset: number, length: number): Buffer {
  const from = offset % PERIOD;
  return REPEATED.subarray(from, from + Math.min(length, LONGEST));
}

/** What came is not what was sent. */
export class WrongBytes extends Error {}

/** Checks a byte stream against the pattern as it arrives. */
export class PatternCheck {
  received = 0;

  /** Throws at the first byte that is not the pattern's. */
  feed(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      const expected = patternAt(this.received, chunk.length - at);
      if (Buffer.compare(expected, chunk.subarray(at, at + expected.length)) !== 0) {
        throw new WrongBytes(`the payload differs within ${expected.length} bytes of offset ${this.received}`);
      }
      at += expected.length;
      this.received += expected.length;
    }
  }
}
