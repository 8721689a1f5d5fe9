import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { quoted, quotedBytes } from '../../src/log/json-text.js';

const strict = new TextDecoder('utf-8', { fatal: true });
/** As a reader of the log does it: bytes that must be UTF-8, then JSON. */
const read = (text: string): string => JSON.parse(strict.decode(Buffer.from(text))) as string;
const of = (bytes: Uint8Array, most = 100): string => quotedBytes(bytes, 0, bytes.length, most);

describe('strings of JSON', () => {
  it('keep what is plain or UTF-8', () => {
    for (const text of ['', '/a?b=c', 'é', '日本語', '🙂', '"\\/\b\n\u0000'])
      assert.equal(read(of(Buffer.from(text))), text);
  });

  it('show each byte of what is not UTF-8', () => {
    assert.equal(read(of(Buffer.from([0x61, 0xff, 0xc3]))), 'a\u00ff\u00c3');
  });

  it('hold nothing that a terminal or a tool takes for more than text', () => {
    const text = of(Buffer.from('\u001b[2J\u009b1m\u007f\u2028\u2029\ufeff'));
    assert.match(text, /^[\x20-\x7e]*$/);
  });

  it('are bounded, cut between characters', () => {
    assert.equal(quoted('abcdef', 4), '"abcd…"');
    assert.equal(quoted('abcd', 4), '"abcd"');
    assert.equal(read(of(Buffer.from('ééé'), 4)), 'éé…');
    assert.equal(read(of(Buffer.from('🙂🙂🙂'), 5)), '🙂…');
    assert.equal(read(quoted('"'.repeat(4), 5)), '""…');
    // The cut of what is looked at falls into a character.
    assert.equal(read(of(Buffer.from(`a${'é'.repeat(5000)}`), 8)), 'aééé…');
  });

  it('are valid and bounded whatever comes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.integer({ min: 1, max: 60 }), (bytes, most) => {
        const text = of(bytes, most);
        read(text);
        assert.ok(Buffer.byteLength(text) <= most + 2 + 3);
      }),
    );
  });
});
