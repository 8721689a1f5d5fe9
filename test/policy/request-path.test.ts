import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ascii } from '../../src/http/octets.js';
import { isAmbiguous, matchesPath, pathEnd, resemblesPath } from '../../src/policy/request-path.js';

const ambiguous = (path: string): boolean => isAmbiguous(ascii(path), 0, path.length);

test('what all applications read alike is plain', () => {
  for (const path of [
    '/',
    '/a',
    '/a/',
    '/a/b.c',
    '/a/...',
    '/a/..b',
    '/a/.well-known/x',
    "/a~b!$&'()*+,=:@",
    '/a%20b',
    '/a%7Cb',
    '/%e4%b8%ad',
    '/%C3%A4',
    '/%e0%a4%85',
    '/%f0%9f%98%80',
    '*',
    '',
  ])
    assert.equal(ambiguous(path), false, path);
});

test('what some application may read as another path is ambiguous', () => {
  for (const path of [
    '//',
    '//a',
    '/a//b',
    '/a//',
    '/.',
    '/..',
    '/./a',
    '/a/../b',
    '/a/..',
    '/a/.',
    '/a;b',
    '/a;',
    '/a/..;/b',
    '/a\\b',
    '/a%2fb',
    '/a%2Fb',
    '/%2e%2e/b',
    '/.%2e/b',
    '/a%5cb',
    '/%61',
    '/%41',
    '/a%3bb',
    '/a%3fb',
    '/a%23b',
    '/a%25b',
    '/a%252fb',
    '/a%00',
    '/a%0d%0a',
    '/a%7f',
    '/a%',
    '/a%2',
    '/a%zz',
    '/a%u002f',
    '/%c0%af',
    '/%c1%9c',
    '/%e0%80%af',
    '/%e0%9f%bf',
    '/%e0',
    '/%f0%80%80%af',
    '/%f0%8f%bf%bf',
    '/%f5',
    '/%ff',
    '/a\u007f',
    '/\u00e4',
    '/a b',
    '/a\tb',
  ])
    assert.equal(ambiguous(path), true, path);
});

test('every encoded octet is either harmless or refused', () => {
  for (let octet = 0; octet < 128; octet++) {
    const code = `/a%${octet.toString(16).padStart(2, '0')}`;
    assert.equal(ambiguous(code), !' "<>[]^`{|}'.includes(String.fromCharCode(octet)), code);
  }
});

test('the query is no part of the path', () => {
  const end = (target: string): string => target.slice(0, pathEnd(ascii(target), 0, target.length));
  assert.deepEqual(['/a?b', '/a', '?b', '/a??', ''].map(end), ['/a', '/a', '', '/a', '']);
});

test('a prefix ends with a segment', () => {
  const match = (path: string, of: string, exact: boolean): [boolean, boolean] => [
    matchesPath(ascii(path), 0, path.length, ascii(of), exact),
    resemblesPath(ascii(path), 0, path.length, ascii(of.toLowerCase()), exact),
  ];
  assert.deepEqual(match('/api', '/api', false), [true, true]);
  assert.deepEqual(match('/api/x', '/api', false), [true, true]);
  assert.deepEqual(match('/api/', '/api', false), [true, true]);
  assert.deepEqual(match('/apis', '/api', false), [false, false]);
  assert.deepEqual(match('/ap', '/api', false), [false, false]);
  assert.deepEqual(match('/API/x', '/api', false), [false, true]);
  assert.deepEqual(match('/api/x', '/Api', false), [false, true]);
  assert.deepEqual(match('/api', '/api', true), [true, true]);
  assert.deepEqual(match('/api/', '/api', true), [false, true]);
  assert.deepEqual(match('/api/x', '/api', true), [false, false]);
});

// Ways in which servers read paths, one after the other in any order.
const decode = (path: string): string =>
  path
    .replace(/%c0%af/gi, '/')
    .replace(/%([0-7][0-9a-f])/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
const READINGS: readonly ((path: string) => string)[] = [
  decode,
  decode,
  (path) => path.replace(/;[^/]*/g, ''),
  (path) => path.replace(/\\/g, '/'),
  (path) => path.replace(/\/{2,}/g, '/'),
  (path) => {
    const kept: string[] = [];
    for (const segment of path.split('/')) {
      if (segment === '..') kept.pop();
      else if (segment !== '.') kept.push(segment);
    }
    return `/${kept.filter((segment, i) => segment !== '' || i > 0).join('/')}`;
  },
  (path) => path.toLowerCase(),
  (path) => path.split('\0')[0],
  (path) => path.split('?')[0],
];
const PIECES = [
  '/',
  '/',
  '/a',
  '/b',
  'a',
  'b',
  '.',
  '..',
  '%2e',
  '%2E',
  '%2f',
  '%2F',
  '%5c',
  '\\',
  ';',
  ';x',
  '%61',
  '%25',
  '%252e',
  '%252f',
  '%00',
  '%3b',
  '%3f',
  '%c0%af',
  '%20',
  'A',
  '?',
  '%',
];

const target = fc.array(fc.constantFrom(...PIECES), { maxLength: 8 }).map((pieces) => `/${pieces.join('')}`);
const order = fc.shuffledSubarray([...READINGS.keys()], { minLength: 0 });

test('what a rule allows no server reads as something else, and what some server reads as denied is denied', () => {
  fc.assert(
    fc.property(target, order, fc.boolean(), (text, ways, exact) => {
      const bytes = ascii(text);
      const end = pathEnd(bytes, 0, bytes.length);
      const read = ways.reduce((path, way) => READINGS[way](path), text.slice(0, end));
      const within = (path: string): boolean => path === '/a' || path === '/a/' || (!exact && path.startsWith('/a/'));
      const plain = !isAmbiguous(bytes, 0, end);
      if (plain && matchesPath(bytes, 0, end, ascii('/a'), exact))
        assert.ok(within(read), `${text} is read as ${read}`);
      if (within(read))
        assert.ok(!plain || resemblesPath(bytes, 0, end, ascii('/a'), exact), `${text} is read as ${read}`);
    }),
    { numRuns: 20_000 },
  );
});
