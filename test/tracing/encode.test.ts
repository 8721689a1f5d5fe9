import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Reader } from '../../src/protobuf/reader.js';
import { encodeSpans } from '../../src/tracing/encode.js';
import { spanOf } from '../support/spans.js';

/** Names of attributes in a message, wherever they are. */
const texts = (body: Buffer): string => body.toString('latin1');

test('a span has the attributes of the conventions, and no query', () => {
  const body = encodeSpans(
    [spanOf({ path: '/a/b?secret=1', userAgent: 'agent/1' })],
    { 'service.name': 'shop' },
    '1.2',
  );
  const text = texts(body);
  for (const part of [
    'service.name',
    'shop',
    'http.request.method',
    'url.path',
    '/a/b',
    'user_agent.original',
    'agent/1',
  ])
    assert.ok(text.includes(part), part);
  assert.ok(!text.includes('secret'));
  const reader = new Reader(body);
  let fields = 0;
  while (reader.next()) {
    assert.equal(reader.field, 1);
    reader.message();
    fields++;
  }
  assert.equal(fields, 1);
});

test('an absolute target has a path, and an odd method is not a name', () => {
  const text = texts(encodeSpans([spanOf({ path: 'http://a.example/x?y', method: 'BREW' })], {}, '1'));
  assert.ok(text.includes('/x') && !text.includes('a.example/x'));
  assert.ok(text.includes('_OTHER') && text.includes('BREW') && text.includes('HTTP'));
});
