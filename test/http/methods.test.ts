import assert from 'node:assert/strict';
import { it } from 'node:test';
import { isIdempotent, METHOD, methodOf } from '../../src/http/methods.js';

const numberOf = (token: string): number => {
  const bytes = Buffer.from(`<${token}>`, 'latin1');
  return methodOf(bytes, 1, bytes.length - 1);
};

it('numbers each method that has a number, by its exact name', () => {
  for (const [name, number] of Object.entries(METHOD)) {
    assert.equal(numberOf(name), number, name);
    assert.equal(numberOf(name.toLowerCase()), METHOD.OTHER, name);
    assert.equal(numberOf(`${name}S`), METHOD.OTHER, name);
  }
  assert.equal(numberOf(''), METHOD.OTHER);
  assert.equal(numberOf('BREW'), METHOD.OTHER);
});

it('takes for idempotent what RFC 9110 section 9.2.2 does, and no method that it does not know', () => {
  const names = Object.entries(METHOD).filter(([, number]) => isIdempotent(number));
  assert.deepEqual(
    names.map(([name]) => name),
    ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'TRACE'],
  );
});
