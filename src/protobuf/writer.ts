// Writes the protocol buffers wire format. The caller omits default values; the writer writes what it is told.
import { WIRE } from './reader.js';

const FIRST_BYTES = 256;
/** Maximum bytes of a 32-bit varint, and of a 64-bit one. */
const MAX_VARINT32 = 5;
const MAX_VARINT64 = 10;
const TWO_TO_32 = 2 ** 32;

export class Writer {
  #octets = Buffer.allocUnsafe(FIRST_BYTES);
  #at = 0;

  uint32(field: number, value: number): this {
    this.#tag(field, WIRE.varint);
    this.#varint(value);
    return this;
  }

  bool(field: number, value: boolean): this {
    return this.uint32(field, value ? 1 : 0);
  }

  fixed32(field: number, value: number): this {
    this.#tag(field, WIRE.fixed32);
    this.#room(4);
    this.#at = this.#octets.writeUInt32LE(value >>> 0, this.#at);
    return this;
  }

  fixed64(field: number, value: bigint): this {
    this.#tag(field, WIRE.fixed64);
    this.#room(8);
    this.#at = this.#octets.writeBigUInt64LE(value, this.#at);
    return this;
  }

  /** An integer from 0 to 2^53. */
  uint64(field: number, value: number): this {
    this.#tag(field, WIRE.varint);
    this.#varint64(value);
    return this;
  }

  /** ZigZag. */
  sint32(field: number, value: number): this {
    return this.uint32(field, (value << 1) ^ (value >> 31));
  }

  double(field: number, value: number): this {
    this.#tag(field, WIRE.fixed64);
    this.#room(8);
    this.#at = this.#octets.writeDoubleLE(value, this.#at);
    return this;
  }

  /** Integers from 0 to 2^53, packed. */
  uint64s(field: number, values: Iterable<number>): this {
    const begin = this.begin(field);
    for (const value of values) this.#varint64(value);
    return this.end(begin);
  }

  /** Integers between -2^52 and 2^52, ZigZag, packed. */
  sint64s(field: number, values: Iterable<number>): this {
    const begin = this.begin(field);
    for (const value of values) this.#varint64(value < 0 ? -2 * value - 1 : 2 * value);
    return this.end(begin);
  }

  bytes(field: number, value: Uint8Array): this {
    this.#tag(field, WIRE.delimited);
    this.#varint(value.length);
    return this.raw(value);
  }

  string(field: number, value: string): this {
    this.#tag(field, WIRE.delimited);
    const length = Buffer.byteLength(value);
    this.#varint(length);
    this.#room(length);
    this.#at += this.#octets.write(value, this.#at, length, 'utf8');
    return this;
  }

  /** Raw bytes: fields written before. */
  raw(octets: Uint8Array): this {
    this.#room(octets.length);
    this.#octets.set(octets, this.#at);
    this.#at += octets.length;
    return this;
  }

  /** A length-prefixed message without a field: one of a sequence. */
  delimited(message: Uint8Array): this {
    this.#varint(message.length);
    return this.raw(message);
  }

  /** Everything written from here to `end` of the result is the message in this field. */
  begin(field: number): number {
    this.#tag(field, WIRE.delimited);
    this.#room(1);
    // Most messages need one byte for their length; longer ones are moved.
    this.#at += 1;
    return this.#at;
  }

  end(begin: number): this {
    const length = this.#at - begin;
    const octets = varintBytes(length);
    if (octets > 1) {
      this.#room(octets - 1);
      this.#octets.copyWithin(begin + octets - 1, begin, this.#at);
    }
    this.#at = begin - 1;
    this.#varint(length);
    this.#at += length;
    return this;
  }

  /** An empty message in this field. */
  empty(field: number): this {
    this.#tag(field, WIRE.delimited);
    this.#varint(0);
    return this;
  }

  /** Everything written, in a separate buffer. The writer can be reused. */
  finish(): Buffer {
    const octets = Buffer.from(this.#octets.subarray(0, this.#at));
    this.#at = 0;
    return octets;
  }

  #tag(field: number, wire: number): void {
    this.#varint(((field << 3) | wire) >>> 0);
  }

  #varint(value: number): void {
    this.#room(MAX_VARINT32);
    let rest = value >>> 0;
    while (rest > 0x7f) {
      this.#octets[this.#at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#octets[this.#at++] = rest;
  }

  #varint64(value: number): void {
    if (value < TWO_TO_32) {
      this.#varint(value);
      return;
    }
    this.#room(MAX_VARINT64);
    let rest = value;
    while (rest > 0x7f) {
      this.#octets[this.#at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#octets[this.#at++] = rest;
  }

  #room(octets: number): void {
    if (this.#at + octets <= this.#octets.length) return;
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#octets.length, this.#at + octets));
    larger.set(this.#octets.subarray(0, this.#at));
    this.#octets = larger;
  }
}

function varintBytes(value: number): number {
  let octets = 1;
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) octets += 1;
  return octets;
}
