import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BODY, BodyReader, writeLastChunk } from '../../src/http1/body.js';
import { MESSAGE_ERROR } from '../../src/http1/errors.js';
import { FRAMING } from '../../src/http1/head.js';
import { listTrailers, writeEnd, writeTrailerFields } from '../../src/translate/trailers.js';
import { latin1, text } from '../http1/support.js';
import { runs } from '../support/runs.js';
import { Bench, type Field, OUT, sameFields, sameMessage } from './support.js';

const bench = new Bench();
const reader = new BodyReader(1, 32768);
const BODY_AT = 150_000;

/** Reads an end of a chunked body and makes a list of its trailers. */
function toHttp2(section: string): Field[] {
  const { bytes } = bench;
  const octets = latin1(`0\r\n${section}\r\n`);
  bytes.set(octets, BODY_AT);
  reader.begin(0, FRAMING.CHUNKED, -1);
  assert.equal(reader.read(0, bytes, BODY_AT, BODY_AT + octets.length), BODY.DONE);
  const list = bench.list([]);
  const count = listTrailers(bytes, reader.trailerStart, reader.trailerEnd, list);
  const fields = bench.fields();
  assert.equal(count, fields.length);
  return fields;
}

function toHttp1(fields: readonly Field[]): string {
  const list = bench.list(fields);
  const end = bench.exactly((at, limit) => writeEnd(bench.bytes, list, at, limit), -MESSAGE_ERROR.HEADER_TOO_LARGE);
  assert.ok(end.startsWith('0\r\n') && end.endsWith('\r\n'));
  return end.slice(3, -2);
}

/** RFC 9110 section 6.5.1, by kind: framing, routing, control, authentication, content. */
const FORBIDDEN = [
  'content-length',
  'content-encoding',
  'host',
  'max-forwards',
  'cache-control',
  'te',
  'authorization',
  'set-cookie',
  'cookie',
  'trailer',
  'if-match',
  'x-forwarded-for',
  'proxy-authenticate',
];

describe('HTTP/1 trailers for an HTTP/2 peer', () => {
  it('are in lower case, without surrounding whitespace (RFC 9113 section 8.2.1)', () => {
    sameFields(toHttp2('Grpc-Status: 0\r\ngRPC-Message:\r\nX-Sum:a\tb \r\n'), [
      ['grpc-status', '0'],
      ['grpc-message', ''],
      ['x-sum', 'a\tb'],
    ]);
    assert.equal(bench.fieldList.facts.grpcStatus, 0);
  });

  it('have nothing that acts on the message or its connection (RFC 9110 section 6.5.1, RFC 9113 section 8.2.2)', () => {
    const connection = ['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'];
    const section = [...FORBIDDEN, ...connection].map((name) => `${name}: x\r\n`).join('');
    sameFields(toHttp2(`${section}a: b\r\n${section}`), [['a', 'b']]);
    sameFields(toHttp2(section), []);
    sameFields(toHttp2(''), []);
  });
});

describe('HTTP/2 trailers for an HTTP/1 peer', () => {
  it('follow the last chunk (RFC 9112 section 7.1.2)', () => {
    sameMessage(
      toHttp1([
        ['grpc-status', '0'],
        ['grpc-message', ''],
      ]),
      'grpc-status: 0\r\ngrpc-message: \r\n',
    );
    sameMessage(toHttp1([]), '');
    assert.equal(
      bench.written((at, limit) => writeEnd(bench.bytes, null, at, limit)),
      '0\r\n\r\n',
    );
    assert.equal(
      bench.written((at, limit) => writeEnd(bench.bytes, null, at, limit), 4),
      -MESSAGE_ERROR.HEADER_TOO_LARGE,
    );
  });

  it('have nothing that acts on the message (RFC 9110 section 6.5.1)', () => {
    const forbidden = FORBIDDEN.filter((name) => name !== 'te' && name !== 'content-length' && name !== 'host');
    sameMessage(toHttp1([...forbidden.map((name): Field => [name, 'x']), ['a', 'b']]), 'a: b\r\n');
    sameMessage(
      toHttp1([
        ['content-length', '5'],
        ['te', 'trailers'],
        ['host', 'x'],
        ['content_length', '5'],
      ]),
      '',
    );
  });

  it('are refused where they are malformed (RFC 9113 section 8.1)', () => {
    for (const field of [
      [':status', '200'],
      ['connection', 'close'],
      ['transfer-encoding', 'chunked'],
      ['a', 'b\r\nc: d'],
      ['A', 'b'],
      ['', 'b'],
    ] as const) {
      const list = bench.list([field]);
      assert.equal(writeTrailerFields(bench.bytes, list, OUT, OUT + 999), -MESSAGE_ERROR.MALFORMED);
    }
  });

  it('can be kept for writeLastChunk as those of a BodyReader are', () => {
    const { bytes } = bench;
    const list = bench.list([
      ['a', ''],
      ['b', 'c: d'],
    ]);
    const end = writeTrailerFields(bytes, list, OUT, OUT + 999);
    const to = writeLastChunk(bytes, OUT + 1000, OUT, end, OUT + 2000);
    assert.equal(text(bytes, OUT + 1000, to), '0\r\na: \r\nb: c: d\r\n\r\n');
  });
});

describe('trailers of all kinds', () => {
  it('come back as they went', () => {
    const name = fc.oneof(
      fc.stringMatching(/^[yz][a-z0-9!#$%&'*+.^_`|~-]{0,24}$/),
      fc.constantFrom('grpc-status', 'grpc-message', 'etag', 'server-timing'),
    );
    const value = fc.stringMatching(/^[\t -~\x80-\xff]{0,60}$/).map((text) => text.replace(/^[ \t]+|[ \t]+$/g, ''));
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 20 }), (fields) => {
        sameFields(toHttp2(toHttp1(fields)), fields);
      }),
      { numRuns: runs(300) },
    );
  });
});
