import assert from 'node:assert/strict';
import { memoryUsage } from 'node:process';
import { test } from 'node:test';
import { isLarge, returnMemory } from '../../src/io/heap.js';
import { native } from '../../src/io/native.js';

test('what a large start leaves behind is given back', async () => {
  const before = memoryUsage().heapTotal;
  let garbage: unknown[] | undefined = Array.from({ length: 1_000_000 }, (_, index) => ({ index }));
  assert.equal(garbage.length, 1_000_000);
  garbage = undefined;
  const full = memoryUsage().heapTotal;
  await returnMemory(native());
  assert.ok(memoryUsage().heapTotal < before + (full - before) / 2);
});

test('services and endpoints count alike', () => {
  assert.equal(isLarge([]), false);
  assert.equal(isLarge([[], [1, 2, 3]]), false);
  assert.equal(isLarge([new Array(4095)]), true);
  assert.equal(isLarge(new Array(4096).fill([])), true);
});
