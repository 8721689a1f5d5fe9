// What a worker makes of TLS profiles, and why handshakes fail.
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import type { TlsContextOptions } from '../../src/io/native-tls.js';
import { ALPN, alpnOf, OFFER } from '../../src/tls/alpn.js';
import { Contexts } from '../../src/tls/contexts.js';
import { causeOf, FAILURE } from '../../src/tls/failures.js';
import { profile } from './support.js';

let made: TlsContextOptions[] = [];
let freed: number[] = [];
let broken = false;
let contexts: Contexts;

beforeEach(() => {
  made = [];
  freed = [];
  broken = false;
  contexts = new Contexts({
    tlsContext: (options) => {
      if (broken) throw new Error('the key is for another certificate');
      return made.push(options);
    },
    tlsContextFree: (context) => void freed.push(context),
  });
});

describe('Contexts', () => {
  test('are kept as long as the generation is the same, and replaced otherwise', () => {
    assert.deepEqual(contexts.configure([profile(1, 'server'), profile(2, 'client')]), []);
    assert.deepEqual([contexts.of(1, 0), contexts.of(2, 0), contexts.of(3, 0)], [1, 2, 0]);
    contexts.configure([profile(1, 'server'), profile(2, 'client', 2)]);
    assert.deepEqual([contexts.of(1, 0), contexts.of(2, 0)], [1, 3]);
    assert.deepEqual(freed, [2]);
    contexts.configure([]);
    assert.deepEqual(freed, [2, 1, 3]);
    assert.equal(contexts.of(1, 0), 0);
  });

  test('that cannot be made leave the last ones, unless they were somebody else’s', () => {
    contexts.configure([profile(1, 'server'), profile(2, 'client'), profile(3, 'server')]);
    broken = true;
    const other = { ...profile(2, 'client', 2), serverName: 'other.example' };
    const problems = contexts.configure([profile(1, 'server', 2), other, profile(3, 'client', 2)]);
    assert.equal(problems.length, 3);
    assert.deepEqual([contexts.of(1, 0), contexts.of(2, 0), contexts.of(3, 0)], [1, 0, 0]);
    assert.deepEqual(freed, [2, 3]);
  });

  test('are made anew where peers may send more, or less', () => {
    const sizes = { maxHello: 8192, maxChain: 24_577 };
    contexts.configure([profile(1, 'server'), profile(2, 'client')]);
    contexts.configure([profile(1, 'server'), profile(2, 'client')], sizes);
    assert.deepEqual(freed, [1, 2]);
    const sizesOf = (context: number) => [made[context - 1].maxHello, made[context - 1].maxChain];
    assert.deepEqual([1, 3, 4].map(sizesOf), [
      [20_480, 32_768],
      [8192, 12_288],
      [8192, 24_577],
    ]);
    contexts.configure([profile(1, 'server'), profile(2, 'client')], sizes);
    assert.equal(made.length, 4);
  });

  test('offer what a connection is for', () => {
    const alpn = ['h2', 'http/1.1', 'transport.l5d.io/v1'];
    contexts.configure([
      { ...profile(1, 'client'), alpn },
      { ...profile(2, 'client'), alpn: ['http/1.1'] },
    ]);
    const of = (slot: number, offer: number): readonly string[] => made[contexts.of(slot, offer) - 1].alpn;
    assert.deepEqual(of(1, OFFER.ALL), alpn);
    assert.deepEqual(of(1, OFFER.HTTP1), ['http/1.1']);
    assert.deepEqual(of(1, OFFER.HTTP2), ['h2']);
    assert.deepEqual(of(1, OFFER.BYTES), ['transport.l5d.io/v1']);
    assert.deepEqual(of(2, OFFER.HTTP2), ['http/1.1'], 'what it does not offer at all is not asked for');
    assert.equal(contexts.of(1, OFFER.HTTP1), contexts.of(1, OFFER.HTTP1));
    broken = true;
    assert.equal(contexts.of(1, OFFER.TRANSPORT), 0, 'and no exception in the middle of the loop');
  });

  test('trust the system where a client has no anchors', () => {
    contexts.configure([profile(1, 'server'), profile(2, 'client'), { ...profile(3, 'client'), anchors: ['PEM'] }]);
    assert.deepEqual(
      made.map(({ systemTrust }) => systemTrust),
      [false, true, false],
    );
  });
});

test('protocols that are agreed on have numbers', () => {
  assert.deepEqual(['', 'h2', 'http/1.1', 'transport.l5d.io/v1', 'spdy/3'].map(alpnOf), [
    ALPN.NONE,
    ALPN.HTTP2,
    ALPN.HTTP1,
    ALPN.TRANSPORT,
    ALPN.OTHER,
  ]);
});

test('the cause of a failure is what the log can name', () => {
  const cause = (reason: number, verify = 0, tls = true): number =>
    causeOf(Int32Array.of(0, 0, 0, reason, verify, 0), tls);
  assert.equal(cause(267, 0, false), FAILURE.PLAIN);
  assert.equal(cause(134, 62), FAILURE.NAME);
  assert.equal(cause(134, 20), FAILURE.AUTHORITY);
  assert.equal(cause(134, 10), FAILURE.EXPIRED);
  assert.equal(cause(134, 9), FAILURE.NOT_YET_VALID);
  assert.equal(cause(134, 23), FAILURE.CERTIFICATE);
  assert.equal(cause(199), FAILURE.NO_CERTIFICATE);
  assert.equal(cause(258), FAILURE.VERSION);
  assert.equal(cause(1070), FAILURE.VERSION);
  assert.equal(cause(1048), FAILURE.REFUSED);
  assert.equal(cause(1042), FAILURE.REFUSED);
  assert.equal(cause(1120), FAILURE.ALPN);
  assert.equal(cause(235), FAILURE.ALPN);
  assert.equal(cause(1040), FAILURE.CIPHER);
  assert.equal(cause(42), FAILURE.MALFORMED);
  assert.equal(cause(1 << 19), FAILURE.INTERNAL);
});
