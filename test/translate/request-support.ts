// Requests as the tests of their translation write and read them.
import assert from 'node:assert/strict';
import { METHOD } from '../../src/http/methods.js';
import { putKey } from '../../src/http/web-socket.js';
import { MESSAGE_ERROR } from '../../src/http1/errors.js';
import { parseRequest } from '../../src/http1/head-parser.js';
import { RequestBridge, requestFraming } from '../../src/translate/request.js';
import { latin1 } from '../http1/support.js';
import { Bench, type Field, LIMITS, OUT, sameMessage, TIMES } from './support.js';

export const bench = new Bench();
export const bridge = new RequestBridge(bench.memory);
/** The nonce of RFC 6455 section 1.3. */
export const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
export const KEY_AT = 5;
/** Where a header block is received. */
export const BLOCK_AT = 400_000;
export const keys = new Uint8Array(64);
putKey(latin1('the sample nonce'), 0, keys, KEY_AT);

export const GET: readonly Field[] = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':authority', 'example.org'],
  [':path', '/a?b'],
];
export const start = (method: string, path = '/', authority = 'x'): Field[] => [
  [':method', method],
  [':scheme', 'http'],
  [':authority', authority],
  [':path', path],
];

/** The message written, which must be the same once its fields have become a template with lines that are ready. */
export function toHttp1(fields: readonly Field[], endStream = true, absolute = false): string {
  let first = '';
  for (let time = 0; time < TIMES; time++) {
    const list = bench.list(fields);
    const message = bench.exactly(
      (at, limit) => bridge.write(list, at, limit, endStream, keys, KEY_AT, 0, 0, absolute),
      -MESSAGE_ERROR.HEADER_TOO_LARGE,
    );
    if (time === 0) first = message;
    sameMessage(message, first);
    const end = OUT + message.length;
    const accepted = parseRequest(bench.bytes, OUT, end, bench.head, LIMITS);
    assert.equal(accepted, end, `accepted by our own parser: ${JSON.stringify(message)}`);
    if (list.facts.method !== METHOD.CONNECT)
      assert.equal(bench.head.framing, requestFraming(list.facts, endStream), 'as announced');
  }
  return first;
}

export function refused(fields: readonly Field[], error: number, endStream = true): void {
  const list = bench.list(fields);
  assert.equal(
    bench.written((at, limit) => bridge.write(list, at, limit, endStream, keys, KEY_AT)),
    -error,
    JSON.stringify(fields),
  );
}

export function toHttp2(message: string, webSocket = false, host = '', carried = false): Field[] {
  const head = bench.request(message);
  const list = bench.list([]);
  const hostAt = bench.put(host);
  assert.equal(bridge.list(head, list, webSocket, hostAt, host.length, carried), 0);
  return bench.fields();
}

export const regular = ([name]: Field): boolean => !name.startsWith(':');
