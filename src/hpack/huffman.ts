// The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B), decoded one or two symbols a step.

const repeat = (length: number, times: number): number[] => Array<number>(times).fill(length);
const EOS = 256;
/** Lengths of the codes by symbol. The code is canonical: they determine it (RFC 7541 appendix B). */
// biome-ignore format: sixteen symbols a line.
const LENGTH = Uint8Array.from([
  13, 23, ...repeat(28, 7), 24, 30, 28, 28, 30, ...repeat(28, 8), 30, ...repeat(28, 9),
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
  6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
]);
const LONGEST = 30;
/** Bits that fill up the last octet, at most. */
const PADDING = 7;

const CODE = new Uint32Array(EOS + 1);
{
  let code = 0;
  for (let length = 1; length <= LONGEST; length++) {
    code *= 2;
    for (let symbol = 0; symbol <= EOS; symbol++) if (LENGTH[symbol] === length) CODE[symbol] = code++;
  }
}

// The decoder looks at so many bits at once, and takes one or two symbols from them: letters, digits and most of what identifiers are made of
// have codes of five to eight bits. An entry of TAKE is
//   bits 0-4 the length of all codes in it, 5-8 that of the first, 9-10 how many there are, 16-23 the first symbol, 24-31 the second;
// 0 where the first code is longer than that. The length is where a shift looks for its count.
const LOOK = 12;
const WORD_BYTES = 4;
const LOOK_SHIFT = 32 - LOOK;
const BITS_MASK = 31;
const FIRST_BITS_SHIFT = 5;
const FIRST_BITS_MASK = 15;
const COUNT_SHIFT = 9;
const COUNT_MASK = 3;
const FIRST_SHIFT = 16;
const SECOND_SHIFT = 24;
const TAKE: Int32Array = new Int32Array(1 << LOOK);
for (let symbol = 0; symbol < EOS; symbol++) {
  const rest = LOOK - LENGTH[symbol];
  if (rest < 0) continue;
  const first = CODE[symbol] << rest;
  const one = (symbol << FIRST_SHIFT) | (LENGTH[symbol] << FIRST_BITS_SHIFT);
  TAKE.fill(one | LENGTH[symbol] | (1 << COUNT_SHIFT), first, first + (1 << rest));
  for (let next = 0; next < EOS; next++) {
    const left = rest - LENGTH[next];
    if (left < 0) continue;
    const both = first | (CODE[next] << left);
    const bits = LENGTH[symbol] + LENGTH[next];
    TAKE.fill(one | (next << SECOND_SHIFT) | bits | (2 << COUNT_SHIFT), both, both + (1 << left));
  }
}

// For longer codes, by length: the first code, how many there are, and where their symbols begin in SYMBOLS.
const FIRST = new Uint32Array(LONGEST + 1);
const COUNT = new Uint16Array(LONGEST + 1);
const OFFSET = new Uint16Array(LONGEST + 1);
const SYMBOLS = new Uint16Array(EOS + 1);
for (let length = 1, n = 0; length <= LONGEST; length++) {
  OFFSET[length] = n;
  for (let symbol = 0; symbol <= EOS; symbol++) {
    if (LENGTH[symbol] !== length) continue;
    if (COUNT[length]++ === 0) FIRST[length] = CODE[symbol];
    SYMBOLS[n++] = symbol;
  }
}

/**
 * The symbol whose code begins at bit `at` of [from, end) and has more than LOOK bits; EOS, too, where the octets end before it does.
 */
function longSymbol(bytes: Uint8Array, from: number, end: number, at: number): number {
  const bits = Math.min((end - from) * 8 - at, LONGEST);
  let code = look(bytes, from, end, at);
  for (let length = LOOK + 1; length <= bits; length++) {
    const bit = at + length - 1;
    code = (code << 1) | ((bytes[from + (bit >> 3)] >> (7 - (bit & 7))) & 1);
    const index = code - FIRST[length];
    if (index >= 0 && index < COUNT[length]) return SYMBOLS[OFFSET[length] + index];
  }
  return EOS;
}

/** What the last string decoded was: whether all of it is visible ASCII and SP, which is what the shorter codes are for. */
export const decoded = { visible: false };

/** What the decoder may write behind the text: four octets with symbols that the end of the code cuts off. */
const BEHIND = 4;
/** What `length` octets of code can decode to at most (8/5, and a little more: no division), with what the decoder may write behind it; and at least. */
export const longestText = (length: number): number => length + (length >> 1) + (length >> 3) + 1 + BEHIND;
export const leastText = (length: number): number => Math.floor((length * 8 - PADDING) / LONGEST);
/** Whether a text of `length` octets, whose length is known, has room in as many octets. */
export const textFits = (length: number, room: number): boolean => length + BEHIND <= room;

/**
 * Decodes [from, end) of `bytes`, of which `view` is a view, to `at`, where `longestText` octets must be free. Of what is behind `end`, two
 * words must be readable. Returns the position after the text, or -1 for EOS or bad padding.
 */
export function decodeHuffman(bytes: Uint8Array, view: DataView, from: number, end: number, at: number): number {
  const bits = (end - from) * 8;
  let visible = true;
  let o = at;
  // The next bit of the code.
  let bit = 0;
  for (;;) {
    // The 32 bits from there on, and those behind them.
    const p = from + (bit >>> 3);
    const behind = view.getInt32(p + WORD_BYTES);
    let word = (view.getInt32(p) << (bit & 7)) | ((behind >>> 1) >>> ~(bit & 7));
    let later = behind << (bit & 7);
    let first = -1;
    for (const last = bits - 2 * LOOK; bit <= last; ) {
      first = TAKE[word >>> LOOK_SHIFT];
      if (first === 0) break;
      const rest = word << first;
      const second = TAKE[rest >>> LOOK_SHIFT];
      const count = (first >>> COUNT_SHIFT) & COUNT_MASK;
      view.setInt32(o, (first >>> FIRST_SHIFT) | ((second >>> FIRST_SHIFT) << (count << 3)), true);
      o += count + ((second >>> COUNT_SHIFT) & COUNT_MASK);
      bit += (first & BITS_MASK) + (second & BITS_MASK);
      // All that a step waits for of the one before are two look-ups. What it takes them from was loaded a step earlier.
      word = ((rest | (later >>> -first)) << second) | (((later << first) >>> 1) >>> ~second);
      later = view.getInt32(from + (bit >>> 3) + WORD_BYTES) << (bit & 7);
    }
    if (first !== 0) {
      // Behind the last octet are ones: the padding of at most seven bits (section 5.2), which begins no code that is as short. A code that
      // takes more than there is was cut off.
      word |= -1 >>> (bits - bit);
      for (first = TAKE[word >>> LOOK_SHIFT]; first !== 0; first = TAKE[word >>> LOOK_SHIFT]) {
        const second = TAKE[(word << first) >>> LOOK_SHIFT];
        const count = (first >>> COUNT_SHIFT) & COUNT_MASK;
        view.setInt32(o, (first >>> FIRST_SHIFT) | ((second >>> FIRST_SHIFT) << (count << 3)), true);
        o += count + ((second >>> COUNT_SHIFT) & COUNT_MASK);
        const taken = (first & BITS_MASK) + (second & BITS_MASK);
        bit += taken;
        if (bit > bits) return -1;
        word = (word << taken) | (-1 >>> (bits - bit));
      }
      if (bits - bit <= PADDING && word === -1) break;
    }
    // A long code, or none.
    const symbol = longSymbol(bytes, from, end, bit);
    if (symbol === EOS) return -1;
    visible = false;
    bytes[o++] = symbol;
    bit += LENGTH[symbol];
  }
  decoded.visible = visible;
  return o;
}

/** Octets that the code of [from, end) decodes to; -1 as in `decodeHuffman`. */
export function decodedLength(bytes: Uint8Array, from: number, end: number): number {
  const bits = (end - from) * 8;
  let length = 0;
  let at = 0;
  for (;;) {
    const entry = TAKE[look(bytes, from, end, at)];
    let taken = (entry >>> FIRST_BITS_SHIFT) & FIRST_BITS_MASK;
    if (entry === 0) {
      const symbol = longSymbol(bytes, from, end, at);
      if (symbol === EOS) break;
      taken = LENGTH[symbol];
    }
    if (at + taken > bits) break;
    at += taken;
    length++;
  }
  const left = bits - at;
  const ones = (1 << left) - 1;
  return left === 0 || (left <= PADDING && (bytes[end - 1] & ones) === ones) ? length : -1;
}

/** The bits from bit `at` of [from, end) on, ones behind its end. */
function look(bytes: Uint8Array, from: number, end: number, at: number): number {
  const p = from + (at >> 3);
  const first = p < end ? bytes[p] : 0xff;
  const second = p + 1 < end ? bytes[p + 1] : 0xff;
  const third = p + 2 < end ? bytes[p + 2] : 0xff;
  return (((first << 16) | (second << 8) | third) >> (24 - LOOK - (at & 7))) & ((1 << LOOK) - 1);
}

/** Octets that the text [from, end) is encoded in. */
export function encodedLength(bytes: Uint8Array, from: number, end: number): number {
  let bits = 0;
  for (let p = from; p < end; p++) bits += LENGTH[bytes[p]];
  return (bits + 7) >>> 3;
}

/** Encodes the text [from, end) of `bytes` to `at` of `out`; returns the position after it. They must not overlap. */
export function encodeHuffman(bytes: Uint8Array, from: number, end: number, out: Uint8Array, at: number): number {
  let o = at;
  // Less than a whole octet waits in the low bits of `pending`.
  let pending = 0;
  let bits = 0;
  for (let p = from; p < end; p++) {
    const symbol = bytes[p];
    let length = LENGTH[symbol];
    let code = CODE[symbol];
    if (length > 16) {
      const rest = length - 16;
      pending = (pending << rest) | (code >>> 16);
      bits += rest;
      while (bits >= 8) {
        bits -= 8;
        out[o++] = pending >>> bits;
      }
      pending &= (1 << bits) - 1;
      code &= 0xffff;
      length = 16;
    }
    pending = (pending << length) | code;
    bits += length;
    while (bits >= 8) {
      bits -= 8;
      out[o++] = pending >>> bits;
    }
    pending &= (1 << bits) - 1;
  }
  if (bits > 0) out[o++] = (pending << (8 - bits)) | (0xff >> bits);
  return o;
}
