// Finds the ends of gRPC messages in a stream's data: a prefix of five octets has the length of each.

const PREFIX_BYTES = 5;

export class MessageReader {
  /** Where the last message ended. */
  at = 0;
  /** Of a stream: received octets of the prefix, and remaining octets of the message. */
  private readonly prefix: Uint8Array;
  private readonly left: Float64Array;

  constructor(
    private readonly bytes: Uint8Array,
    capacity: number,
  ) {
    this.prefix = new Uint8Array(capacity);
    this.left = new Float64Array(capacity);
  }

  /** `slot` is a new stream. */
  begin(slot: number): void {
    this.prefix[slot] = 0;
    this.left[slot] = 0;
  }

  /** Reads [from, to) up to the end of a message. False if none ends there. */
  next(slot: number, from: number, to: number): boolean {
    const { bytes, prefix, left } = this;
    for (let p = from; p < to; ) {
      if (prefix[slot] < PREFIX_BYTES) {
        // The first octet is the compression flag.
        if (prefix[slot]++ > 0) left[slot] = left[slot] * 256 + bytes[p];
        p++;
        if (prefix[slot] < PREFIX_BYTES) continue;
      }
      const count = Math.min(left[slot], to - p);
      left[slot] -= count;
      p += count;
      if (left[slot] > 0) break;
      this.begin(slot);
      this.at = p;
      return true;
    }
    return false;
  }
}
