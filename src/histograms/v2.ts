// HdrHistogram's V2 encoding (compressed, base64), as in logs. Input from files is checked before it is used.
import { deflateSync, inflateSync } from 'node:zlib';
import type { Histogram, JsHistogram } from 'hdr-histogram-js';
import { emptyHistogram } from './recording.js';

export class EncodingError extends Error {}

/** Cookies of the inner encoding, and of the compressed one around it, without the bits for the word size. */
const COOKIES: ReadonlyMap<number, string> = new Map([
  [0x1c849308, 'V0'],
  [0x1c849309, 'V0'],
  [0x1c849301, 'V1'],
  [0x1c849302, 'V1'],
]);
const V2 = 0x1c849303;
const V2_COMPRESSED = 0x1c849304;
/** These bits of the cookie are the word size. */
const WORDS_OF_ANY_WIDTH = 0x10;
const HEADER_BYTES = 40;
/** A histogram of five digits, up to an hour in nanoseconds, takes 6 MB. */
const MAX_BYTES = 64 * 1024 * 1024;
const MAX_DIGITS = 5;
/** Maximum length of a word: nine bytes, of seven bits each except the last, which has eight. */
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

/** Decodes base64 and decompresses the inner encoding. */
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

/** Decodes a log's histogram field. Throws an EncodingError that says what is wrong. */
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
  // Zero digits would be a histogram of powers of two, which no tool writes.
  if (digits === 0) throw new EncodingError('it has no significant digits');
  // hdr-histogram-js writes 1 for 0.
  if (offset > 1) throw new EncodingError('its counts are shifted, which is not read here');
  if (lowest < 1 || lowest > Number.MAX_SAFE_INTEGER) throw new EncodingError(`its lowest value, ${lowest}, is none`);
  const histogram = emptyHistogram(digits, lowest);
  fill(histogram, octets.subarray(HEADER_BYTES, HEADER_BYTES + payload), digits, lowest);
  return histogram;
}

/** Reads counts by index. A negative number stands for that many zeros. */
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

/** The smallest value at an index, in units of the lowest value: `half` indexes per doubling, twice as many for the first. */
function valueAt(index: number, half: number): number {
  const bucket = Math.floor(index / half) - 1;
  if (bucket < 0) return index;
  return ((index % half) + half) * 2 ** bucket;
}

/** Encodes a log's histogram field. hdr-histogram-js's own encoder writes an offset that Java's decoder applies, which would change all values. */
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
    // A single zero is written as 0, several as their negative number.
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

/** ZigZag encoding with seven bits per byte, and eight in the ninth. */
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
