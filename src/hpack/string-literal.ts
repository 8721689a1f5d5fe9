// String literals of HPACK (RFC 7541 section 5.2), from text or code that lies in the same memory, of which `view` is a view.
import { moveWords, WORDS_BYTES } from '../http/octets.js';
import { putInteger } from './integer.js';

// Both are written out: with a function in common the encoder exceeds what V8 inlines, and takes longer by some percent.

/** Writes [at, at + length) as a string literal without Huffman coding to `to`; returns the position after it. */
export function putPlain(bytes: Uint8Array, view: DataView, at: number, length: number, to: number): number {
  const p = putInteger(bytes, to, 0, 7, length);
  if (length <= WORDS_BYTES) moveWords(bytes, view, at, at + length, p);
  else bytes.copyWithin(p, at, at + length);
  return p + length;
}

/** As `putPlain`, for `length` octets of Huffman code. */
export function putCode(bytes: Uint8Array, view: DataView, at: number, length: number, to: number): number {
  const p = putInteger(bytes, to, 0x80, 7, length);
  if (length <= WORDS_BYTES) moveWords(bytes, view, at, at + length, p);
  else bytes.copyWithin(p, at, at + length);
  return p + length;
}
