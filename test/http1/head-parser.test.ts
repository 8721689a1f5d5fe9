import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { METHOD } from '../../src/http/methods.js';
import { RESPONSE_REASONS } from '../../src/http/response-reasons.js';
import { MESSAGE_ERRORS, UPSTREAM } from '../../src/http1/errors.js';
import { FORM, FRAMING, Head } from '../../src/http1/head.js';
import { headEnd, parseRequest } from '../../src/http1/head-parser.js';
import { AT, fields, LIMITS, latin1, outcome, request, response, slab, text, value } from './support.js';

describe('a valid request', () => {
  it('is parsed into spans', () => {
    const message =
      'GET /a/b?c=d HTTP/1.1\r\nHost: example.org:8080\r\nAccept:*/*\r\nX-Empty:\r\nX-Pad: \t padded value\t \r\n\r\n';
    const parsed = request(`${message}body of something else`);
    const { head } = parsed;
    assert.equal(parsed.result, AT + message.length);
    assert.equal(head.end, parsed.result);
    assert.equal(head.method, METHOD.GET);
    assert.equal(value(parsed, head.methodStart, head.methodEnd), 'GET');
    assert.equal(value(parsed, head.targetStart, head.targetEnd), '/a/b?c=d');
    assert.equal(value(parsed, head.pathStart, head.pathEnd), '/a/b?c=d');
    assert.equal(value(parsed, head.hostStart, head.hostEnd), 'example.org:8080');
    assert.equal(value(parsed, head.authorityStart, head.authorityEnd), 'example.org:8080');
    assert.equal(head.form, FORM.ORIGIN);
    assert.equal(head.minor, 1);
    assert.equal(head.status, 0);
    assert.equal(head.framing, FRAMING.NONE);
    assert.equal(head.contentLength, -1);
    assert.equal(head.hasBody, false);
    assert.equal(head.keepAlive, true);
    assert.deepEqual(fields(parsed), [
      ['Host', 'example.org:8080'],
      ['Accept', '*/*'],
      ['X-Empty', ''],
      ['X-Pad', 'padded value'],
    ]);
  });

  it('may have any method, and methods are case-sensitive', () => {
    for (const [name, code] of Object.entries(METHOD)) {
      if (name === 'OTHER' || name === 'CONNECT') continue;
      assert.equal(request(`${name} / HTTP/1.1\r\nHost: a\r\n\r\n`).head.method, code, name);
    }
    for (const name of ['get', 'Get', 'PROPFIND', 'GETX', 'GE', "M-!#$%&'*+.^_`|~"]) {
      const { result, head } = request(`${name} / HTTP/1.1\r\nHost: a\r\n\r\n`);
      assert.equal(outcome(result), 'ok', name);
      assert.equal(head.method, METHOD.OTHER, name);
    }
  });

  const forms: [string, string, number, string | null, string][] = [
    ['GET', '/', FORM.ORIGIN, 'field', '/'],
    ['GET', '//x//y', FORM.ORIGIN, 'field', '//x//y'],
    ['GET', '/a|b{c}"d"', FORM.ORIGIN, 'field', '/a|b{c}"d"'],
    ['GET', 'http://target', FORM.ABSOLUTE, 'target', ''],
    ['GET', 'HTTP://target:80/', FORM.ABSOLUTE, 'target:80', '/'],
    ['GET', 'https://target/p?q', FORM.ABSOLUTE, 'target', '/p?q'],
    ['GET', 'http://target?q', FORM.ABSOLUTE, 'target', '?q'],
    ['GET', 'http://[::1]:8080/x', FORM.ABSOLUTE, '[::1]:8080', '/x'],
    ['OPTIONS', '*', FORM.ASTERISK, 'field', '*'],
    ['OPTIONS', '/x', FORM.ORIGIN, 'field', '/x'],
    ['CONNECT', 'target:443', FORM.AUTHORITY, 'target:443', ''],
    ['CONNECT', '[2001:db8::1]:443', FORM.AUTHORITY, '[2001:db8::1]:443', ''],
  ];
  for (const [method, target, form, authority, path] of forms) {
    it(`has the form of its target: ${method} ${target}`, () => {
      const parsed = request(`${method} ${target} HTTP/1.1\r\nHost: field\r\n\r\n`);
      const { head } = parsed;
      assert.equal(outcome(parsed.result), 'ok');
      assert.equal(head.form, form);
      assert.equal(value(parsed, head.authorityStart, head.authorityEnd), authority);
      assert.equal(value(parsed, head.pathStart, head.pathEnd), path);
      assert.equal(value(parsed, head.hostStart, head.hostEnd), 'field');
      // RFC 9112 section 3.2.2: a target that has an authority replaces Host.
      assert.deepEqual(fields(parsed, true).length, authority === 'field' ? 1 : 0);
    });
  }

  for (const host of ['a', 'a.b-c_d', 'a:1', 'a:', '10.0.0.1:65535', '[::1]', '[fe80::1]:80', '']) {
    it(`may be for Host "${host}"`, () => {
      const parsed = request(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      assert.equal(outcome(parsed.result), 'ok');
      assert.equal(value(parsed, parsed.head.hostStart, parsed.head.hostEnd), host);
    });
  }

  const persistence: [string, string, boolean][] = [
    ['1.1', '', true],
    ['1.9', '', true],
    ['1.1', 'Connection: close\r\n', false],
    ['1.1', 'Connection: CLOSE\r\n', false],
    ['1.1', 'Connection: x-a, close\r\n', false],
    ['1.1', 'Connection: keep-alive\r\nConnection: close\r\n', false],
    ['1.0', '', false],
    ['1.0', 'Connection: Keep-Alive\r\n', true],
    ['1.0', 'Connection: keep-alive, close\r\n', false],
    ['1.0', 'Proxy-Connection: keep-alive\r\n', false],
  ];
  for (const [version, line, keepAlive] of persistence) {
    it(`${keepAlive ? 'keeps' : 'ends'} its connection: HTTP/${version} ${line.trim()}`, () => {
      const { result, head } = request(`GET / HTTP/${version}\r\nHost: a\r\n${line}\r\n`);
      assert.equal(outcome(result), 'ok');
      assert.equal(head.keepAlive, keepAlive);
      assert.equal(head.minor, version === '1.0' ? 0 : 1);
    });
  }

  const framings: [string, number, number, boolean][] = [
    ['', FRAMING.NONE, -1, false],
    ['Content-Length: 0\r\n', FRAMING.LENGTH, 0, false],
    ['Content-Length: 5\r\n', FRAMING.LENGTH, 5, true],
    ['content-length:\t007 \r\n', FRAMING.LENGTH, 7, true],
    ['Content-Length: 9007199254740991\r\n', FRAMING.LENGTH, 9007199254740991, true],
    ['Transfer-Encoding: chunked\r\n', FRAMING.CHUNKED, -1, true],
    ['transfer-encoding:\tChunKED \r\n', FRAMING.CHUNKED, -1, true],
  ];
  for (const [line, framing, length, hasBody] of framings) {
    it(`has its body framed by ${line.trim() || 'nothing'}`, () => {
      const parsed = request(`POST / HTTP/1.1\r\nHost: a\r\n${line}X: y\r\n\r\n`);
      const { head } = parsed;
      assert.equal(outcome(parsed.result), 'ok');
      assert.deepEqual([head.framing, head.contentLength, head.hasBody], [framing, length, hasBody]);
      assert.deepEqual(fields(parsed, true), [
        ['Host', 'a'],
        ['X', 'y'],
      ]);
    });
  }

  it('may come after two empty lines', () => {
    const message = '\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n';
    assert.equal(request(message).result, AT + message.length);
  });

  it('may be HTTP/1.0 without Host', () => {
    const { result, head } = request('GET / HTTP/1.0\r\n\r\n');
    assert.equal(outcome(result), 'ok');
    assert.deepEqual([head.hostStart, head.hostEnd, head.authorityStart], [-1, -1, -1]);
  });

  it('leaves nothing of the head before it in a reused Head', () => {
    const bytes = slab('');
    const head = new Head(64);
    const fresh = new Head(64);
    const rich =
      'POST http://x/y HTTP/1.1\r\nHost: b\r\nExpect: 100-continue\r\nTE: trailers\r\nTrailer: T\r\nUpgrade: u\r\n' +
      'Connection: te, upgrade, close, keep-alive, x\r\nContent-Length: 3\r\n\r\n';
    const plain = 'GET / HTTP/1.0\r\nA: b\r\n\r\n';
    bytes.set(latin1(rich), AT);
    assert.equal(outcome(parseRequest(bytes, AT, AT + rich.length, head, LIMITS)), 'ok');
    bytes.set(latin1(plain), AT);
    parseRequest(bytes, AT, AT + plain.length, head, LIMITS);
    parseRequest(bytes, AT, AT + plain.length, fresh, LIMITS);
    // Spans beyond `count` are nobody's business.
    head.fields.fill(0, 4 * head.count);
    head.kind.fill(0, head.count);
    assert.deepEqual({ ...head }, { ...fresh });
  });
});

describe('what a request asks of its connection', () => {
  const forwarded = (lines: string, method = 'GET', version = '1.1'): string[] =>
    fields(request(`${method} / HTTP/${version}\r\nHost: a\r\n${lines}\r\n`), true).map(([name]) => name);

  it('is not forwarded', () => {
    const lines =
      'Connection: keep-alive, X-Named ,, x-other\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n' +
      'Upgrade: websocket\r\nTE: gzip\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nx-named: 1\r\nX-OTHER: 2\r\nX-Named: 3\r\nX-Kept: 4\r\n';
    assert.deepEqual(forwarded(lines), ['Host', 'X-Kept']);
  });

  it('removes named fields wherever Connection stands', () => {
    assert.deepEqual(forwarded('X-A: 1\r\nX-B: 2\r\nConnection: x-a\r\nConnection: x-b\r\nX-C: 3\r\n'), [
      'Host',
      'X-C',
    ]);
  });

  it('keeps TE: trailers, and nothing else of TE', () => {
    assert.deepEqual(forwarded('TE: trailers\r\nConnection: TE\r\n'), ['Host', 'TE']);
    assert.deepEqual(forwarded('te: Trailers\r\n'), ['Host', 'te']);
    assert.deepEqual(forwarded('TE: trailers, deflate\r\n'), ['Host', 'TE']);
    assert.deepEqual(forwarded('TE: deflate, x-trailers\r\n'), ['Host']);
    assert.deepEqual(forwarded('TE: trailers\r\n', 'GET', '1.0'), ['Host']);
  });

  it('keeps Trailer only where there can be trailers', () => {
    assert.deepEqual(forwarded('Trailer: T\r\nTransfer-Encoding: chunked\r\n', 'POST'), ['Host', 'Trailer']);
    assert.deepEqual(forwarded('Trailer: T\r\nContent-Length: 1\r\n', 'POST'), ['Host']);
  });

  it('keeps Expect only where a body waits for it', () => {
    assert.deepEqual(forwarded('Expect: 100-Continue\r\nContent-Length: 1\r\n', 'POST'), ['Host', 'Expect']);
    assert.deepEqual(forwarded('Expect: 100-continue\r\n'), ['Host']);
    assert.deepEqual(forwarded('Expect: 100-continue\r\nContent-Length: 0\r\n', 'POST'), ['Host']);
    assert.deepEqual(forwarded('Expect: 100-continue\r\nContent-Length: 1\r\n', 'POST', '1.0'), ['Host']);
  });

  it('upgrades with one Upgrade that Connection announces, never to h2c', () => {
    const upgrade = (lines: string, start = 'GET / HTTP/1.1'): string | null => {
      const parsed = request(`${start}\r\nHost: a\r\n${lines}\r\n`);
      assert.equal(outcome(parsed.result), 'ok', lines);
      return parsed.head.upgrade ? value(parsed, parsed.head.upgradeStart, parsed.head.upgradeEnd) : null;
    };
    assert.equal(upgrade('Connection: Upgrade\r\nUpgrade: websocket\r\n'), 'websocket');
    assert.equal(
      upgrade('Upgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\nContent-Length: 0\r\n'),
      'WebSocket',
    );
    assert.equal(upgrade('Upgrade: websocket\r\n'), null);
    assert.equal(upgrade('Connection: upgrade\r\n'), null);
    assert.equal(upgrade('Connection: upgrade\r\nUpgrade:\r\n'), null);
    assert.equal(upgrade('Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n'), null);
    assert.equal(upgrade('Connection: upgrade\r\nUpgrade: websocket\r\n', 'GET / HTTP/1.0'), null);
    assert.equal(upgrade('Connection: upgrade\r\nUpgrade: x\r\n', 'CONNECT a:1 HTTP/1.1'), null);
    assert.equal(upgrade('Connection: upgrade\r\nUpgrade: tcp\r\nContent-Length: 1\r\n', 'POST / HTTP/1.1'), 'tcp');
    assert.equal(upgrade('Connection: upgrade\r\nUpgrade: TLS/1.2\r\nContent-Length: 1\r\n', 'POST / HTTP/1.1'), null);
    assert.equal(upgrade('Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n'), null);
    assert.equal(upgrade('Connection: upgrade\r\nUpgrade: websocket, H2C\r\n'), null);
  });
});

describe('a valid response', () => {
  it('is parsed into spans', () => {
    const message = 'HTTP/1.1 404 Not  Found\xe9\r\nServer: x\r\nContent-Length: 3\r\n\r\n';
    const parsed = response(`${message}abc`);
    const { head } = parsed;
    assert.equal(parsed.result, AT + message.length);
    assert.equal(head.status, 404);
    assert.equal(value(parsed, head.reasonStart, head.reasonEnd), 'Not  Found\xe9');
    assert.deepEqual(fields(parsed), [
      ['Server', 'x'],
      ['Content-Length', '3'],
    ]);
  });

  it('may be without reason phrase, with or without the space before it', () => {
    for (const line of ['HTTP/1.1 200 ', 'HTTP/1.1 200']) {
      const parsed = response(`${line}\r\nContent-Length: 0\r\n\r\n`);
      assert.equal(outcome(parsed.result), 'ok');
      assert.equal(value(parsed, parsed.head.reasonStart, parsed.head.reasonEnd), '');
    }
  });

  const { GET, HEAD, CONNECT } = METHOD;
  const cases: [number, string, string, number, number, boolean][] = [
    [GET, '1.1 200', 'Content-Length: 3\r\n', FRAMING.LENGTH, 3, true],
    [GET, '1.1 200', 'Content-Length: 3\r\nConnection: close\r\n', FRAMING.LENGTH, 3, false],
    [GET, '1.1 200', 'Transfer-Encoding: chunked\r\n', FRAMING.CHUNKED, -1, true],
    [GET, '1.1 200', '', FRAMING.CLOSE, -1, false],
    [GET, '1.0 200', 'Content-Length: 3\r\n', FRAMING.LENGTH, 3, false],
    [GET, '1.0 200', 'Content-Length: 3\r\nConnection: keep-alive\r\n', FRAMING.LENGTH, 3, true],
    [GET, '1.0 200', 'Connection: keep-alive\r\n', FRAMING.CLOSE, -1, false],
    [HEAD, '1.1 200', 'Content-Length: 3\r\n', FRAMING.NONE, 3, true],
    [HEAD, '1.1 200', 'Transfer-Encoding: chunked\r\n', FRAMING.NONE, -1, true],
    [HEAD, '1.1 200', '', FRAMING.NONE, -1, true],
    [GET, '1.1 304', 'Content-Length: 3\r\n', FRAMING.NONE, 3, true],
    [GET, '1.1 204', 'Content-Length: 3\r\n', FRAMING.NONE, -1, true],
    [GET, '1.1 204', 'Transfer-Encoding: chunked\r\nContent-Length: 3\r\n', FRAMING.NONE, -1, true],
    [GET, '1.1 100', 'Content-Length: 3\r\n', FRAMING.NONE, -1, true],
    [GET, '1.1 103', 'Transfer-Encoding: chunked\r\n', FRAMING.NONE, -1, true],
    [GET, '1.1 101', 'Connection: upgrade\r\nUpgrade: websocket\r\n', FRAMING.NONE, -1, true],
    [CONNECT, '1.1 200', 'Content-Length: 3\r\n', FRAMING.NONE, -1, true],
    [CONNECT, '1.1 204', 'Transfer-Encoding: chunked\r\n', FRAMING.NONE, -1, true],
    [CONNECT, '1.1 403', 'Content-Length: 3\r\n', FRAMING.LENGTH, 3, true],
    [GET, '1.1 205', 'Content-Length: 0\r\n', FRAMING.LENGTH, 0, true],
  ];
  for (const [method, start, lines, framing, length, keepAlive] of cases) {
    it(`is framed by RFC 9112 section 6.3: method ${method}, ${start}, ${lines.replaceAll('\r\n', ' ') || 'no fields'}`, () => {
      const { result, head } = response(`HTTP/${start} X\r\n${lines}\r\n`, method);
      assert.equal(outcome(result), 'ok');
      assert.deepEqual([head.framing, head.contentLength, head.keepAlive], [framing, length, keepAlive]);
    });
  }

  it('keeps an end-to-end field that Connection names', () => {
    const parsed = response(
      'HTTP/1.1 200 OK\r\nConnection: Transfer-Encoding, Set-Cookie, x\r\nSet-Cookie: a\r\nX: b\r\nTransfer-Encoding: chunked\r\n\r\n',
    );
    assert.deepEqual(fields(parsed, true), [['Set-Cookie', 'a']]);
    assert.equal(parsed.head.framing, FRAMING.CHUNKED);
  });
});

describe('limits of a head', () => {
  const message = 'GET /abcdef HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n';
  const size = message.length;

  it('hold for its bytes, whole or not', () => {
    const max = (maxHeaderBytes: number) => ({ ...LIMITS, maxHeaderBytes });
    assert.equal(outcome(request(message, max(size)).result), 'ok');
    assert.equal(outcome(request(message, max(size - 1)).result), 'HEADER_TOO_LARGE');
    assert.equal(outcome(request(message.slice(0, -1), max(size)).result), 'MORE');
    assert.equal(outcome(request(message.slice(0, -1), max(size - 1)).result), 'HEADER_TOO_LARGE');
    const answer = 'HTTP/1.1 200 OK\r\nX: y\r\n\r\n';
    assert.equal(outcome(response(answer, 1, max(answer.length)).result), 'ok');
    assert.equal(outcome(response(answer, 1, max(answer.length - 1)).result), 'upstream HEADER_TOO_LARGE');
  });

  it('hold for its fields, and never pass what the Head can hold', () => {
    assert.equal(outcome(request(message, { ...LIMITS, maxHeaders: 2 }).result), 'ok');
    assert.equal(outcome(request(message, { ...LIMITS, maxHeaders: 1 }).result), 'TOO_MANY_FIELDS');
    const many = `GET / HTTP/1.1\r\nHost: a\r\n${'X: y\r\n'.repeat(64)}\r\n`;
    assert.equal(outcome(request(many, { ...LIMITS, maxHeaders: 1000 }).result), 'TOO_MANY_FIELDS');
  });

  it('hold for its target before it is whole', () => {
    assert.equal(outcome(request(message, { ...LIMITS, maxTargetBytes: 7 }).result), 'ok');
    assert.equal(outcome(request(message, { ...LIMITS, maxTargetBytes: 6 }).result), 'TARGET_TOO_LONG');
    assert.equal(outcome(request('GET /abcdef', { ...LIMITS, maxTargetBytes: 6 }).result), 'TARGET_TOO_LONG');
    assert.equal(outcome(request('GET /abcde', { ...LIMITS, maxTargetBytes: 6 }).result), 'MORE');
  });

  it('answer with their own status', () => {
    const status = (name: string) => MESSAGE_ERRORS.find((error) => error.reason === name)?.status;
    assert.equal(status('header-too-large'), 431);
    assert.equal(status('target-too-long'), 414);
    assert.equal(status('version-not-supported'), 505);
    assert.equal(status('not-implemented'), 501);
    for (const [code, error] of MESSAGE_ERRORS.entries()) {
      assert.equal(RESPONSE_REASONS[error.reasonIndex], error.reason);
      assert.equal(text(error.detailBytes, 0, error.detailBytes.length), error.detail);
      if (code >= UPSTREAM) {
        const reason = error.limit ? 'header-too-large' : 'upstream-protocol';
        assert.deepEqual([error.status, error.reason], [502, reason]);
      }
    }
  });
});

describe('headEnd', () => {
  it('finds the blank line, from anywhere at most 3 bytes before its last byte', () => {
    const message = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
    const bytes = slab(`${message}rest\r\n\r\n`, 0x20);
    const end = AT + message.length;
    for (let from = AT; from <= end - 3; from++) assert.equal(headEnd(bytes, from, end + 8), end, `from ${from}`);
    for (let to = AT; to < end; to++) assert.equal(headEnd(bytes, AT, to), 0);
  });

  it('finds malformed blank lines too, so that they are refused at once', () => {
    for (const message of ['GET / HTTP/1.1\n\n', 'GET / HTTP/1.1\r\nA: b\n\r\n', 'a\r\n\n']) {
      assert.equal(headEnd(slab(message, 0x20), AT, AT + message.length), AT + message.length);
      assert.notEqual(outcome(request(message).result), 'MORE');
    }
  });

  it('sees every byte once when fed byte by byte', () => {
    const message = `GET / HTTP/1.1\r\nHost: a\r\nX: ${'\r'.repeat(3)}\r\n\r\n`;
    const bytes = slab(message);
    let found = 0;
    for (let end = AT; end <= AT + message.length && found === 0; end++)
      found = headEnd(bytes, Math.max(AT, end - 3), end);
    assert.equal(found, AT + message.length);
  });
});
