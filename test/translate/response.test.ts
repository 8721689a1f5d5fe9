import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { METHOD } from '../../src/http/methods.js';
import { MESSAGE_ERROR, UPSTREAM } from '../../src/http1/errors.js';
import { FRAMING } from '../../src/http1/head.js';
import { parseResponse } from '../../src/http1/head-parser.js';
import { CONNECTION } from '../../src/http1/write.js';
import { ResponseBridge, responseFraming, responseLength } from '../../src/translate/response.js';
import { latin1 } from '../http1/support.js';
import { runs } from '../support/runs.js';
import { Bench, type Field, LIMITS, lines, OUT, sameFields, sameMessage, TIMES } from './support.js';

const bench = new Bench();
const bridge = new ResponseBridge(bench.memory);
/** Key and answer of RFC 6455 section 1.3. */
const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';
const KEY_AT = 7;
const keys = new Uint8Array(64);
keys.set(latin1(KEY), KEY_AT);

interface Circumstances {
  readonly method?: number;
  readonly minor?: number;
  readonly endStream?: boolean;
  readonly connection?: number;
}

/** The message written, which must be the same once its fields have become a template with lines that are ready. */
function toHttp1(fields: readonly Field[], circumstances: Circumstances = {}): string {
  const { method = METHOD.GET, minor = 1, endStream = false, connection = CONNECTION.NONE } = circumstances;
  let first = '';
  for (let time = 0; time < TIMES; time++) {
    const list = bench.list(fields);
    const framing = responseFraming(list.facts, method, minor, endStream);
    const length = responseLength(list.facts, method, endStream);
    const message = bench.exactly(
      (at, limit) => bridge.write(list, at, limit, framing, length, connection, keys, KEY_AT),
      -(MESSAGE_ERROR.HEADER_TOO_LARGE + UPSTREAM),
    );
    if (time === 0) first = message;
    sameMessage(message, first);
    const end = OUT + message.length;
    const accepted = parseResponse(bench.bytes, OUT, end, bench.head, method, LIMITS);
    assert.equal(accepted, end, `accepted by our own parser: ${JSON.stringify(message)}`);
    if (connection !== CONNECTION.UPGRADE) assert.equal(bench.head.framing, framing, 'as announced');
  }
  return first;
}

function refused(fields: readonly Field[], error: number, connection: number = CONNECTION.NONE): void {
  const list = bench.list(fields);
  assert.equal(
    bench.written((at, limit) => bridge.write(list, at, limit, FRAMING.CHUNKED, -1, connection, keys, KEY_AT)),
    -(error + UPSTREAM),
    JSON.stringify(fields),
  );
}

function convert(message: string, webSocket = false, method: number = METHOD.GET): number {
  const head = bench.response(message, method);
  return bridge.list(head, bench.list([]), webSocket, keys, KEY_AT);
}

function toHttp2(message: string, webSocket = false, method: number = METHOD.GET): Field[] {
  assert.equal(convert(message, webSocket, method), 0);
  return bench.fields();
}

const ok: Field = [':status', '200'];

describe('an HTTP/2 response for an HTTP/1 client', () => {
  it('has the registered reason phrase of its status, or none (RFC 9112 section 4)', () => {
    sameMessage(
      toHttp1([
        [':status', '404'],
        ['a', 'b'],
        ['content-length', '3'],
      ]),
      lines('HTTP/1.1 404 Not Found', 'a: b', 'content-length: 3'),
    );
    sameMessage(toHttp1([[':status', '599']], { endStream: true }), lines('HTTP/1.1 599 ', 'content-length: 0'));
  });

  it('is framed by its length, else by chunks, else by the end of the connection (RFC 9112 section 6.3)', () => {
    sameMessage(toHttp1([ok, ['content-length', '007']]), lines('HTTP/1.1 200 OK', 'content-length: 7'));
    sameMessage(toHttp1([ok]), lines('HTTP/1.1 200 OK', 'transfer-encoding: chunked'));
    sameMessage(
      toHttp1([ok], { minor: 0, connection: CONNECTION.CLOSE }),
      lines('HTTP/1.1 200 OK', 'connection: close'),
    );
    sameMessage(toHttp1([ok], { endStream: true }), lines('HTTP/1.1 200 OK', 'content-length: 0'));
    sameMessage(
      toHttp1([ok, ['content-length', '0']], { endStream: true }),
      lines('HTTP/1.1 200 OK', 'content-length: 0'),
    );
  });

  it('says what is asked for about the connection, as write.ts does', () => {
    sameMessage(
      toHttp1([ok, ['content-length', '1']], { minor: 0, connection: CONNECTION.KEEP_ALIVE }),
      lines('HTTP/1.1 200 OK', 'connection: keep-alive', 'content-length: 1'),
    );
    sameMessage(
      toHttp1([ok, ['content-length', '1']], { connection: CONNECTION.CLOSE }),
      lines('HTTP/1.1 200 OK', 'connection: close', 'content-length: 1'),
    );
  });

  it('keeps the length of a body that is left out (RFC 9110 sections 9.3.2 and 15.4.5)', () => {
    const length: Field = ['content-length', '5'];
    const head = { method: METHOD.HEAD, endStream: true };
    sameMessage(toHttp1([ok, length], head), lines('HTTP/1.1 200 OK', 'content-length: 5'));
    sameMessage(toHttp1([ok], head), lines('HTTP/1.1 200 OK'));
    sameMessage(
      toHttp1([[':status', '304'], length], { endStream: true }),
      lines('HTTP/1.1 304 Not Modified', 'content-length: 5'),
    );
    sameMessage(toHttp1([[':status', '304']], { endStream: true }), lines('HTTP/1.1 304 Not Modified'));
  });

  it('has no framing fields where there can be no content (RFC 9110 section 8.6, RFC 9112 section 6.1)', () => {
    const length: Field = ['content-length', '0'];
    sameMessage(toHttp1([[':status', '204'], length], { endStream: true }), lines('HTTP/1.1 204 No Content'));
    sameMessage(toHttp1([[':status', '204']]), lines('HTTP/1.1 204 No Content'));
    sameMessage(
      toHttp1([[':status', '103'], ['link', '</a>'], length]),
      lines('HTTP/1.1 103 Early Hints', 'link: </a>'),
    );
    sameMessage(toHttp1([[':status', '100']]), lines('HTTP/1.1 100 Continue'));
    sameMessage(toHttp1([ok, length], { method: METHOD.CONNECT }), lines('HTTP/1.1 200 OK'));
  });

  it('announces trailers only where there can be some (RFC 9112 section 7.1.2)', () => {
    const trailer: Field = ['trailer', 't'];
    sameMessage(toHttp1([ok, trailer]), lines('HTTP/1.1 200 OK', 'trailer: t', 'transfer-encoding: chunked'));
    sameMessage(toHttp1([ok, trailer, ['content-length', '1']]), lines('HTTP/1.1 200 OK', 'content-length: 1'));
    sameMessage(
      toHttp1([ok, trailer], { minor: 0, connection: CONNECTION.CLOSE }),
      lines('HTTP/1.1 200 OK', 'connection: close'),
    );
  });

  it('keeps each Set-Cookie a line of its own (RFC 6265 section 3)', () => {
    sameMessage(
      toHttp1([ok, ['set-cookie', 'a=b'], ['x', 'y'], ['set-cookie', 'c=d']]),
      lines('HTTP/1.1 200 OK', 'set-cookie: a=b', 'x: y', 'set-cookie: c=d', 'transfer-encoding: chunked'),
    );
  });

  it('is refused where it is malformed, 101 included (RFC 9113 sections 8.1.1 and 8.6)', () => {
    refused([[':status', '101']], MESSAGE_ERROR.MALFORMED);
    refused([[':status', '99']], MESSAGE_ERROR.MALFORMED);
    refused([['a', 'b']], MESSAGE_ERROR.MALFORMED);
    refused([ok, ['a', 'b\r\nc: d']], MESSAGE_ERROR.MALFORMED);
    refused([ok, ['content-length', '1'], ['content-length', '2']], MESSAGE_ERROR.MALFORMED);
    refused([ok, ['content_length', '1']], MESSAGE_ERROR.UNDERSCORE_FRAMING);
    for (const name of ['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'])
      refused([ok, [name, 'x']], MESSAGE_ERROR.MALFORMED);
    refused([ok, [':path', '/']], MESSAGE_ERROR.MALFORMED);
  });

  it('is checked again octet by octet when it is written, whatever was found before', () => {
    for (const octet of [0x00, 0x0a, 0x0d, 0x7f])
      for (const [name, value, error] of [
        ['n', 'a~b', MESSAGE_ERROR.CONTROL],
        ['n~', 'v', MESSAGE_ERROR.FIELD_NAME],
      ] as const) {
        const bench = new Bench();
        const bridge = new ResponseBridge(bench.memory);
        const list = bench.list([ok, [name, value]]);
        list.expand();
        for (let at = bench.bytes.indexOf(0x7e); at >= 0; at = bench.bytes.indexOf(0x7e, at)) bench.bytes[at] = octet;
        assert.equal(bridge.write(list, OUT, OUT + 999, FRAMING.NONE, -1, 0, keys, 0), -(error + UPSTREAM));
      }
  });

  it('is the 101 that answers the key where it accepts a WebSocket (RFC 8441 section 5)', () => {
    const fields: Field[] = [
      ok,
      ['sec-websocket-protocol', 'chat'],
      ['sec-websocket-accept', 'of nothing'],
      ['content-length', '0'],
    ];
    sameMessage(
      toHttp1(fields, { connection: CONNECTION.UPGRADE }),
      lines(
        'HTTP/1.1 101 Switching Protocols',
        'sec-websocket-protocol: chat',
        'connection: upgrade',
        'upgrade: websocket',
        `sec-websocket-accept: ${ACCEPT}`,
      ),
    );
    refused([[':status', '404']], MESSAGE_ERROR.SWITCHING, CONNECTION.UPGRADE);
    refused([[':status', '103']], MESSAGE_ERROR.SWITCHING, CONNECTION.UPGRADE);
  });
});

describe('an HTTP/1 response for an HTTP/2 client', () => {
  it('has :status first, its names in lower case and no reason phrase (RFC 9113 sections 8.2.1 and 8.3.2)', () => {
    sameFields(toHttp2(lines('HTTP/1.1 200 Fine', 'X-A:b', 'Content-Length: 007', 'ETag: "Q"', 'x-a:')), [
      ok,
      ['x-a', 'b'],
      ['content-length', '7'],
      ['etag', '"Q"'],
      ['x-a', ''],
    ]);
    sameFields(toHttp2(lines('HTTP/1.0 404')), [[':status', '404']]);
  });

  it('has no field of its connection (RFC 9113 section 8.2.2)', () => {
    sameFields(
      toHttp2(
        lines(
          'HTTP/1.1 426 Upgrade Required',
          'Connection: close, X-Hop, Upgrade',
          'Keep-Alive: 5',
          'Proxy-Connection: close',
          'X-Hop: 1',
          'Upgrade: other',
          'TE: trailers',
          'Transfer-Encoding: chunked',
          'Trailer: T',
          'A: b',
        ),
      ),
      [
        [':status', '426'],
        ['trailer', 'T'],
        ['a', 'b'],
      ],
    );
  });

  it('keeps the length of a body that is left out, and none that means nothing (RFC 9110 section 8.6)', () => {
    const length: Field = ['content-length', '5'];
    const message = (status: number): string => lines(`HTTP/1.1 ${status} X`, 'Content-Length: 5');
    sameFields(toHttp2(message(200), false, METHOD.HEAD), [ok, length]);
    sameFields(toHttp2(message(304)), [[':status', '304'], length]);
    sameFields(toHttp2(message(204)), [[':status', '204']]);
    sameFields(toHttp2(message(200), false, METHOD.CONNECT), [ok]);
  });

  it('may be an interim one (RFC 9113 section 8.1)', () => {
    sameFields(toHttp2(lines('HTTP/1.1 100 Continue')), [[':status', '100']]);
    sameFields(toHttp2(lines('HTTP/1.1 103 Early Hints', 'Link: </a>')), [
      [':status', '103'],
      ['link', '</a>'],
    ]);
  });

  it('cannot switch protocols (RFC 9113 section 8.6)', () => {
    const message = lines(
      'HTTP/1.1 101 X',
      'Upgrade: websocket',
      'Connection: upgrade',
      `Sec-WebSocket-Accept: ${ACCEPT}`,
    );
    assert.equal(convert(message), -(MESSAGE_ERROR.SWITCHING + UPSTREAM));
  });

  const switched = (...more: string[]): string =>
    lines('HTTP/1.1 101 X', 'Upgrade: WebSocket', 'Connection: Upgrade', 'Sec-WebSocket-Protocol: chat', ...more);

  it('is 200 where it accepts a WebSocket (RFC 8441 section 5)', () => {
    sameFields(toHttp2(switched(`Sec-WebSocket-Accept: ${ACCEPT}`), true), [ok, ['sec-websocket-protocol', 'chat']]);
    sameFields(toHttp2(lines('HTTP/1.1 403 X', 'A: b'), true), [
      [':status', '403'],
      ['a', 'b'],
    ]);
    sameFields(toHttp2(lines('HTTP/1.1 103 X'), true), [[':status', '103']]);
  });

  it('must answer the key of the WebSocket (RFC 6455 section 4.1)', () => {
    const line = `Sec-WebSocket-Accept: ${ACCEPT}`;
    for (const more of [[], [`${line}x`], [line.replace('s3', 'S3')], [line, line]])
      assert.equal(convert(switched(...more), true), -(MESSAGE_ERROR.WEBSOCKET_ACCEPT + UPSTREAM));
    assert.equal(
      convert(lines('HTTP/1.1 101 X', 'Upgrade: other', 'Connection: upgrade', line), true),
      -(MESSAGE_ERROR.SWITCHING + UPSTREAM),
    );
  });

  it('opens no tunnel by a 2xx from an endpoint that did not switch (RFC 8441 section 5)', () => {
    assert.equal(
      convert(lines('HTTP/1.1 200 OK', 'Content-Length: 5'), true),
      -(MESSAGE_ERROR.NOT_SWITCHED + UPSTREAM),
    );
    assert.equal(convert(lines('HTTP/1.1 204 X'), true), -(MESSAGE_ERROR.NOT_SWITCHED + UPSTREAM));
  });
});

const RESERVED =
  /^(te|trailer|upgrade|connection|keep-alive|content.length|transfer.encoding|proxy-connection|http2-settings)$/;
const name = fc
  .oneof(fc.stringMatching(/^[a-z0-9!#$%&'*+.^_`|~-]{1,24}$/), fc.constantFrom('set-cookie', 'date', 'server', 'etag'))
  .filter((text) => !RESERVED.test(text));
const value = fc
  .oneof(fc.stringMatching(/^[\t -~\x80-\xff]{0,40}$/), fc.stringMatching(/^[!-~]{100,300}$/))
  .map((text) => text.replace(/^[ \t]+|[ \t]+$/g, ''));
const status = fc.integer({ min: 200, max: 599 });

describe('responses of all kinds', () => {
  it('come back from HTTP/1 as they went', () => {
    fc.assert(
      fc.property(
        status,
        fc.array(fc.tuple(name, value), { maxLength: 30 }),
        fc.option(fc.maxSafeNat()),
        fc.boolean(),
        (status, fields, length, close) => {
          const empty = status === 204;
          const sized: Field[] = length === null || empty ? [] : [['content-length', `${length}`]];
          const sent: Field[] = [[':status', `${status}`], ...fields, ...sized];
          const list = bench.list(sent);
          const framing = responseFraming(list.facts, METHOD.GET, 1, false);
          const connection = close ? CONNECTION.CLOSE : CONNECTION.NONE;
          const end = bridge.write(list, OUT, OUT + 65536, framing, length ?? -1, connection, keys, 0);
          const { head, bytes } = bench;
          if (empty && length !== null) return;
          assert.equal(parseResponse(bytes, OUT, end, head, METHOD.GET, LIMITS), end);
          assert.equal(head.keepAlive, !close);
          assert.equal(bridge.list(head, bench.fieldList, false, keys, 0), 0);
          sameFields(bench.fields(), sent);
        },
      ),
      { numRuns: runs(500) },
    );
  });

  it('go to HTTP/2 as a naive conversion of strings has them', () => {
    const cased = name.chain((text) => fc.mixedCase(fc.constant(text)));
    const space = fc.stringMatching(/^[ \t]{0,2}$/);
    fc.assert(
      fc.property(status, fc.array(fc.tuple(cased, space, value, space), { maxLength: 30 }), (status, fields) => {
        const message = lines(
          `HTTP/1.1 ${status} x`,
          ...fields.map(([name, a, value, b]) => `${name}:${a}${value}${b}`),
        );
        sameFields(toHttp2(message), [
          [':status', `${status}`],
          ...fields.map(([name, , value]): Field => [name.toLowerCase(), value]),
        ]);
      }),
      { numRuns: runs(500) },
    );
  });
});
