import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MESSAGE_ERROR } from '../../src/http1/errors.js';
import { asksForWebSocket, RequestBridge } from '../../src/translate/request.js';
import { text } from '../http1/support.js';
import { bench, bridge, GET, KEY, keys, refused, regular, start, toHttp1, toHttp2 } from './request-support.js';
import { Bench, type Field, lines, OUT, sameFields, sameMessage } from './support.js';

describe('an HTTP/2 request for an HTTP/1 endpoint', () => {
  it('has a request line of :method and :path, and Host of :authority first (RFC 9113 section 8.3.1)', () => {
    sameMessage(
      toHttp1([...GET, ['user-agent', 'y'], ['x-empty', '']]),
      lines('GET /a?b HTTP/1.1', 'Host: example.org', 'user-agent: y', 'x-empty: '),
    );
  });

  it('keeps Host where there is no :authority (RFC 9113 section 8.3.1)', () => {
    sameMessage(
      toHttp1([GET[0], GET[1], GET[3], ['a', 'b'], ['host', 'y:1']]),
      lines('GET /a?b HTTP/1.1', 'Host: y:1', 'a: b'),
    );
  });

  it('has Host once where both are there (RFC 9113 section 8.3.1)', () => {
    sameMessage(toHttp1([...start('GET'), ['host', 'x']]), lines('GET / HTTP/1.1', 'Host: x'));
    refused([...start('GET'), ['host', 'y']], MESSAGE_ERROR.MALFORMED);
  });

  it('gets the given Host where it names none (RFC 9112 section 3.2)', () => {
    const list = bench.list([GET[0], GET[1], GET[3]]);
    const host = bench.put('default:80');
    sameMessage(
      bench.exactly(
        (at, limit) => bridge.write(list, at, limit, true, keys, 0, host, 10),
        -MESSAGE_ERROR.HEADER_TOO_LARGE,
      ),
      lines('GET /a?b HTTP/1.1', 'Host: default:80'),
    );
  });

  it('has any method that is a token, as it is (RFC 9110 section 9.1)', () => {
    sameMessage(toHttp1(start('pUrge-1')), lines('pUrge-1 / HTTP/1.1', 'Host: x'));
    for (const method of ['', 'G T', 'GET\r\n', 'G\0', 'GET /']) refused(start(method), MESSAGE_ERROR.MALFORMED);
  });

  it('has its target in absolute form again where a proxy of the mesh has carried it', () => {
    const carried: Field[] = [...GET, ['l5d-orig-proto', 'HTTP/1.1; absolute-form'], ['a', 'b']];
    sameMessage(toHttp1(carried), lines('GET /a?b HTTP/1.1', 'Host: example.org', 'a: b'));
    sameMessage(
      toHttp1(carried, true, true),
      lines('GET http://example.org/a?b HTTP/1.1', 'Host: example.org', 'a: b'),
    );
    sameMessage(toHttp1(start('OPTIONS', '*'), true, true), lines('OPTIONS http://x HTTP/1.1', 'Host: x'));
  });

  it('is OPTIONS * for the server as a whole, and for OPTIONS only (RFC 9113 section 8.3.1)', () => {
    sameMessage(toHttp1(start('OPTIONS', '*')), lines('OPTIONS * HTTP/1.1', 'Host: x'));
    refused(start('GET', '*'), MESSAGE_ERROR.MALFORMED);
    refused(start('OPTIONS', '*/'), MESSAGE_ERROR.MALFORMED);
  });

  it('is CONNECT with the authority as its target, without framing (RFC 9113 section 8.5)', () => {
    const connect: Field[] = [
      [':method', 'CONNECT'],
      [':authority', 'x:443'],
    ];
    sameMessage(toHttp1([...connect, ['a', 'b']], false), lines('CONNECT x:443 HTTP/1.1', 'Host: x:443', 'a: b'));
    sameMessage(toHttp1([...connect, ['content-length', '0']], false), lines('CONNECT x:443 HTTP/1.1', 'Host: x:443'));
    refused([...connect, ['content-length', '1']], MESSAGE_ERROR.BODY_NOT_ALLOWED, false);
    refused([connect[0], [':authority', 'x']], MESSAGE_ERROR.MALFORMED, false);
  });

  it('is refused where its target would end early or be of another form (RFC 9113 section 10.3)', () => {
    for (const path of ['', 'a', '/ ', '/ HTTP/1.1\r\nx: y', '/a\tb', '/\n', '/\0', '/#', '/\x7f', '/é', 'http://y/'])
      refused(start('GET', path), MESSAGE_ERROR.MALFORMED);
    for (const authority of ['', 'x y', 'x/', 'u@x', 'x\r\n', 'x:1:2', '[::1', 'x#'])
      refused(start('GET', '/', authority), MESSAGE_ERROR.MALFORMED);
  });

  it('is refused where origin-form would change its scheme (RFC 9113 section 8.3.1)', () => {
    refused([GET[0], [':scheme', 'ftp'], GET[2], GET[3]], MESSAGE_ERROR.TARGET);
    sameMessage(
      toHttp1([GET[0], [':scheme', 'https'], GET[2], GET[3]]),
      lines('GET /a?b HTTP/1.1', 'Host: example.org'),
    );
  });

  it('has its cookie crumbs joined (RFC 9113 section 8.2.3)', () => {
    sameMessage(
      toHttp1([
        ...start('GET'),
        ['cookie', 'a=b'],
        ['x', 'y'],
        ['cookie', 'c=d; e=f'],
        ['cookie', ''],
        ['cookie', 'g'],
      ]),
      lines('GET / HTTP/1.1', 'Host: x', 'cookie: a=b; c=d; e=f; ; g', 'x: y'),
    );
    sameMessage(toHttp1([...start('GET'), ['cookie', 'a=b']]), lines('GET / HTTP/1.1', 'Host: x', 'cookie: a=b'));
    sameMessage(toHttp1([...start('GET'), ['cookie', '']]), lines('GET / HTTP/1.1', 'Host: x', 'cookie: '));
  });

  it('names TE in Connection (RFC 9110 section 10.1.4)', () => {
    sameMessage(
      toHttp1([...start('GET'), ['te', 'trailers'], ['a', 'b']]),
      lines('GET / HTTP/1.1', 'Host: x', 'a: b', 'te: trailers', 'connection: te'),
    );
    refused([...start('GET'), ['te', 'gzip']], MESSAGE_ERROR.MALFORMED);
  });

  it('is refused with fields of a connection (RFC 9113 section 8.2.2)', () => {
    for (const [name, value] of [
      ['connection', 'close'],
      ['keep-alive', '1'],
      ['proxy-connection', 'keep-alive'],
      ['transfer-encoding', 'chunked'],
      ['upgrade', 'h2c'],
    ])
      refused([...start('POST'), [name, value]], MESSAGE_ERROR.MALFORMED, false);
    sameMessage(toHttp1([...start('GET'), ['http2-settings', 'AAMAAABk']]), lines('GET / HTTP/1.1', 'Host: x'));
  });

  it('keeps its length, else its body is chunked (RFC 9112 section 6.3)', () => {
    sameMessage(
      toHttp1([...start('POST'), ['content-length', '007'], ['a', 'b']], false),
      lines('POST / HTTP/1.1', 'Host: x', 'a: b', 'content-length: 7'),
    );
    sameMessage(toHttp1(start('POST'), false), lines('POST / HTTP/1.1', 'Host: x', 'transfer-encoding: chunked'));
    sameMessage(toHttp1(start('GET'), false), lines('GET / HTTP/1.1', 'Host: x', 'transfer-encoding: chunked'));
    sameMessage(
      toHttp1([...start('GET'), ['content-length', '9007199254740991']], false),
      lines('GET / HTTP/1.1', 'Host: x', 'content-length: 9007199254740991'),
    );
    sameMessage(
      toHttp1([...start('POST'), ['content-length', '5'], ['content-length', '5']], false),
      lines('POST / HTTP/1.1', 'Host: x', 'content-length: 5'),
    );
    refused([...start('POST'), ['content-length', '5'], ['content-length', '6']], MESSAGE_ERROR.MALFORMED, false);
    refused([...start('POST'), ['content-length', '5, 5']], MESSAGE_ERROR.MALFORMED, false);
  });

  it('says that there is no content where its method expects some (RFC 9110 section 8.6)', () => {
    for (const method of ['POST', 'PUT', 'PATCH'])
      sameMessage(toHttp1(start(method)), lines(`${method} / HTTP/1.1`, 'Host: x', 'content-length: 0'));
    sameMessage(toHttp1(start('DELETE')), lines('DELETE / HTTP/1.1', 'Host: x'));
    sameMessage(
      toHttp1([...start('GET'), ['content-length', '0']]),
      lines('GET / HTTP/1.1', 'Host: x', 'content-length: 0'),
    );
  });

  it('is refused where it ends before its length (RFC 9113 section 8.1.1)', () => {
    refused([...start('POST'), ['content-length', '5']], MESSAGE_ERROR.MALFORMED, true);
  });

  it('has no body with TRACE (RFC 9110 section 9.3.8)', () => {
    refused(start('TRACE'), MESSAGE_ERROR.BODY_NOT_ALLOWED, false);
    refused([...start('TRACE'), ['content-length', '1']], MESSAGE_ERROR.BODY_NOT_ALLOWED, false);
    sameMessage(toHttp1(start('TRACE')), lines('TRACE / HTTP/1.1', 'Host: x'));
  });

  it('announces trailers only where there can be some (RFC 9112 section 7.1.2)', () => {
    const list: Field[] = [...start('POST'), ['trailer', 't']];
    sameMessage(toHttp1(list, false), lines('POST / HTTP/1.1', 'Host: x', 'trailer: t', 'transfer-encoding: chunked'));
    sameMessage(toHttp1(list, true), lines('POST / HTTP/1.1', 'Host: x', 'content-length: 0'));
  });

  it('expects 100-continue with a body, and nothing else ever (RFC 9110 section 10.1.1)', () => {
    const list: Field[] = [...start('POST'), ['expect', '100-continue']];
    sameMessage(
      toHttp1(list, false),
      lines('POST / HTTP/1.1', 'Host: x', 'expect: 100-continue', 'transfer-encoding: chunked'),
    );
    sameMessage(toHttp1(list, true), lines('POST / HTTP/1.1', 'Host: x', 'content-length: 0'));
    refused([...start('POST'), ['expect', '200-ok']], MESSAGE_ERROR.EXPECTATION, false);
    refused([...list, ['expect', '100-continue']], MESSAGE_ERROR.EXPECTATION, false);
  });

  it('has no name that passes for a framing field, no octet that ends a line (RFC 9113 section 10.3)', () => {
    refused([...start('POST'), ['content_length', '5']], MESSAGE_ERROR.UNDERSCORE_FRAMING);
    refused([...start('POST'), ['transfer_encoding', 'chunked']], MESSAGE_ERROR.UNDERSCORE_FRAMING);
    for (const name of ['', 'a b', 'a:', 'a\r\nb', 'A', 'a\0', 'transfer-encoding '])
      refused([...GET, [name, 'v']], MESSAGE_ERROR.MALFORMED);
    for (const value of ['a\r\nb: c', 'a\n', '\r', 'a\0b', 'a\x7f', ' a', 'a\t']) {
      refused([...GET, ['n', value]], MESSAGE_ERROR.MALFORMED);
      refused([...GET, ['cookie', 'a'], ['cookie', value]], MESSAGE_ERROR.MALFORMED);
    }
  });

  it('is checked again octet by octet when it is written, whatever was found before', () => {
    for (const octet of [0x00, 0x0a, 0x0d, 0x7f])
      for (const [fields, error] of [
        [[...GET, ['n', 'a~b: c']], MESSAGE_ERROR.CONTROL],
        [[...GET, ['cookie', 'a~']], MESSAGE_ERROR.CONTROL],
        [[...GET, ['a~b', 'c']], MESSAGE_ERROR.FIELD_NAME],
        [start('GET', '/~'), MESSAGE_ERROR.TARGET],
        [start('G~T'), MESSAGE_ERROR.METHOD],
        [start('GET', '/', '~x'), MESSAGE_ERROR.HOST_INVALID],
      ] as const) {
        const bench = new Bench();
        const bridge = new RequestBridge(bench.memory);
        const list = bench.list(fields);
        list.expand();
        // Wherever the text of the list is by now: nothing else has a tilde.
        for (let at = bench.bytes.indexOf(0x7e); at >= 0; at = bench.bytes.indexOf(0x7e, at)) bench.bytes[at] = octet;
        assert.equal(bridge.write(list, OUT, OUT + 65536, true, keys, 0), -error);
      }
    const list = bench.list([...GET, ['transfer-encoding', 'chunked']]);
    list.facts.error = 0;
    assert.equal(bridge.write(list, OUT, OUT + 65536, true, keys, 0), -MESSAGE_ERROR.CONNECTION_FIELD);
  });

  it('is an upgrade where it is an extended CONNECT for a WebSocket (RFC 8441 section 5)', () => {
    const list: Field[] = [
      [':method', 'CONNECT'],
      [':protocol', 'websocket'],
      [':scheme', 'https'],
      [':path', '/chat'],
      [':authority', 'x'],
      ['sec-websocket-protocol', 'chat'],
      ['sec-websocket-version', '13'],
      ['sec-websocket-key', 'another'],
    ];
    const expected = (...more: string[]): string =>
      lines(
        'GET /chat HTTP/1.1',
        'Host: x',
        'sec-websocket-protocol: chat',
        'sec-websocket-version: 13',
        ...more,
        `sec-websocket-key: ${KEY}`,
      );
    sameMessage(toHttp1(list, false), expected('upgrade: websocket', 'connection: upgrade'));
    assert.ok(asksForWebSocket(bench.bytes, bench.head));
    sameMessage(
      toHttp1([...list, ['te', 'trailers']], false),
      expected('te: trailers', 'upgrade: websocket', 'connection: upgrade, te'),
    );
    refused([list[0], [':protocol', 'connect-udp'], ...list.slice(2)], MESSAGE_ERROR.PROTOCOL, false);
    refused([['upgrade', 'websocket'], ...list], MESSAGE_ERROR.MALFORMED, false);
    refused([[':method', 'GET'], ...list.slice(1)], MESSAGE_ERROR.MALFORMED, false);
  });
});

describe('an HTTP/1 request for an HTTP/2 endpoint', () => {
  it('has its pseudo-header fields first and its names in lower case (RFC 9113 sections 8.2.1 and 8.3)', () => {
    sameFields(toHttp2(lines('GET /a?b HTTP/1.1', 'X-A:b', 'HOST:  x:1', 'User-Agent: Y')), [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':path', '/a?b'],
      [':authority', 'x:1'],
      ['x-a', 'b'],
      ['user-agent', 'Y'],
    ]);
  });

  it('takes its authority from the target where that has one (RFC 9112 section 3.2.2)', () => {
    const request = (target: string, method = 'GET'): Field[] =>
      toHttp2(lines(`${method} ${target} HTTP/1.1`, 'Host: other'));
    const expected = (scheme: string, path: string, method = 'GET'): Field[] => [
      [':method', method],
      [':scheme', scheme],
      [':path', path],
      [':authority', 'x:1'],
    ];
    sameFields(request('http://x:1/a?b'), expected('http', '/a?b'));
    sameFields(request('HTTPS://x:1/'), expected('https', '/'));
    sameFields(request('http://x:1'), expected('http', '/'));
    sameFields(request('http://x:1?q'), expected('http', '/?q'));
    sameFields(request('http://x:1', 'OPTIONS'), expected('http', '*', 'OPTIONS'));
    sameFields(request('http://x:1?q', 'OPTIONS'), expected('http', '/?q', 'OPTIONS'));
  });

  it('can be converted again for another attempt', () => {
    const head = bench.request(lines('GET http://x?q HTTP/1.1', 'Host: other', 'A: b'));
    for (let attempt = 0; attempt < 3; attempt++) {
      assert.equal(bridge.list(head, bench.list([]), false), 0);
      sameFields(bench.fields(), [
        [':method', 'GET'],
        [':scheme', 'http'],
        [':path', '/?q'],
        [':authority', 'x'],
        ['a', 'b'],
      ]);
    }
  });

  it('has no :authority without Host, unless one is given (RFC 9113 section 8.3.1)', () => {
    const bare: Field[] = [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':path', '/'],
    ];
    sameFields(toHttp2(lines('GET / HTTP/1.0', 'A: b')), [...bare, ['a', 'b']]);
    sameFields(toHttp2(lines('GET / HTTP/1.1', 'Host:')), bare);
    sameFields(toHttp2(lines('GET / HTTP/1.0'), false, 'y:2'), [...bare, [':authority', 'y:2']]);
    sameFields(toHttp2(lines('GET / HTTP/1.1', 'Host:'), false, 'y:2'), [...bare, [':authority', 'y:2']]);
  });

  it('is OPTIONS * (RFC 9113 section 8.3.1)', () => {
    sameFields(toHttp2(lines('OPTIONS * HTTP/1.1', 'Host: x')), [
      [':method', 'OPTIONS'],
      [':scheme', 'http'],
      [':path', '*'],
      [':authority', 'x'],
    ]);
  });

  it('is CONNECT with nothing but an authority (RFC 9113 section 8.5)', () => {
    sameFields(toHttp2(lines('CONNECT x:1 HTTP/1.1', 'Host: y', 'Content-Length: 0', 'A: b')), [
      [':method', 'CONNECT'],
      [':authority', 'x:1'],
      ['a', 'b'],
    ]);
  });

  it('has no field of its connection (RFC 9113 section 8.2.2)', () => {
    const fields = toHttp2(
      lines(
        'POST / HTTP/1.1',
        'Host: x',
        'Connection: keep-alive, X-Hop, Upgrade, HTTP2-Settings',
        'Keep-Alive: 5',
        'Proxy-Connection: keep-alive',
        'X-Hop: 1',
        'Upgrade: h2c',
        'HTTP2-Settings: AAMAAABk',
        'Transfer-Encoding: chunked',
        'TE: gzip',
        'A: b',
      ),
    );
    sameFields(fields.filter(regular), [['a', 'b']]);
  });

  it('says te: trailers where it did, in lower case (RFC 9113 section 8.2.2)', () => {
    sameFields(toHttp2(lines('GET / HTTP/1.1', 'Host: x', 'TE: Trailers', 'Connection: TE')).filter(regular), [
      ['te', 'trailers'],
    ]);
  });

  it('keeps Content-Length as a plain number, Expect, and the order of repeated fields', () => {
    sameFields(
      toHttp2(
        lines(
          'POST / HTTP/1.1',
          'Host: x',
          'A: 1',
          'Content-Length: 007',
          'Expect: 100-continue',
          'a: 2',
          'Cookie: b=c',
        ),
      ).filter(regular),
      [
        ['a', '1'],
        ['content-length', '7'],
        ['expect', '100-continue'],
        ['a', '2'],
        ['cookie', 'b=c'],
      ],
    );
    sameFields(toHttp2(lines('POST / HTTP/1.1', 'Host: x', 'Content-Length: 00')).filter(regular), [
      ['content-length', '0'],
    ]);
  });

  it('is an extended CONNECT where it asks for a WebSocket (RFC 8441 section 5)', () => {
    const message = lines(
      'GET /chat HTTP/1.1',
      'Host: x',
      'Upgrade: WebSocket',
      'Connection: Upgrade',
      `Sec-WebSocket-Key: ${KEY}`,
      'Sec-WebSocket-Version: 13',
      'Origin: http://x',
    );
    sameFields(toHttp2(message, true), [
      [':method', 'CONNECT'],
      [':scheme', 'http'],
      [':path', '/chat'],
      [':authority', 'x'],
      [':protocol', 'websocket'],
      ['sec-websocket-version', '13'],
      ['origin', 'http://x'],
    ]);
    assert.equal(text(bench.bytes, bridge.keyAt, bridge.keyAt + KEY.length), KEY);
    assert.ok(toHttp2(message, false).some(([name, value]) => name === ':method' && value === 'GET'));
    assert.equal(bridge.keyAt, -1);
  });

  it('is refused without a proper key (RFC 6455 section 4.2.1)', () => {
    const upgrade = ['GET / HTTP/1.1', 'Host: x', 'Upgrade: websocket', 'Connection: Upgrade'];
    const line = `Sec-WebSocket-Key: ${KEY}`;
    for (const more of [[], ['Sec-WebSocket-Key: dGhl'], [line, line], [`${line.slice(0, -1)}A`]]) {
      const head = bench.request(lines(...upgrade, ...more));
      assert.equal(bridge.list(head, bench.list([]), true), -MESSAGE_ERROR.WEBSOCKET_KEY);
    }
  });

  it('asks without an upgrade that is none to a WebSocket (RFC 9110 section 7.8)', () => {
    sameFields(
      toHttp2(lines('GET / HTTP/1.1', 'Host: x', 'Upgrade: other', 'Connection: Upgrade', 'A: b'), true).filter(
        regular,
      ),
      [['a', 'b']],
    );
  });
});

describe('an HTTP/1 request that is carried over HTTP/2', () => {
  const origin = (message: string): string | undefined =>
    toHttp2(message, false, '', true).find(([name]) => name === 'l5d-orig-proto')?.[1];

  it('says which version it is, and whether its target is in absolute form', () => {
    assert.equal(origin('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), 'HTTP/1.1');
    assert.equal(origin('GET / HTTP/1.0\r\n\r\n'), 'HTTP/1.0');
    assert.equal(origin('GET http://x/a HTTP/1.1\r\nHost: x\r\n\r\n'), 'HTTP/1.1; absolute-form');
    assert.equal(origin('GET http://x/a HTTP/1.0\r\n\r\n'), 'HTTP/1.0; absolute-form');
  });

  it('says nothing that its client says of it', () => {
    const forged = 'GET / HTTP/1.1\r\nHost: x\r\nL5d-Orig-Proto: HTTP/1.0; absolute-form\r\nA: b\r\n\r\n';
    assert.deepEqual(toHttp2(forged, false, '', true).filter(regular), [
      ['a', 'b'],
      ['l5d-orig-proto', 'HTTP/1.1'],
    ]);
    assert.deepEqual(toHttp2(forged).filter(regular), [['a', 'b']]);
  });
});
