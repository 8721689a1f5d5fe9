import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { METHOD } from '../../src/http/methods.js';
import { RESPONSE_REASONS } from '../../src/http/response-reasons.js';
import { MESSAGE_ERRORS } from '../../src/http1/errors.js';
import { FRAMING, Head } from '../../src/http1/head.js';
import { parseRequest, parseResponse } from '../../src/http1/head-parser.js';
import { CONNECTION, writeOwnResponse, writeRequest, writeResponse } from '../../src/http1/write.js';
import { AT, fields, LIMITS, latin1, outcome, type Parsed, request, response, text } from './support.js';

const OUT = 20000;
const HOST_AT = 60000;

/** Writes within exactly as much room as is needed, after trying with every smaller one. */
function exactly(bytes: Uint8Array, write: (limit: number) => number): string {
  const end = write(bytes.length);
  assert.ok(end > OUT);
  const written = text(bytes, OUT, end);
  for (let limit = OUT; limit < end; limit++) {
    bytes.fill(0x7e, OUT, end + 8);
    assert.equal(write(limit), -1, `limit ${limit - OUT} of ${end - OUT}`);
    assert.equal(text(bytes, limit, end + 8).replaceAll('~', ''), '', 'nothing is written past the limit');
  }
  assert.equal(write(end), end);
  assert.equal(text(bytes, OUT, end), written);
  return written;
}

function forward(message: string, upgrade = false, host = ''): string {
  const parsed = request(message);
  assert.equal(outcome(parsed.result), 'ok');
  const { bytes, head } = parsed;
  bytes.set(latin1(host), HOST_AT);
  return exactly(bytes, (limit) =>
    writeRequest(bytes, head, OUT, limit, head.framing, head.contentLength, upgrade, HOST_AT, host.length),
  );
}

function answer(
  parsed: Parsed,
  connection: number,
  framing = parsed.head.framing,
  length = parsed.head.contentLength,
): string {
  assert.equal(outcome(parsed.result), 'ok');
  const { bytes, head } = parsed;
  return exactly(bytes, (limit) => writeResponse(bytes, head, OUT, limit, framing, length, connection));
}

const lines = (...list: string[]): string => `${list.join('\r\n')}\r\n\r\n`;

describe('a forwarded request', () => {
  it('is the original where nothing is to be changed', () => {
    const message = lines('GET /a?b HTTP/1.1', 'Host: x', 'user-agent: y', 'X-Empty: ', 'Cookie: a=b; c=d');
    assert.equal(forward(message), message);
  });

  it('has its fields in order, normalised, without what ends here', () => {
    const message = lines(
      'POST /a HTTP/1.1',
      'A:b',
      'Connection: keep-alive, X-Hop',
      'HOST:  x ',
      'x-hop: 1',
      'C: d',
      'Content-Length:  007',
      'Keep-Alive: 5',
      'E: f\t',
      'G:',
    );
    assert.equal(
      forward(message),
      lines('POST /a HTTP/1.1', 'A: b', 'HOST: x', 'C: d', 'E: f', 'G: ', 'content-length: 7'),
    );
  });

  it('has framing of its own', () => {
    assert.equal(
      forward(lines('POST / HTTP/1.1', 'Transfer-Encoding:\tCHUNKED', 'Trailer: T', 'Host: x')),
      lines('POST / HTTP/1.1', 'Trailer: T', 'Host: x', 'transfer-encoding: chunked'),
    );
    const length = 'content-length: 9007199254740991';
    assert.equal(forward(lines('PUT / HTTP/1.1', 'Host: x', length)), lines('PUT / HTTP/1.1', 'Host: x', length));
    assert.equal(
      forward(lines('POST / HTTP/1.1', 'Host: x', 'Content-Length: 0')),
      lines('POST / HTTP/1.1', 'Host: x', 'content-length: 0'),
    );
  });

  it('is HTTP/1.1 whatever the client spoke', () => {
    assert.equal(forward(lines('GET / HTTP/1.0', 'Host: x')), lines('GET / HTTP/1.1', 'Host: x'));
    assert.equal(forward(lines('GET / HTTP/1.7', 'Host: x')), lines('GET / HTTP/1.1', 'Host: x'));
  });

  it('gets the Host that an HTTP/1.0 client did not send', () => {
    const message = lines('GET / HTTP/1.0', 'A: b');
    assert.equal(forward(message, false, 'web:80'), lines('GET / HTTP/1.1', 'Host: web:80', 'A: b'));
    assert.equal(forward(message), lines('GET / HTTP/1.1', 'Host: ', 'A: b'));
  });

  it('is in origin-form with the Host of its target', () => {
    const cases: [string, string][] = [
      ['GET http://t:81/p?q', 'GET /p?q'],
      ['GET https://t:81', 'GET /'],
      ['GET http://t:81?q', 'GET /?q'],
      ['OPTIONS http://t:81', 'OPTIONS *'],
      ['OPTIONS http://t:81/', 'OPTIONS /'],
      ['CONNECT t:81', 'CONNECT t:81'],
    ];
    for (const [from, to] of cases) {
      assert.equal(
        forward(lines(`${from} HTTP/1.1`, 'A: b', 'Host: evil', 'C: d'), false, 'unused'),
        lines(`${to} HTTP/1.1`, 'Host: t:81', 'A: b', 'C: d'),
      );
    }
    assert.equal(forward(lines('OPTIONS * HTTP/1.1', 'Host: x')), lines('OPTIONS * HTTP/1.1', 'Host: x'));
  });

  it('announces Upgrade and TE anew', () => {
    const message = lines('GET / HTTP/1.1', 'Host: x', 'Upgrade: websocket', 'Connection: Upgrade', 'A: b');
    const written = lines('GET / HTTP/1.1', 'Host: x', 'A: b', 'connection: upgrade', 'upgrade: websocket');
    assert.equal(forward(message, true), written);
    assert.equal(forward(message, false), lines('GET / HTTP/1.1', 'Host: x', 'A: b'));
    const te = lines('GET / HTTP/1.1', 'Host: x', 'TE: trailers');
    assert.equal(forward(te), lines('GET / HTTP/1.1', 'Host: x', 'TE: trailers', 'connection: te'));
    const both = lines('GET / HTTP/1.1', 'Host: x', 'TE: trailers', 'Connection: upgrade, te', 'Upgrade: u');
    assert.match(forward(both, true), /\r\nconnection: upgrade, te\r\nupgrade: u\r\n/);
  });

  it('keeps Expect: 100-continue', () => {
    const message = lines('PUT / HTTP/1.1', 'Host: x', 'Expect: 100-continue', 'content-length: 1');
    assert.equal(forward(message), message);
  });

  it('parses to the same and is written the same a second time', () => {
    const messages = [
      lines('GET / HTTP/1.1', 'Host:x', 'A: \t b', 'TE:trailers', 'Connection: x'),
      lines('POST http://t/?q HTTP/1.1', 'Host: x', 'Transfer-Encoding: chunked', 'Trailer:t'),
      lines('GET / HTTP/1.0', 'Host: x', 'Content-Length: 12'),
      lines('GET / HTTP/1.1', 'Host:', 'Upgrade: a/1, b', 'Connection: upgrade'),
    ];
    for (const message of messages) {
      const upgrade = request(message).head.upgrade;
      const once = forward(message, upgrade);
      assert.equal(forward(once, upgrade), once);
      const first = request(message);
      const second = request(once);
      const same = (parsed: Parsed) => fields(parsed, true).filter(([name]) => name.toLowerCase() !== 'host');
      assert.deepEqual(same(second), same(first));
      for (const key of ['method', 'framing', 'contentLength', 'upgrade', 'expectContinue', 'te'] as const) {
        assert.equal(second.head[key], first.head[key], key);
      }
    }
  });
});

describe('a forwarded response', () => {
  it('is the original where nothing is to be changed', () => {
    const message = lines('HTTP/1.1 200 All  fine', 'Server: x', 'content-length: 5');
    assert.equal(answer(response(message), CONNECTION.NONE), message);
  });

  it('is HTTP/1.1 with the original status and reason', () => {
    for (const [from, to] of [
      ['HTTP/1.0 404 Nope', 'HTTP/1.1 404 Nope'],
      ['HTTP/1.1 204', 'HTTP/1.1 204 '],
      ['HTTP/1.1 204 ', 'HTTP/1.1 204 '],
    ]) {
      const message = lines(from, 'A:b', 'Content-Length: 0');
      const framed = from.includes('204') ? [] : ['content-length: 0'];
      assert.equal(answer(response(message), CONNECTION.NONE), lines(to, 'A: b', ...framed));
    }
  });

  it('says about its connection what it is told to', () => {
    const parsed = () => response(lines('HTTP/1.1 200 OK', 'Connection: close, x', 'X: y', 'Content-Length: 2'));
    const written = (...last: string[]) => lines('HTTP/1.1 200 OK', ...last, 'content-length: 2');
    assert.equal(answer(parsed(), CONNECTION.NONE), written());
    assert.equal(answer(parsed(), CONNECTION.CLOSE), written('connection: close'));
    assert.equal(answer(parsed(), CONNECTION.KEEP_ALIVE), written('connection: keep-alive'));
    const switching = lines('HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade', 'A: b');
    assert.equal(
      answer(response(switching), CONNECTION.UPGRADE),
      lines('HTTP/1.1 101 Switching Protocols', 'A: b', 'connection: upgrade', 'upgrade: websocket'),
    );
  });

  it('can change its framing', () => {
    const parsed = () => response(lines('HTTP/1.1 200 OK'));
    assert.equal(
      answer(parsed(), CONNECTION.NONE, FRAMING.CHUNKED, -1),
      lines('HTTP/1.1 200 OK', 'transfer-encoding: chunked'),
    );
    assert.equal(answer(parsed(), CONNECTION.CLOSE, FRAMING.CLOSE, -1), lines('HTTP/1.1 200 OK', 'connection: close'));
  });

  it('keeps the Content-Length of a body that HEAD or 304 leaves out, and no other', () => {
    const message = (status: string) => lines(`HTTP/1.1 ${status} X`, 'content-length: 5');
    assert.equal(answer(response(message('200'), METHOD.HEAD), CONNECTION.NONE), message('200'));
    assert.equal(answer(response(message('304')), CONNECTION.NONE), message('304'));
    assert.equal(answer(response(message('204')), CONNECTION.NONE), lines('HTTP/1.1 204 X'));
    assert.equal(answer(response(message('200'), METHOD.CONNECT), CONNECTION.NONE), lines('HTTP/1.1 200 X'));
  });
});

describe("the proxy's own response", () => {
  it('carries its reason, for every error there is', () => {
    const bytes = new Uint8Array(OUT + 1000);
    for (const error of MESSAGE_ERRORS) {
      // It has none: see below.
      if (error.status === 200) continue;
      const written = exactly(bytes, (limit) =>
        writeOwnResponse(bytes, OUT, limit, error.status, error.reasonIndex, error.detailBytes, true, false),
      );
      const parsed = response(written);
      assert.equal(outcome(parsed.result), 'ok');
      assert.equal(parsed.head.status, error.status);
      assert.equal(parsed.head.keepAlive, false);
      const found = new Map(fields(parsed));
      assert.equal(found.get('sluice-error'), error.reason);
      assert.equal(text(parsed.bytes, parsed.result, parsed.result + parsed.head.contentLength), `${error.detail}\n`);
      assert.equal(parsed.result + parsed.head.contentLength - AT, written.length);
    }
  });

  it('is empty and no reason given where it is no refusal; Date is as it is given', () => {
    const bytes = new Uint8Array(OUT + 1000);
    const date = latin1('date: now\r\n');
    const write = (status: number) =>
      exactly(bytes, (limit) => writeOwnResponse(bytes, OUT, limit, status, 0, null, true, false, date));
    assert.equal(write(200), lines('HTTP/1.1 200 OK', 'date: now', 'connection: close', 'content-length: 0'));
    assert.match(write(400), /\r\nsluice-error: bad-request\r\n.*\r\ndate: now\r\n/);
  });

  it('has its reason as text where there is no detail, and no body for HEAD', () => {
    const bytes = new Uint8Array(OUT + 1000);
    const index = RESPONSE_REASONS.indexOf('no-endpoint');
    const write = (headOnly: boolean) =>
      exactly(bytes, (limit) => writeOwnResponse(bytes, OUT, limit, 503, index, null, false, headOnly));
    assert.equal(
      write(false),
      `${lines('HTTP/1.1 503 Service Unavailable', 'sluice-error: no-endpoint', 'content-type: text/plain', 'content-length: 12')}no-endpoint\n`,
    );
    assert.match(write(true), /content-length: 12\r\n\r\n$/);
  });
});

describe('writing', () => {
  it('works on a Head that parsed somewhere else before', () => {
    const head = new Head(8);
    const bytes = new Uint8Array(4096);
    const first = lines('GET http://abc/ HTTP/1.1', 'Host: a', 'B: c');
    const second = lines('HTTP/1.1 200 OK', 'C: d', 'content-length: 1');
    bytes.set(latin1(first), 10);
    bytes.set(latin1(second), 1000);
    parseRequest(bytes, 10, 10 + first.length, head, LIMITS);
    const end = writeRequest(bytes, head, 2000, 4096, 0, -1, false);
    assert.equal(text(bytes, 2000, end), lines('GET / HTTP/1.1', 'Host: abc', 'B: c'));
    parseResponse(bytes, 1000, 1000 + second.length, head, METHOD.GET, LIMITS);
    const last = writeResponse(bytes, head, 2000, 4096, head.framing, head.contentLength, CONNECTION.NONE);
    assert.equal(text(bytes, 2000, last), second);
  });

  it('accepts a message at position 0', () => {
    const bytes = new Uint8Array(4096);
    const message = lines('GET / HTTP/1.1', 'Host: a');
    bytes.set(latin1(message), 0);
    const head = new Head(8);
    parseRequest(bytes, 0, message.length, head, LIMITS);
    assert.equal(text(bytes, 2000, writeRequest(bytes, head, 2000, 4096, 0, -1, false)), message);
  });
});
