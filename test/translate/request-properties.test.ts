import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { DECODE, Decoder } from '../../src/hpack/decoder.js';
import { Encoder } from '../../src/hpack/encoder.js';
import { FRAMING } from '../../src/http1/head.js';
import { parseRequest } from '../../src/http1/head-parser.js';
import { RequestBridge } from '../../src/translate/request.js';
import { text } from '../http1/support.js';
import { runs } from '../support/runs.js';
import { BLOCK_AT, bench, bridge, keys } from './request-support.js';
import { Bench, type Field, LIMITS, lines, OUT, sameFields, sameMessage, TIMES } from './support.js';

const token = fc.stringMatching(/^[a-z0-9!#$%&'*+.^_`|~-]{1,24}$/);
const KNOWN =
  /^(te|host|expect|trailer|upgrade|connection|keep-alive|cookie|content-length|content_length|transfer.encoding)$/;
const name = fc
  .oneof(token, fc.constantFrom('accept', 'user-agent', 'content-type', 'x-request-id', 'grpc-timeout'))
  .filter((text) => !KNOWN.test(text) && !/^(proxy-connection|http2-settings)$/.test(text));
const value = fc
  .oneof(fc.stringMatching(/^[\t -~\x80-\xff]{0,40}$/), fc.stringMatching(/^[!-~]{100,300}$/))
  .map((text) => text.replace(/^[ \t]+|[ \t]+$/g, ''));
const field = fc.oneof(
  { weight: 5, arbitrary: fc.tuple(name, value) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('cookie'), value) },
);
const path = fc.stringMatching(/^\/[!"$-~]{0,60}$/);
const host = fc.stringMatching(/^[a-z0-9.-]{1,20}(:[1-9][0-9]{0,3})?$/);
const method = fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'PURGE', 'get');
const request = fc.record({
  method,
  path,
  host,
  fields: fc.array(field, { maxLength: 30 }),
  length: fc.option(fc.maxSafeNat()),
  endStream: fc.boolean(),
  te: fc.boolean(),
});

describe('requests of all kinds', () => {
  it('are written as a naive conversion of strings writes them', () => {
    fc.assert(
      fc.property(request, ({ method, path, host, fields, length, endStream, te }) => {
        const contentLength = length === null ? null : endStream ? 0 : length;
        const list: Field[] = [
          [':method', method],
          [':scheme', 'http'],
          [':authority', host],
          [':path', path],
          ...fields,
        ];
        if (contentLength !== null) list.splice(5, 0, ['content-length', `${contentLength}`]);
        if (te) list.push(['te', 'trailers']);
        const out = [`${method} ${path} HTTP/1.1`, `Host: ${host}`];
        const cookies = fields.filter(([name]) => name === 'cookie').map(([, value]) => value);
        for (const [name, value] of fields) {
          if (name !== 'cookie') out.push(`${name}: ${value}`);
          else if (cookies.length > 0) out.push(`cookie: ${cookies.splice(0).join('; ')}`);
        }
        if (te) out.push('te: trailers', 'connection: te');
        const implied = /^(POST|PUT|PATCH)$/.test(method) ? 0 : null;
        const announced = contentLength ?? (endStream ? implied : null);
        if (announced !== null) out.push(`content-length: ${announced}`);
        else if (!endStream) out.push('transfer-encoding: chunked');
        for (let time = 0; time < TIMES; time++) {
          const built = bench.list(list);
          sameMessage(
            bench.written((at, limit) => bridge.write(built, at, limit, endStream, keys, 0)),
            lines(...out),
          );
        }
      }),
      { numRuns: runs(500) },
    );
  });

  it('come back from HTTP/1 as they went', () => {
    fc.assert(
      fc.property(request, ({ method, path, host, fields, endStream, te }) => {
        const pseudo: Field[] = [
          [':method', method],
          [':scheme', 'http'],
          [':path', path],
          [':authority', host],
        ];
        const single = fields.filter(([name], i) => name !== 'cookie' || fields.findIndex((f) => f[0] === name) === i);
        const list = bench.list([...pseudo, ...single, ...(te ? [['te', 'trailers'] as const] : [])]);
        const end = bridge.write(list, OUT, OUT + 65536, endStream, keys, 0);
        assert.ok(end > 0);
        assert.equal(parseRequest(bench.bytes, OUT, end, bench.head, LIMITS), end);
        assert.equal(bridge.list(bench.head, bench.fieldList, false), 0);
        const back = bench.fields().filter(([name]) => name !== 'content-length');
        sameFields(back, [...pseudo, ...single, ...(te ? [['te', 'trailers'] as const] : [])]);
      }),
      { numRuns: runs(500) },
    );
  });

  it('survive the way through HPACK, time after time', () => {
    const peer = new Bench();
    const back = new RequestBridge(peer.memory);
    const encoder = new Encoder(bench.memory, 4096);
    const decoder = new Decoder(peer.memory, 4096);
    fc.assert(
      fc.property(request, ({ method, path, host, fields, te }) => {
        const single = fields.filter(([name]) => name !== 'cookie');
        const all = [...single, ...(te ? [['te', 'trailers'] as const] : [])];
        const message = lines(`${method} ${path} HTTP/1.1`, `Host: ${host}`, ...all.map((field) => field.join(': ')));
        const plain = message.replace('\r\n\r\n', `${te ? '\r\nconnection: te' : ''}\r\n\r\n`);
        for (let time = 0; time < TIMES; time++) {
          assert.equal(bridge.list(bench.request(plain), bench.fieldList, false), 0);
          const end = encoder.encode(bench.fieldList, OUT);
          peer.bytes.set(bench.bytes.subarray(OUT, end), BLOCK_AT);
          const to = BLOCK_AT + end - OUT;
          assert.equal(decoder.decode(BLOCK_AT, to, peer.fieldList, 65536, 128), DECODE.OK);
          const length = /^(POST|PUT|PATCH)$/.test(method) ? '\r\ncontent-length: 0' : '';
          sameMessage(
            peer.written((at, limit) => back.write(peer.fieldList, at, limit, true, keys, 0)),
            plain.replace('\r\n\r\n', `${length}\r\n\r\n`),
          );
        }
      }),
      { numRuns: runs(200) },
    );
  });

  it('are refused or read as one request with the same target, whatever octets they have', () => {
    const any = fc.string({ unit: fc.constantFrom(...'aA/:*#@ \t\r\n\0\x7fé1,;?='), maxLength: 8 });
    fc.assert(
      fc.property(
        any,
        any,
        any,
        fc.array(fc.tuple(any, any), { maxLength: 4 }),
        fc.boolean(),
        (m, p, a, fields, end) => {
          const list = bench.list([[':method', m], [':scheme', 'http'], [':authority', a], [':path', p], ...fields]);
          const to = bridge.write(list, OUT, OUT + 65536, end, keys, 0);
          if (to < 0) return;
          assert.equal(parseRequest(bench.bytes, OUT, to, bench.head, LIMITS), to);
          const { head, bytes } = bench;
          assert.equal(text(bytes, head.methodStart, head.methodEnd), m);
          if (m !== 'CONNECT') assert.equal(text(bytes, head.targetStart, head.targetEnd), p);
          assert.equal(text(bytes, head.hostStart, head.hostEnd), a);
          assert.equal(head.framing === FRAMING.CHUNKED, !end);
        },
      ),
      { numRuns: runs(2000) },
    );
  });
});
