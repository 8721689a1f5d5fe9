// How many requests begin, and for whom.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Admission } from '../../../src/identity/issuing/admission.js';

it('no more are worked on than may be, and one address leaves room for others', () => {
  const admission = new Admission({ maxConcurrent: 10, maxRate: 1000 }, () => 0);
  const greedy = Array.from({ length: 20 }, () => admission.enter('a')).filter(Boolean).length;
  assert.equal(greedy, 5);
  const others = Array.from({ length: 20 }, (_, at) => admission.enter(`b${at}`)).filter(Boolean).length;
  assert.equal(others, 5);
  assert.equal(admission.concurrent, 10);
  assert.equal(admission.enter('c'), false);
  admission.leave('b0');
  assert.equal(admission.enter('a'), false);
  assert.equal(admission.enter('c'), true);
});

it('no more begin in a second than may, and the next second is a new one', () => {
  let now = 0;
  const admission = new Admission({ maxConcurrent: 100, maxRate: 10 }, () => now);
  const begin = (address: string): boolean => {
    const entered = admission.enter(address);
    if (entered) admission.leave(address);
    return entered;
  };
  assert.equal(Array.from({ length: 20 }, () => begin('a')).filter(Boolean).length, 5);
  assert.equal(Array.from({ length: 20 }, (_, at) => begin(`b${at}`)).filter(Boolean).length, 5);
  assert.equal(begin('c'), false);
  now = 1000;
  assert.equal(begin('a'), true);
  assert.equal(admission.concurrent, 0);
});
