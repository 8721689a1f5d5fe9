import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { decodedLength, decodeHuffman, encodedLength, encodeHuffman, longestText } from '../../src/hpack/huffman.js';
import { HUFFMAN_CODES } from '../support/huffman-codes.js';
import { NaiveError, naiveHuffman, naiveUnhuffman } from '../support/naive-hpack.js';
import { runs } from '../support/runs.js';

const out = new Uint8Array(4096);
/** Where code is put to be decoded, and where its text goes. */
const memory = new Uint8Array(8192);
const view = new DataView(memory.buffer);
const TEXT = 4096;
const UNTOUCHED = 0xaa;
const octetsOf = (bits: string): Uint8Array =>
  Uint8Array.from(bits.match(/.{8}/g) ?? [], (octet) => Number.parseInt(octet, 2));
const decode = (octets: Uint8Array): string | null => {
  memory.fill(UNTOUCHED, TEXT);
  memory.set(octets);
  const end = decodeHuffman(memory, view, 0, octets.length, TEXT);
  assert.ok(memory.subarray(TEXT + longestText(octets.length)).every((octet) => octet === UNTOUCHED));
  assert.equal(decodedLength(octets, 0, octets.length), end < 0 ? end : end - TEXT);
  return end < 0 ? null : Buffer.from(memory.subarray(TEXT, end)).toString('latin1');
};

/** What an independent implementation makes of it. */
const expectedOf = (octets: Uint8Array): string | null => {
  try {
    return naiveUnhuffman([...octets]);
  } catch (error) {
    if (error instanceof NaiveError) return null;
    throw error;
  }
};

describe('Huffman code (RFC 7541 section 5.2)', () => {
  it('has the code of appendix B for every symbol', () => {
    for (let symbol = 0; symbol < 256; symbol++) {
      const text = Uint8Array.of(symbol);
      const end = encodeHuffman(text, 0, 1, out, 0);
      assert.equal(end, encodedLength(text, 0, 1));
      const code = HUFFMAN_CODES[symbol];
      assert.deepEqual(out.slice(0, end), octetsOf(code.padEnd(Math.ceil(code.length / 8) * 8, '1')));
    }
  });

  it('encodes as an independent implementation does, and decodes that', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (text) => {
        const end = encodeHuffman(text, 0, text.length, out, 0);
        const octets = out.slice(0, end);
        assert.equal(end, encodedLength(text, 0, text.length));
        assert.deepEqual([...octets], naiveHuffman(Buffer.from(text).toString('latin1')));
        assert.equal(decode(octets), Buffer.from(text).toString('latin1'));
        assert.ok(text.length <= longestText(octets.length));
      }),
      { numRuns: runs(300) },
    );
  });

  it('accepts and refuses what an independent implementation does', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), (octets) => {
        assert.equal(decode(octets), expectedOf(octets));
      }),
      { numRuns: runs(2000) },
    );
  });

  it('does so with text as it usually is, whole, cut off, or with a bit that is wrong', () => {
    const bit = fc.nat({ max: 8 * 100 });
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme-ascii', maxLength: 60 }), bit, bit, (text, length, wrong) => {
        const code = Uint8Array.from(naiveHuffman(text));
        assert.equal(decode(code), text);
        const part = code.slice(0, length >> 3);
        if (wrong >> 3 < part.length) part[wrong >> 3] ^= 1 << (wrong & 7);
        assert.equal(decode(part), expectedOf(part));
      }),
      { numRuns: runs(2000) },
    );
  });

  it('refuses EOS in a string', () => {
    assert.equal(decode(octetsOf(`${HUFFMAN_CODES[256]}11`)), null);
    assert.equal(
      decode(octetsOf(`${HUFFMAN_CODES[97]}${HUFFMAN_CODES[256]}${HUFFMAN_CODES[97]}`.padEnd(40, '1'))),
      null,
    );
  });

  it('refuses more than seven bits of padding', () => {
    assert.equal(decode(octetsOf(`${HUFFMAN_CODES[97]}111`)), 'a');
    assert.equal(decode(octetsOf(`${HUFFMAN_CODES[97]}11111111111`)), null);
    assert.equal(decode(Uint8Array.of(0xff)), null);
  });

  it('refuses padding that is not all ones', () => {
    assert.equal(decode(octetsOf(`${HUFFMAN_CODES[97]}110`)), null);
    assert.equal(decode(octetsOf(`${HUFFMAN_CODES[97]}000`)), null);
  });
});
