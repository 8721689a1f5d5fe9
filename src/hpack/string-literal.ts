// String literals of HPACK (RFC 7541 section 5.2), from text or code in the same memory, of which `view` is a view.
import { moveWords, WORDS_BYTES } from '../http/octets.js';
import { putInteger } from './integer.js';

// Both are written out: with a shared function the encoder exceeds V8's inlining limit and gets a few percent slower.

/** Writes [at, at + length) as a string literal without Huffman coding to `to`; returns the position after it. */
export function putPlain(bytes: Uint8Array, view: DataView, at: number, length: number, to: number): number {
  const p = putInteger(bytes, to, 0, 7, length);
  if (length <= WORDS_BYTES) moveWords(bytes, view, at, at + length, p);
  else bytes.copyWithin(p, at, at + length);
  return p + length;
}

/** Like `putPlain`, for `length` bytes of Huffman code. */
export function putCode(bytes: Uint8Array, view: DataView, at: number, length: number, to: number): number {
  const p = putInteger(bytes, to, 0x80, 7, length);
  if (length <= WORDS_BYTES) moveWords(bytes, view, at, at + length, p);
  else bytes.copyWithin(p, at, at + length);
  return p + length;
}
