// Connections in memory: bytes that one end has written and the other has not read yet.

/** A queue of bytes. */
export class Octets {
  bytes = new Uint8Array(4096);
  from = 0;
  to = 0;

  get length(): number {
    return this.to - this.from;
  }

  push(source: Uint8Array, at: number, length: number): void {
    if (this.to + length > this.bytes.length) this.makeRoom(length);
    this.bytes.set(source.subarray(at, at + length), this.to);
    this.to += length;
  }

  /** Moves up to `most` of them to `target`; returns the number. */
  take(target: Uint8Array, at: number, most: number): number {
    const length = Math.min(most, this.length);
    target.set(this.bytes.subarray(this.from, this.from + length), at);
    this.drop(length);
    return length;
  }

  drop(length: number): void {
    this.from += length;
    if (this.from === this.to) this.from = this.to = 0;
  }

  private makeRoom(length: number): void {
    const kept = this.bytes.subarray(this.from, this.to);
    let size = this.bytes.length;
    while (size < kept.length + length) size *= 2;
    if (size > this.bytes.length) {
      const larger = new Uint8Array(size);
      larger.set(kept);
      this.bytes = larger;
    } else this.bytes.copyWithin(0, this.from, this.to);
    this.to = kept.length;
    this.from = 0;
  }
}

/** One end of a connection. */
export class End {
  /** What the other end has written. */
  readonly input = new Octets();
  /** The other end has finished writing. */
  ended = false;
  closed = false;
  /** Set when they are connected. */
  declare other: End;

  write(source: Uint8Array, at = 0, length = source.length): void {
    this.other.input.push(source, at, length);
  }

  shutdown(): void {
    this.other.ended = true;
  }

  close(): void {
    this.closed = true;
    this.other.ended = true;
  }
}

export function connected(): [End, End] {
  const [one, two] = [new End(), new End()];
  one.other = two;
  two.other = one;
  return [one, two];
}
