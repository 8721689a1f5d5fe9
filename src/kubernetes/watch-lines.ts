// Splits a watch's bytes into lines, each of which is an event.

const NEWLINE = 10;

export class WatchLines {
  #parts: Uint8Array[] = [];
  #length = 0;

  constructor(private readonly maxLength: number) {}

  /** Calls `line` for each complete line. False: one is too long, and the rest is useless. */
  push(bytes: Uint8Array, line: (text: string) => void): boolean {
    let start = 0;
    for (;;) {
      const end = bytes.indexOf(NEWLINE, start);
      const piece = bytes.subarray(start, end < 0 ? bytes.length : end);
      this.#length += piece.length;
      if (this.#length > this.maxLength) {
        this.#parts = [];
        return false;
      }
      if (piece.length > 0) this.#parts.push(piece);
      if (end < 0) return true;
      const whole = this.#parts.length === 1 ? this.#parts[0] : Buffer.concat(this.#parts, this.#length);
      this.#parts = [];
      this.#length = 0;
      start = end + 1;
      if (whole?.length) line(Buffer.from(whole.buffer, whole.byteOffset, whole.length).toString());
    }
  }

  /** Bytes of an incomplete line. */
  get pending(): number {
    return this.#length;
  }
}
