import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MALFORMED } from '../../src/http/malformed.js';
import { checkRequest } from '../../src/http/message.js';
import { factsOf, GET, type Lines } from '../support/facts.js';

const request = (lines: Lines): number => checkRequest(factsOf(lines));

describe('octets of fields (RFC 9113 section 8.2.1)', () => {
  it('refuses upper case, controls, spaces, high octets and colons in names, and no name at all', () => {
    for (const name of ['Upper', 'x\0', 'x y', 'x\x7f', 'x\xe9', 'x:y', '', ' x', 'x\r\ny', ':']) {
      assert.equal(request([...GET, [name, 'v']]), MALFORMED.NAME, JSON.stringify(name));
    }
  });
  it('refuses NUL, CR and LF in values, and white space at either end', () => {
    for (const value of ['a\0b', 'a\rb', 'a\nb', ' a', 'a ', '\ta', 'a\t', ' ', '\x7f', '\x01']) {
      assert.equal(request([...GET, ['x', value]]), MALFORMED.VALUE, JSON.stringify(value));
    }
    for (const value of ['', 'a b', 'a\tb', 'caf\xe9'])
      assert.equal(request([...GET, ['x', value]]), 0, JSON.stringify(value));
  });
});
