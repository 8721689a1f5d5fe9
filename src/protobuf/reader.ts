// Reads the protocol buffers wire format field by field. Whatever the bytes are, nothing outside them is read, and errors are
// ProtobufErrors. Fields that are not requested are skipped.

export class ProtobufError extends Error {}

/** The low three bits of a tag. */
export const WIRE = { varint: 0, fixed64: 1, delimited: 2, groupBegin: 3, groupEnd: 4, fixed32: 5 } as const;

/** Maximum nesting of messages and groups, as in the official libraries. */
const MAX_DEPTH = 100;
const MAX_FIELD = 0x1fff_ffff;
const MAX_VARINT = 10;
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class Reader {
  /** Number of the current field. */
  field = 0;
  #wire = -1;
  /** A varint's halves, or the position of the value. */
  #low = 0;
  #high = 0;
  #begin = 0;
  #valueEnd = 0;
  #at = 0;
  readonly #end: number;
  readonly #octets: Uint8Array;

  constructor(
    octets: Uint8Array,
    private readonly depth = 0,
  ) {
    if (depth > MAX_DEPTH) throw new ProtobufError(`messages are nested deeper than ${MAX_DEPTH}`);
    this.#octets = octets;
    this.#end = octets.length;
  }

  /** Moves to the next field; false at the end. Its value is known to be inside the message. */
  next(): boolean {
    while (this.#at < this.#end) {
      this.#tag();
      if (this.#wire === WIRE.groupBegin) this.#skipGroup(this.field);
      else if (this.#wire === WIRE.groupEnd) throw new ProtobufError(`field ${this.field}: the group has no begin`);
      else {
        this.#value();
        return true;
      }
    }
    return false;
  }

  uint32(): number {
    this.#want(WIRE.varint, 'a number');
    // Larger values are truncated to the type, as in the official libraries.
    return this.#low >>> 0;
  }

  uint64(): bigint {
    this.#want(WIRE.varint, 'a number');
    return (BigInt(this.#high >>> 0) << 32n) | BigInt(this.#low >>> 0);
  }

  bool(): boolean {
    this.#want(WIRE.varint, 'true or false');
    return (this.#low | this.#high) !== 0;
  }

  fixed32(): number {
    this.#want(WIRE.fixed32, '32 bits');
    return this.#word(this.#begin);
  }

  fixed64(): bigint {
    this.#want(WIRE.fixed64, '64 bits');
    return (BigInt(this.#word(this.#begin + 4)) << 32n) | BigInt(this.#word(this.#begin));
  }

  /** A view, not a copy. */
  bytes(): Uint8Array {
    this.#want(WIRE.delimited, 'octets');
    return this.#octets.subarray(this.#begin, this.#valueEnd);
  }

  string(): string {
    try {
      return UTF8.decode(this.bytes());
    } catch (error) {
      if (error instanceof ProtobufError) throw error;
      throw new ProtobufError(`field ${this.field}: the text is not UTF-8`);
    }
  }

  /** The message in this field. */
  message(): Reader {
    return new Reader(this.bytes(), this.depth + 1);
  }

  #want(wire: number, what: string): void {
    if (this.#wire !== wire)
      throw new ProtobufError(`field ${this.field}: has wire type ${this.#wire} instead of ${what}`);
  }

  #tag(): void {
    this.#varint();
    const tag = this.#low >>> 0;
    this.field = tag >>> 3;
    this.#wire = tag & 7;
    if (this.#high !== 0 || this.field === 0 || this.field > MAX_FIELD)
      throw new ProtobufError('a field has no valid number');
    if (this.#wire > WIRE.fixed32) throw new ProtobufError(`field ${this.field}: there is no wire type ${this.#wire}`);
  }

  /** Finds the value, and moves past it. */
  #value(): void {
    if (this.#wire === WIRE.varint) {
      this.#varint();
      return;
    }
    let length = this.#wire === WIRE.fixed64 ? 8 : 4;
    if (this.#wire === WIRE.delimited) {
      this.#varint();
      length = this.#high === 0 ? this.#low >>> 0 : Number.POSITIVE_INFINITY;
    }
    if (length > this.#end - this.#at)
      throw new ProtobufError(`field ${this.field}: the message ends before its value does`);
    this.#begin = this.#at;
    this.#at += length;
    this.#valueEnd = this.#at;
  }

  #varint(): void {
    let low = 0;
    let high = 0;
    for (let count = 0; count < MAX_VARINT; count++) {
      if (this.#at >= this.#end) throw new ProtobufError('the message ends within a number');
      const octet = this.#octets[this.#at++];
      const bits = octet & 0x7f;
      const shift = count * 7;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high = bits >>> 4;
      } else high |= bits << (shift - 32);
      if (octet < 0x80) {
        this.#low = low;
        this.#high = high;
        return;
      }
    }
    throw new ProtobufError('a number has more than 10 octets');
  }

  /** Moves past the group's end, including nested groups. */
  #skipGroup(field: number): void {
    const open = [field];
    while (open.length > 0) {
      this.#tag();
      if (this.#wire === WIRE.groupBegin) {
        if (open.length + this.depth >= MAX_DEPTH)
          throw new ProtobufError(`groups are nested deeper than ${MAX_DEPTH}`);
        open.push(this.field);
      } else if (this.#wire === WIRE.groupEnd) {
        if (open.pop() !== this.field) throw new ProtobufError(`field ${this.field}: another group ends first`);
      } else this.#value();
    }
  }

  #word(at: number): number {
    const octets = this.#octets;
    return (octets[at] | (octets[at + 1] << 8) | (octets[at + 2] << 16) | (octets[at + 3] << 24)) >>> 0;
  }
}
