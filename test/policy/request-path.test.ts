import assert from 'node:assert/strict';
import { test } from 'node:test';
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
