import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { DurationRange } from '../../src/config/values.js';
import {
  formatSize,
  parseBoolean,
  parseChoice,
  parseDuration,
  parseEndpoint,
  parseInteger,
  parseListen,
  parseName,
  parseNumber,
  parsePorts,
  parseSize,
  ValueError,
} from '../../src/config/values.js';
import { runs } from '../support/runs.js';

const milliseconds: DurationRange = { in: 'ms', step: 0 };

/** The message of a refusal. */
function refusal(parse: () => unknown): string {
  try {
    return `accepted: ${JSON.stringify(parse())}`;
  } catch (error) {
    assert.ok(error instanceof ValueError, String(error));
    return error.message;
  }
}

test('durations carry a unit and come out in milliseconds or microseconds', () => {
  const cases: [unknown, number][] = [
    ['50us', 0.05],
    ['50ms', 50],
    ['10s', 10_000],
    ['1.5s', 1500],
    ['1.1ms', 1.1],
    ['10m', 600_000],
    ['1h', 3_600_000],
    [0, 0],
    ['0', 0],
    ['0s', 0],
  ];
  for (const [text, expected] of cases) assert.equal(parseDuration(text, milliseconds), expected, String(text));
  assert.equal(parseDuration('50us', { in: 'us', step: 1 }), 50);
});

test('a duration without a unit is refused and told which units there are', () => {
  assert.match(
    refusal(() => parseDuration(10, milliseconds)),
    /^10 has no unit; write "10ms" or "10s"/,
  );
  assert.match(
    refusal(() => parseDuration('10', milliseconds)),
    /"10" is not a duration; write one number and one of the units/,
  );
});

test('what is not a duration is refused', () => {
  for (const text of ['', 's', '10 s', '10sec', '-1s', '1m30s', '1e3s', '.5s', '10S', 'auto', 'Infinitys']) {
    assert.match(
      refusal(() => parseDuration(text, milliseconds)),
      /is not a duration; write/,
      text,
    );
  }
  for (const other of [null, true, [], {}])
    assert.match(
      refusal(() => parseDuration(other, milliseconds)),
      /^found .*; write a duration/,
    );
});

test('durations keep to their range and step', () => {
  const range: DurationRange = { in: 'ms', step: 1, min: '1ms', max: '1h' };
  assert.match(
    refusal(() => parseDuration('500us', range)),
    /^500us is too short; write at least 1ms$/,
  );
  assert.match(
    refusal(() => parseDuration(0, range)),
    /^0 is too short/,
  );
  assert.match(
    refusal(() => parseDuration('61m', range)),
    /^61m is too long; write at most 1h$/,
  );
  assert.match(
    refusal(() => parseDuration('1500us', range)),
    /^1500us is too precise; write whole milliseconds$/,
  );
  assert.equal(parseDuration('0s', { ...range, orZero: true }), 0);
  assert.match(
    refusal(() => parseDuration('1us', { ...range, orZero: true })),
    /at least 1ms, or 0 for none$/,
  );
  assert.match(
    refusal(() => parseDuration('1500ms', { in: 'ms', step: 1000 })),
    /write whole seconds$/,
  );
  assert.match(
    refusal(() => parseDuration('1.5us', { in: 'us', step: 1 })),
    /write whole microseconds$/,
  );
});

test('no duration exceeds what a 32-bit millisecond timer holds', () => {
  assert.equal(parseDuration('596h', milliseconds), 2_145_600_000);
  assert.match(
    refusal(() => parseDuration('597h', milliseconds)),
    /too long; write at most 596h/,
  );
});

test('whole milliseconds survive every unit that can express them', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2_000_000_000 }), (value) => {
      assert.equal(parseDuration(`${value}ms`, { in: 'ms', step: 1 }), value);
      assert.equal(parseDuration(`${(value / 1000).toFixed(3)}s`, { in: 'ms', step: 1 }), value);
    }),
  );
});

test('sizes are bytes or carry a binary unit', () => {
  assert.equal(parseSize(1000, 0, 1e9), 1000);
  assert.equal(parseSize('1000', 0, 1e9), 1000);
  assert.equal(parseSize('5B', 0, 1e9), 5);
  assert.equal(parseSize('16KiB', 0, 1e9), 16_384);
  assert.equal(parseSize('1.5MiB', 0, 1e9), 1_572_864);
  assert.equal(parseSize('1GiB', 0, 2e9), 2 ** 30);
});

test('sizes out of range, of unknown unit or in parts of a byte are refused', () => {
  for (const bad of ['64MB', '64M', '64 KiB', 'much', '-1', null, true, {}]) {
    assert.match(
      refusal(() => parseSize(bad, 0, 1e9)),
      /write a size such as "64KiB" or "1MiB"/,
    );
  }
  assert.match(
    refusal(() => parseSize('0.3B', 0, 10)),
    /not a whole number of bytes/,
  );
  assert.match(
    refusal(() => parseSize(1.5, 0, 10)),
    /not a whole number of bytes/,
  );
  assert.match(
    refusal(() => parseSize('1KiB', 2048, 1e9)),
    /too small; write at least 2KiB/,
  );
  assert.match(
    refusal(() => parseSize('1GiB', 0, 16_128)),
    /too large; write at most 16128/,
  );
});

test('sizes are printed as they are written', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 40 }), (bytes) => parseSize(formatSize(bytes), 0, 2 ** 40) === bytes),
  );
});

test('scalars of the wrong type are refused and shown', () => {
  assert.match(
    refusal(() => parseInteger('5', 1, 9)),
    /"5" is text; remove the quotes/,
  );
  for (const bad of [0, 10, 1.5, Number.NaN, null, 'x', []])
    assert.match(
      refusal(() => parseInteger(bad, 1, 9)),
      /write a whole number from 1 to 9/,
    );
  for (const bad of [-0.1, 1.1, Number.NaN, '0.5', null])
    assert.match(
      refusal(() => parseNumber(bad, 0, 1)),
      /write a number from 0 to 1/,
    );
  for (const bad of ['yes', 'true', 1, null])
    assert.match(
      refusal(() => parseBoolean(bad)),
      /write true or false, without quotes/,
    );
  assert.match(
    refusal(() => parseChoice('epol', ['auto', 'uring', 'epoll'])),
    /did you mean "epoll"\?/,
  );
  assert.match(
    refusal(() => parseChoice(3, ['auto', 'epoll'])),
    /found 3; write one of auto, epoll/,
  );
  assert.match(
    refusal(() => parseInteger('x'.repeat(500), 1, 9)),
    /^found "x{77}\.\.\."/,
  );
});

test('names are short and plain', () => {
  for (const name of ['web', '_x', '9', 'a.b-c_d:80/x', 'x'.repeat(253)]) assert.equal(parseName(name), name);
  assert.equal(parseName(7), '7');
  for (const name of ['', ' ', 'a b', '-a', 'ä', 'a"b', 'a\n', 'x'.repeat(254)])
    assert.match(
      refusal(() => parseName(name)),
      /is not a valid name; use/,
    );
  for (const name of ['__proto__', 'constructor', 'prototype'])
    assert.match(
      refusal(() => parseName(name)),
      /is reserved/,
    );
});

test('addresses to listen on are numeric and canonical', () => {
  assert.deepEqual(parseListen('127.0.0.1:8080'), { host: '127.0.0.1', port: 8080 });
  assert.deepEqual(parseListen('[::1]:80'), { host: '::1', port: 80 });
  assert.deepEqual(parseListen('[2001:DB8:0:0::1]:80'), { host: '2001:db8::1', port: 80 });
  assert.deepEqual(parseListen(':8080'), { host: '::', port: 8080 });
  assert.deepEqual(parseListen('127.0.0.1:0'), { host: '127.0.0.1', port: 0 });
});

test('addresses that are incomplete, ambiguous or out of range are refused with a correction', () => {
  const cases: [unknown, RegExp][] = [
    [8080, /8080 has no host; write an address and a port, such as "127\.0\.0\.1:8080"/],
    [null, /found nothing; write "127\.0\.0\.1:8080"/],
    ['', /found ""; write/],
    ['localhost:80', /"localhost" is not numeric; write "127\.0\.0\.1:80"/],
    ['eth0:80', /"eth0" is not numeric; write a numeric address such as "0\.0\.0\.0:80"/],
    ['300.0.0.1:80', /is not numeric/],
    ['127.0.0.1', /has no port; write "127\.0\.0\.1:8080"/],
    ['127.0.0.1:', /"" is not a port/],
    ['127.0.0.1:65536', /"65536" is not a port; write a number from 0 to 65535/],
    ['127.0.0.1:-1', /is not a port/],
    ['127.0.0.1:8o', /is not a port/],
    ['::1', /put the IPv6 address in brackets/],
    ['::1:8080', /put the IPv6 address in brackets/],
    ['[::1]', /has no port; write "\[::1\]:8080"/],
    ['[127.0.0.1]:80', /no IPv6 address in its brackets/],
    ['[fe80::1%eth0]:80', /names an interface/],
    ['http://127.0.0.1:80', /is a URL/],
  ];
  for (const [text, expected] of cases)
    assert.match(
      refusal(() => parseListen(text)),
      expected,
      String(text),
    );
});

test('endpoints are static addresses, names or service records', () => {
  assert.deepEqual(parseEndpoint('127.0.0.1:9001'), { kind: 'static', address: { host: '127.0.0.1', port: 9001 } });
  assert.deepEqual(parseEndpoint('[::1]:80'), { kind: 'static', address: { host: '::1', port: 80 } });
  assert.deepEqual(parseEndpoint('name.example:80'), { kind: 'dns', name: 'name.example', port: 80 });
  assert.deepEqual(parseEndpoint('web:80'), { kind: 'dns', name: 'web', port: 80 });
  assert.deepEqual(parseEndpoint('srv:_http._tcp.name.example'), { kind: 'srv', name: '_http._tcp.name.example' });
});

test('endpoints that cannot be dialled are refused', () => {
  const cases: [unknown, RegExp][] = [
    [':80', /has no host; write "127\.0\.0\.1:80"/],
    ['127.0.0.1:0', /"0" is not a port; write a number from 1/],
    ['300.1.1.1:80', /neither an IPv4 address nor a name/],
    ['a..b:80', /is not a host name/],
    ['-a:80', /is not a host name/],
    [`${'x'.repeat(64)}:80`, /is not a host name/],
    ['srv:_a._tcp.b:80', /brings its own; remove it/],
    ['srv:', /is not a host name/],
    ['http://a:80', /is a URL/],
    ['name.example', /has no port; write "name\.example:8080"/],
    [['a'], /found a list/],
  ];
  for (const [text, expected] of cases)
    assert.match(
      refusal(() => parseEndpoint(text)),
      expected,
      String(text),
    );
});

test('ports stand alone or in ranges', () => {
  assert.deepEqual(parsePorts(25), { first: 25, last: 25 });
  assert.deepEqual(parsePorts('25'), { first: 25, last: 25 });
  assert.deepEqual(parsePorts('4000-4010'), { first: 4000, last: 4010 });
  assert.deepEqual(parsePorts('4000 - 4010'), { first: 4000, last: 4010 });
  assert.match(
    refusal(() => parsePorts('10-5')),
    /is in the wrong order; write "5-10"/,
  );
  for (const bad of [0, 65_536, 1.5, -1, 'x', '1-65536', '0-1'])
    assert.match(
      refusal(() => parsePorts(bad)),
      /is not a port/,
    );
  assert.match(
    refusal(() => parsePorts(null)),
    /found nothing; write a port/,
  );
});

test('no input makes a parser throw anything but a ValueError', () => {
  const parsers = [
    (input: unknown) => parseDuration(input, milliseconds),
    (input: unknown) => parseSize(input, 0, 1e9),
    (input: unknown) => parseInteger(input, 0, 9),
    parseName,
    parseListen,
    parseEndpoint,
    parsePorts,
  ];
  const hostile = fc.stringMatching(/^[[\]:.%a-f0-9srv_ -]{0,24}$/);
  fc.assert(
    fc.property(fc.oneof(fc.anything(), fc.string(), hostile), (input) => {
      for (const parse of parsers) refusal(() => parse(input));
    }),
    { numRuns: runs(500) },
  );
});
