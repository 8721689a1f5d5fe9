import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  HTTP_LIKELIHOOD,
  httpLikelihood,
  MAX_TARGET_BYTES,
  match,
  START,
  VERDICT,
  verdictOf,
} from '../../src/detect/matcher.js';
import { REGISTERED_METHODS } from '../../src/detect/methods.js';
import { VERDICTS } from '../../src/metrics/layout.js';
import { runs } from '../support/runs.js';
import { CORPUS, type Sample } from './corpus.js';

const whole = (bytes: Uint8Array): number => match(START, bytes, 0, bytes.length);

/** State after `bytes`, fed in pieces that end at each of `cuts` (sorted). */
function inPieces(bytes: Uint8Array, cuts: readonly number[]): number {
  let state: number = START;
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    state = match(state, bytes, from, cut);
    from = cut;
  }
  return state;
}

/** Bytes after which the verdict is there; undefined where it never is. */
function decidedAt(bytes: Uint8Array): number | undefined {
  let state: number = START;
  for (let i = 0; i < bytes.length; i++) {
    state = match(state, bytes, i, i + 1);
    if (verdictOf(state) !== VERDICT.MORE) return i + 1;
  }
  return undefined;
}

const anySample = fc.constantFrom(...CORPUS);
const cutsOf = (bytes: Uint8Array) =>
  fc.array(fc.nat(bytes.length), { maxLength: 12 }).map((cuts) => cuts.sort((a, b) => a - b));

describe('protocol detection', () => {
  for (const { name, bytes, verdict, decidedAt: expected } of CORPUS) {
    it(`gives the right verdict on ${name}`, () => {
      assert.equal(verdictOf(whole(bytes)), verdict);
      if (expected !== undefined) assert.equal(decidedAt(bytes), expected, 'decided at another byte');
    });
  }

  it('gives the same verdict for every split of a sample in two', () => {
    for (const { name, bytes } of CORPUS) {
      const state = whole(bytes);
      for (let cut = 0; cut <= bytes.length; cut++)
        assert.equal(inPieces(bytes, [cut]), state, `${name} cut at ${cut}`);
    }
  });

  it('gives the same verdict byte by byte', () => {
    for (const { name, bytes } of CORPUS) {
      const cuts = Array.from(bytes, (_, i) => i);
      assert.equal(inPieces(bytes, cuts), whole(bytes), name);
    }
  });

  it('gives the same verdict for any number of pieces, empty ones too', () => {
    const split = anySample.chain((sample: Sample) => fc.tuple(fc.constant(sample.bytes), cutsOf(sample.bytes)));
    fc.assert(
      fc.property(split, ([bytes, cuts]) => inPieces(bytes, cuts) === whole(bytes)),
      { numRuns: runs(1000) },
    );
  });

  it('gives the same verdict for any pieces of damaged samples', () => {
    const damaged = fc
      .tuple(anySample, fc.nat(40), fc.nat(255))
      .map(([sample, at, byte]) => {
        const bytes = Uint8Array.from(sample.bytes);
        if (at < bytes.length) bytes[at] = byte;
        return bytes;
      })
      .chain((bytes) => fc.tuple(fc.constant(bytes), cutsOf(bytes)));
    fc.assert(
      fc.property(damaged, ([bytes, cuts]) => inPieces(bytes, cuts) === whole(bytes)),
      { numRuns: runs(2000) },
    );
  });

  it('does not change a verdict, whatever follows', () => {
    const decided = CORPUS.filter((sample) => sample.verdict !== VERDICT.MORE);
    fc.assert(
      fc.property(fc.constantFrom(...decided), fc.uint8Array({ maxLength: 64 }), (sample, rest) => {
        const state = whole(sample.bytes);
        return match(state, rest, 0, rest.length) === state;
      }),
    );
  });

  it('decides within a request line of the longest kind, whatever comes', () => {
    const longest = 4 + 32 + 1 + MAX_TARGET_BYTES + 1 + 'HTTP/1.'.length;
    for (let byte = 0; byte < 256; byte++) {
      const bytes = new Uint8Array(longest).fill(byte);
      assert.notEqual(verdictOf(whole(bytes)), VERDICT.MORE, `byte ${byte} repeated`);
      const target = new Uint8Array(longest).fill(byte);
      target.set(Buffer.from('GET /'));
      assert.notEqual(verdictOf(whole(target)), VERDICT.MORE, `target of byte ${byte}`);
    }
  });

  it('says opaque at the first byte that can belong to nothing known', () => {
    const token = /[!#$%&'*+\-.^_`|~0-9A-Za-z]/;
    for (let byte = 0; byte < 256; byte++) {
      const verdict = verdictOf(match(START, Uint8Array.of(byte), 0, 1));
      const expected =
        byte === 0x0d || byte === 0x16 || token.test(String.fromCharCode(byte)) ? VERDICT.MORE : VERDICT.OPAQUE;
      assert.equal(verdict, expected, `byte ${byte}`);
    }
  });

  it('knows every registered method by its target alone, and no prefix of one', () => {
    const long = `/${'a'.repeat(MAX_TARGET_BYTES)}`;
    const verdict = (method: string) => verdictOf(whole(Buffer.from(`${method} ${long}`)));
    for (const method of REGISTERED_METHODS) {
      assert.equal(verdict(method), VERDICT.HTTP1, method);
      assert.equal(verdict(method.toLowerCase()), VERDICT.OPAQUE, method.toLowerCase());
      assert.equal(verdict(`${method}X`), VERDICT.OPAQUE, `${method}X`);
    }
    assert.equal(verdict('GE'), VERDICT.OPAQUE);
    assert.equal(verdict('UPDATERED'), VERDICT.OPAQUE);
  });

  it('expects HTTP of the beginning of every registered method, and of TLS and HTTP/2', () => {
    const beginnings = [
      ...REGISTERED_METHODS.map((method) => `${method} /path HTTP/1.`),
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      '\x16\x03\x01\x00\xc2\x01',
    ];
    for (const text of beginnings) {
      for (let length = 0; length < text.length; length++) {
        const state = whole(Buffer.from(text.slice(0, length), 'latin1'));
        if (verdictOf(state) === VERDICT.MORE)
          assert.equal(httpLikelihood(state), HTTP_LIKELIHOOD.LIKELY, text.slice(0, length));
      }
    }
  });

  it('tells words that can hardly become HTTP from those that possibly do', () => {
    const cases: readonly (readonly [number, ...string[]])[] = [
      [
        HTTP_LIKELIHOOD.UNLIKELY,
        'ruok',
        'JDWP-Handshake',
        'x',
        'get',
        'get key',
        'ceph v0',
        'a ',
        'GET2',
        'Get',
        'A'.repeat(18),
      ],
      [
        HTTP_LIKELIHOOD.POSSIBLE,
        'PURGE',
        'FOOBAR',
        'FOOBAR ',
        'FOOBAR /a',
        'FOOBAR x',
        'foo /a',
        'foo /a ',
        '\r\n',
        '\r',
        'A'.repeat(17),
      ],
      [
        HTTP_LIKELIHOOD.LIKELY,
        'GET x',
        'GET ',
        'M',
        'foo / H',
        'PURGE / HTTP/1',
        'GET / ',
        'PRI * HTT',
        'PROP',
        '\x16\x03',
      ],
    ];
    for (const [expected, ...texts] of cases) {
      for (const text of texts) {
        const state = whole(Buffer.from(text, 'latin1'));
        assert.equal(verdictOf(state), VERDICT.MORE, text);
        assert.equal(httpLikelihood(state), expected, text);
      }
    }
  });

  it('looks only at the range it is given', () => {
    const bytes = Buffer.from('\0\0GET / HTTP/1.1\0\0');
    assert.equal(verdictOf(match(START, bytes, 2, bytes.length - 2)), VERDICT.HTTP1);
    assert.equal(match(START, bytes, 2, 2), START);
  });

  it('numbers verdicts as the metrics do', () => {
    assert.deepEqual([VERDICTS[VERDICT.HTTP1], VERDICTS[VERDICT.HTTP2]], ['http1', 'http2']);
    assert.deepEqual([VERDICTS[VERDICT.TLS], VERDICTS[VERDICT.OPAQUE]], ['tls', 'opaque']);
  });

  it('keeps its state in an int32', () => {
    fc.assert(
      fc.property(anySample, fc.nat(9000), ({ bytes }, length) => {
        const state = match(START, bytes, 0, Math.min(length, bytes.length));
        return state === (state | 0);
      }),
    );
  });
});
