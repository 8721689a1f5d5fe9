import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PSEUDO } from '../../src/http/facts.js';
import { MALFORMED } from '../../src/http/malformed.js';
import { checkRequest } from '../../src/http/message.js';
import { METHOD } from '../../src/http/methods.js';
import { factsOf, GET, type Lines } from '../support/facts.js';

const request = (lines: Lines): number => checkRequest(factsOf(lines));

describe('content-length (section 8.1.1)', () => {
  it('is one number', () => {
    assert.equal(factsOf([...GET, ['content-length', '42']]).contentLength, 42);
    assert.equal(factsOf(GET).contentLength, -1);
    assert.equal(factsOf([...GET, ['content-length', '9007199254740991']]).contentLength, Number.MAX_SAFE_INTEGER);
    for (const length of ['', '-1', '+1', '1, 1', '0x1', '1.0', '9007199254740992', '99999999999999999999']) {
      assert.equal(request([...GET, ['content-length', length]]), MALFORMED.CONTENT_LENGTH, length);
    }
  });
  it('may be repeated, but not differ', () => {
    assert.equal(request([...GET, ['content-length', '1'], ['content-length', '1']]), 0);
    assert.equal(request([...GET, ['content-length', '1'], ['content-length', '2']]), MALFORMED.CONTENT_LENGTH_DIFFERS);
  });
});

describe('facts', () => {
  it('notes expect, host, trailer, cookies and which pseudo-header fields there are', () => {
    const facts = factsOf([
      ...GET,
      ['expect', '100-continue'],
      ['trailer', 'x'],
      ['cookie', 'a'],
      ['cookie', 'b'],
      ['host', 'example.com'],
    ]);
    assert.ok(facts.expectContinue && facts.trailer && facts.hasHost);
    assert.equal(facts.cookies, 2);
    assert.equal(facts.method, METHOD.GET);
    assert.equal(facts.pseudo, PSEUDO.METHOD | PSEUDO.SCHEME | PSEUDO.PATH | PSEUDO.AUTHORITY);
    assert.equal(factsOf(GET).hasHost, false);
    assert.equal(factsOf([...GET, ['expect', 'other']]).expectContinue, false);
  });
});
