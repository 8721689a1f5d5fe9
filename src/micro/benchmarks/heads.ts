// The first bytes of a connection, and HTTP/1 heads.
import { match, START } from '../../detect/matcher.js';
import { METHOD } from '../../http/methods.js';
import { Head } from '../../http1/head.js';
import { parseRequest, parseResponse } from '../../http1/head-parser.js';
import type { MicroBenchmark } from '../benchmark.js';

const LIMITS = { maxHeaderBytes: 65_536, maxHeaders: 100, maxTargetBytes: 8192 };

const REQUEST = [
  'GET /api/v1/items/48213?fields=name,price&page=3 HTTP/1.1',
  'host: items.shop.svc.cluster.local:8080',
  'user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0',
  'accept: application/json',
  'accept-encoding: gzip, deflate, br',
  'x-request-id: 7d1b1c0e-4f5a-4a53-9f0c-1c9b6f1e6f5d',
  'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  'cookie: session=2f9c1be0a7; theme=dark',
  '',
  '',
].join('\r\n');

const RESPONSE = [
  'HTTP/1.1 200 OK',
  'content-type: application/json; charset=utf-8',
  'content-length: 1532',
  'date: Mon, 02 Mar 2026 10:11:12 GMT',
  'etag: "5c7-x1yQ2m8"',
  'cache-control: private, max-age=0',
  'vary: accept-encoding',
  '',
  '',
].join('\r\n');

export const detector: MicroBenchmark = {
  name: 'detector',
  what: `verdict over the first ${REQUEST.length} octets of an HTTP/1 request`,
  prepare: (arena) => {
    const at = arena.text(REQUEST);
    const { bytes } = arena;
    return {
      run(times) {
        let sum = 0;
        for (let i = 0; i < times; i++) sum += match(START, bytes, at, at + REQUEST.length);
        return sum;
      },
    };
  },
};

export const requestHead: MicroBenchmark = {
  name: 'http1-request',
  what: `a request head of ${REQUEST.length} octets`,
  prepare: (arena) => {
    const at = arena.text(REQUEST);
    const head = new Head(LIMITS.maxHeaders);
    const { bytes } = arena;
    return {
      run(times) {
        let sum = 0;
        for (let i = 0; i < times; i++) sum += parseRequest(bytes, at, at + REQUEST.length, head, LIMITS);
        return sum;
      },
    };
  },
};

export const responseHead: MicroBenchmark = {
  name: 'http1-response',
  what: `a response head of ${RESPONSE.length} octets`,
  prepare: (arena) => {
    const at = arena.text(RESPONSE);
    const head = new Head(LIMITS.maxHeaders);
    const { bytes } = arena;
    return {
      run(times) {
        let sum = 0;
        for (let i = 0; i < times; i++) sum += parseResponse(bytes, at, at + RESPONSE.length, head, METHOD.GET, LIMITS);
        return sum;
      },
    };
  },
};
