// The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B), decoded four bits a step.

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

// The decoder is a machine over the inner nodes of the code's tree. An entry of STEP for node and nibble holds the node
// after it, and the symbol that it completes. No code is shorter than five bits, so a nibble completes one at most.
const EMIT = 1 << 9;
const BAD = 1 << 10;
const NODE = EMIT - 1;
const SYMBOL_SHIFT = 16;
const STEP: Int32Array = new Int32Array(256 * 16);
/** Whether a string may end at a node: at most seven bits of padding, all ones (section 5.2). */
const FINAL: Uint8Array = new Uint8Array(256);
{
  const LEAF = -2;
  const children: [number, number][] = [[-1, -1]];
  const depth = [0];
  const ones = [true];
  for (let symbol = 0; symbol <= EOS; symbol++) {
    let node = 0;
    for (let bit = LENGTH[symbol] - 1; bit >= 0; bit--) {
      const way = (CODE[symbol] >>> bit) & 1;
      if (bit === 0) children[node][way] = LEAF - symbol;
      else {
        if (children[node][way] === -1) {
          children[node][way] = children.length;
          children.push([-1, -1]);
          depth.push(depth[node] + 1);
          ones.push(ones[node] && way === 1);
        }
        node = children[node][way];
      }
    }
  }
  for (let start = 0; start < children.length; start++) {
    FINAL[start] = depth[start] <= 7 && ones[start] ? 1 : 0;
    for (let nibble = 0; nibble < 16; nibble++) {
      let node = start;
      let entry = 0;
      for (let bit = 3; bit >= 0; bit--) {
        const child = children[node][(nibble >> bit) & 1];
        if (child <= LEAF) {
          const symbol = LEAF - child;
          entry |= symbol === EOS ? BAD : EMIT | (symbol << SYMBOL_SHIFT);
          node = 0;
        } else node = child;
      }
      STEP[(start << 4) | nibble] = entry | node;
    }
  }
}

/** What `length` octets of code can decode to at most, and at least. */
export const longestText = (length: number): number => Math.floor((length * 8) / 5);
export const leastText = (length: number): number => Math.floor((length * 8 - PADDING) / LONGEST);

/**
 * Decodes [from, end) of `bytes` to `at` of `out`, where `longestText` octets must be free. Returns the position after
 * the text, or -1 for EOS or bad padding.
 */
export function decodeHuffman(bytes: Uint8Array, from: number, end: number, out: Uint8Array, at: number): number {
  let node = 0;
  let o = at;
  for (let p = from; p < end; p++) {
    const octet = bytes[p];
    const high = STEP[(node << 4) | (octet >> 4)];
    if ((high & EMIT) !== 0) out[o++] = high >>> SYMBOL_SHIFT;
    const low = STEP[((high & NODE) << 4) | (octet & 15)];
    if ((low & EMIT) !== 0) out[o++] = low >>> SYMBOL_SHIFT;
    if (((high | low) & BAD) !== 0) return -1;
    node = low & NODE;
  }
  return FINAL[node] === 1 ? o : -1;
}

/** Octets that the code of [from, end) decodes to; -1 as in `decodeHuffman`. */
export function decodedLength(bytes: Uint8Array, from: number, end: number): number {
  let node = 0;
  let length = 0;
  for (let p = from; p < end; p++) {
    const octet = bytes[p];
    const high = STEP[(node << 4) | (octet >> 4)];
    const low = STEP[((high & NODE) << 4) | (octet & 15)];
    if (((high | low) & BAD) !== 0) return -1;
    length += ((high & EMIT) >> 9) + ((low & EMIT) >> 9);
    node = low & NODE;
  }
  return FINAL[node] === 1 ? length : -1;
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
