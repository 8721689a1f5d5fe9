// HdrHistogram's V2 encoding (compressed, base64), as logs have it. What comes from files is checked before anything is made of it.
import { deflateSync, inflateSync } from 'node:zlib';
import type { Histogram, JsHistogram } from 'hdr-histogram-js';
import { emptyHistogram } from './recording.js';

export class EncodingError extends Error {}

/** Of the encoding within, and of the compressed one around it; without the bits that say how wide a word is. */
const COOKIES: ReadonlyMap<number, string> = new Map([
  [0x1c849308, 'V0'],
  [0x1c849309, 'V0'],
  [0x1c849301, 'V1'],
  [0x1c849302, 'V1'],
]);
const V2 = 0x1c849303;
const V2_COMPRESSED = 0x1c849304;
/** Bits of the cookie that say so. */
const WORDS_OF_ANY_WIDTH = 0x10;
const HEADER_BYTES = 40;
/** Five digits up to an hour in nanoseconds are 6 MB. */
const MAX_BYTES = 64 * 1024 * 1024;
const MAX_DIGITS = 5;
/** Of a value's words: nine octets of seven bits, the last of eight. */
const MAX_WORD = 9;

const cookieOf = (octets: Buffer): number => octets.readUInt32BE(0) & ~0xf0;

function wanted(octets: Buffer, cookie: number, what: string): void {
  if (octets.length < 8) throw new EncodingError(`${what} ends before it has begun`);
  const found = cookieOf(octets);
  if (found === cookie) return;
  const version = COOKIES.get(found);
  if (version !== undefined)
    throw new EncodingError(
      `it is a histogram of version ${version}, and V2 is read here; let a newer version of what wrote it write it again`,
    );
  throw new EncodingError('it is not a histogram of HdrHistogram');
}

/** Base64 to the encoding within. */
function inflated(base64: string): Buffer {
  const text = base64.trim();
  if (text === '' || !/^[A-Za-z0-9+/]+={0,2}$/.test(text) || text.length % 4 !== 0)
    throw new EncodingError('its base64 is cut or broken');
  const outer = Buffer.from(text, 'base64');
  wanted(outer, V2_COMPRESSED, 'it');
  const length = outer.readUInt32BE(4);
  if (length > outer.length - 8) throw new EncodingError('it is cut');
  try {
    return inflateSync(outer.subarray(8, 8 + length), { maxOutputLength: MAX_BYTES });
  } catch {
    throw new EncodingError('what is compressed in it is cut or broken');
  }
}

export interface Decoded {
  readonly histogram: Histogram;
  readonly digits: number;
}

/** The histogram in a field of a log. Throws an EncodingError that says what is wrong with it. */
export function decodeV2(base64: string): Histogram {
  const octets = inflated(base64);
  wanted(octets, V2, 'what is compressed in it');
  if (octets.length < HEADER_BYTES) throw new EncodingError('its header is cut');
  const payload = octets.readUInt32BE(4);
  const offset = octets.readUInt32BE(8);
  const digits = octets.readUInt32BE(12);
  const lowest = Number(octets.readBigInt64BE(16));
  if (payload > octets.length - HEADER_BYTES) throw new EncodingError('its counts are cut');
  if (digits > MAX_DIGITS) throw new EncodingError(`it has ${digits} significant digits, where there are 0 to 5`);
  // Zero digits are a histogram of powers of two, which nobody writes.
  if (digits === 0) throw new EncodingError('it has no significant digits');
  // hdr-histogram-js writes 1 and means 0.
  if (offset > 1) throw new EncodingError('its counts are shifted, which is not read here');
  if (lowest < 1 || lowest > Number.MAX_SAFE_INTEGER) throw new EncodingError(`its lowest value, ${lowest}, is none`);
  const histogram = emptyHistogram(digits, lowest);
  fill(histogram, octets.subarray(HEADER_BYTES, HEADER_BYTES + payload), digits, lowest);
  return histogram;
}

/** Counts by index; a negative one is as many that are zero. */
function fill(histogram: Histogram, words: Buffer, digits: number, lowest: number): void {
  const magnitude = Math.floor(Math.log2(lowest));
  const half = 2 ** (Math.ceil(Math.log2(2 * 10 ** digits)) - 1);
  let index = 0;
  let at = 0;
  while (at < words.length) {
    let word = 0n;
    let length = 0;
    for (;;) {
      if (at >= words.length) throw new EncodingError('its counts end within a number');
      const octet = words[at++];
      length++;
      if (length === MAX_WORD) {
        word |= BigInt(octet) << 56n;
        break;
      }
      word |= BigInt(octet & 0x7f) << BigInt(7 * (length - 1));
      if (octet < 0x80) break;
    }
    const count = Number(BigInt.asIntN(64, (word >> 1n) ^ -(word & 1n)));
    if (count < 0) {
      index -= count;
      continue;
    }
    if (count > 0) {
      const value = valueAt(index, half) * 2 ** magnitude;
      if (!(value <= Number.MAX_SAFE_INTEGER) || count > Number.MAX_SAFE_INTEGER)
        throw new EncodingError('it has numbers beyond 2^53');
      histogram.recordValueWithCount(value, count);
    }
    index++;
  }
}

/** Smallest value of an index, in units of the lowest: `half` for each doubling, twice that for the first. */
function valueAt(index: number, half: number): number {
  const bucket = Math.floor(index / half) - 1;
  if (bucket < 0) return index;
  return ((index % half) + half) * 2 ** bucket;
}

/** The field of a log. hdr-histogram-js's own has an offset that Java's takes at its word: every value would be another. */
export function encodeV2(histogram: Histogram): string {
  const own = histogram as JsHistogram;
  const words: number[] = [];
  const last = own.totalCount === 0 ? -1 : own.countsArrayIndex(own.maxValue);
  let zeros = 0;
  for (let index = 0; index <= last; index++) {
    const count = own.getCountAtIndex(index);
    if (count === 0) {
      zeros++;
      continue;
    }
    // A single zero is itself, several are their number below zero.
    if (zeros > 0) word(words, zeros === 1 ? 0n : BigInt(-zeros));
    zeros = 0;
    word(words, BigInt(count));
  }
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(V2 | WORDS_OF_ANY_WIDTH, 0);
  header.writeUInt32BE(words.length, 4);
  header.writeUInt32BE(own.numberOfSignificantValueDigits, 12);
  header.writeBigInt64BE(BigInt(own.lowestDiscernibleValue), 16);
  header.writeBigInt64BE(BigInt(own.highestTrackableValue), 24);
  header.writeDoubleBE(1, 32);
  const content = deflateSync(Buffer.concat([header, Buffer.from(words)]));
  const outer = Buffer.alloc(8);
  outer.writeUInt32BE(V2_COMPRESSED | WORDS_OF_ANY_WIDTH, 0);
  outer.writeUInt32BE(content.length, 4);
  return Buffer.concat([outer, content]).toString('base64');
}

/** ZigZag, seven bits an octet, the ninth octet whole. */
function word(octets: number[], value: bigint): void {
  let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
  for (let length = 1; length < MAX_WORD; length++) {
    if (rest < 0x80n) {
      octets.push(Number(rest));
      return;
    }
    octets.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  octets.push(Number(rest));
}
