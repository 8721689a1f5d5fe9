import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTap } from '../../src/tap/parse.js';
import { asksForAnswer, asksForHttp } from '../../src/tap/request.js';
import { TokenBucket } from '../../src/tap/token-bucket.js';

const parse = (query: string) => parseTap(new URLSearchParams(query), 1, 1000);

test('a query without anything asks for all', () => {
  const asked = parse('');
  assert.equal(asked.maxRps, 100);
  assert.equal(asksForAnswer(asked), false);
  assert.equal(asksForHttp(asked), false);
});

test('all parts of a query', () => {
  const asked = parse(
    'method=GET&path=/a%20b&authority=Web.Example:80&service=web&peer=10.0.0.0/8&status=5xx&latencyAbove=1.5s&maxRps=7',
  );
  assert.deepEqual(
    [asked.method, asked.path, asked.authority, asked.service, asked.network?.text, asked.identity],
    ['GET', '/a b', 'web.example:80', 'web', '10.0.0.0/8', null],
  );
  assert.deepEqual([asked.statusFrom, asked.statusTo, asked.latencyAboveMs, asked.maxRps], [500, 599, 1500, 7]);
  assert.deepEqual(parse('latencyAbove=20').latencyAboveMs, 20);
  assert.deepEqual([parse('status=404').statusFrom, parse('status=404').statusTo], [404, 404]);
  assert.deepEqual([parse('status=400-499').statusFrom, parse('status=400-499').statusTo], [400, 499]);
  assert.equal(parse('peer=web.shop.serviceaccount.identity.linkerd.cluster.local').network, null);
  assert.equal(parse('peer=spiffe://a/b').identity, 'spiffe://a/b');
  assert.equal(parse('maxRps=999999').maxRps, 1000, 'the configuration bounds it');
});

test('what is wrong is named, with what to write instead', () => {
  for (const [query, message] of [
    ['methd=GET', /unknown parameter methd; did you mean "method"/],
    ['path=x', /: path: "x" is not the beginning of a path; write \/x/],
    ['method=', /: method: is empty/],
    ['method=A&method=B', /given twice/],
    ['status=6', /: status: "6" is not a status/],
    ['status=499-400', /: status: /],
    ['status=0xx', /: status: /],
    ['latencyAbove=fast', /: latencyAbove: /],
    ['latencyAbove=-1ms', /: latencyAbove: /],
    ['maxRps=0', /: maxRps: /],
    ['maxRps=1e3', /: maxRps: /],
    ['peer=10.0.0.1/8', /: peer: .*bits set beyond/],
    ['peer=10.0.0', /: peer: /],
    [`path=/${'x'.repeat(2000)}`, /: path: is longer than 1024/],
  ] as const) {
    assert.throws(() => parse(query), message, query);
  }
});

test('so many a second, and what is beyond is counted', () => {
  const clock = { now: 0 };
  const bucket = new TokenBucket(10, clock);
  const admitted = (count: number) => Array.from({ length: count }, () => bucket.admits()).filter(Boolean).length;
  assert.equal(admitted(15), 10);
  assert.equal(bucket.takeRefused(), 5);
  clock.now = 100;
  assert.equal(admitted(3), 1);
  clock.now = 60_000;
  assert.equal(admitted(30), 10, 'what was not used is not saved up');
  clock.now = 59_000;
  assert.equal(admitted(1), 0, 'a clock that goes back brings nothing');
});
