import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Cursor, putInteger, readInteger } from '../../src/hpack/integer.js';

const bytes = new Uint8Array(16);
const cursor = new Cursor();
function readBack(bits: number, end: number): number {
  const mask = (1 << bits) - 1;
  const prefix = bytes[0] & mask;
  if (prefix < mask) return prefix;
  cursor.at = 1;
  if (!readInteger(bytes, end, mask, cursor)) return -1;
  assert.equal(cursor.at, end);
  return cursor.value;
}
const octets = (...values: number[]): number => {
  bytes.set(values);
  return values.length;
};

describe('HPACK integers (RFC 7541 section 5.1)', () => {
  it('writes the examples of appendix C.1', () => {
    assert.equal(putInteger(bytes, 0, 0, 5, 10), 1);
    assert.equal(bytes[0], 10);
    assert.equal(putInteger(bytes, 0, 0, 5, 1337), 3);
    assert.deepEqual([...bytes.subarray(0, 3)], [0x1f, 0x9a, 0x0a]);
    assert.equal(putInteger(bytes, 0, 0, 8, 42), 1);
    assert.equal(bytes[0], 42);
  });

  it('reads what it writes, whatever the prefix', () => {
    fc.assert(
      fc.property(fc.integer({ min: 4, max: 7 }), fc.integer({ min: 0, max: 0x7fffffff }), (bits, value) => {
        assert.equal(readBack(bits, putInteger(bytes, 0, 0, bits, value)), value);
      }),
    );
  });

  it('refuses more than 2^31-1, more than five octets, and an end in the middle', () => {
    assert.equal(readBack(7, octets(0x7f, 0x80, 0xff, 0xff, 0xff, 0x07)), 0x7fffffff);
    assert.equal(readBack(7, octets(0x7f, 0x81, 0xff, 0xff, 0xff, 0x07)), -1);
    assert.equal(readBack(7, octets(0x7f, 0xff, 0xff, 0xff, 0xff, 0x7f)), -1);
    assert.equal(readBack(5, octets(0x1f, 0x80, 0x80, 0x80, 0x80, 0x00)), 31);
    assert.equal(readBack(5, octets(0x1f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00)), -1);
    assert.equal(readBack(5, octets(0x1f, 0x80)), -1);
    assert.equal(readBack(5, octets(0x1f)), -1);
  });
});
