// Rates and times as people write and read them.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import {
  formatBytes,
  formatClock,
  formatRate,
  formatTime,
  parseRate,
  parseSeconds,
  parseSteps,
} from '../../src/load/amounts.js';

it('rates are read', () => {
  assert.equal(parseRate('500'), 500);
  assert.equal(parseRate('20k'), 20_000);
  assert.equal(parseRate('1.5M'), 1_500_000);
  assert.equal(parseRate('0.5/s'), 0.5);
  for (const text of ['', 'k', '-1', '10kk', '1e3', '20 k', 'fast', '0', '0.0k', '200M'])
    assert.throws(() => parseRate(text), { name: 'ValueError' }, text);
});

it('times are read', () => {
  assert.equal(parseSeconds('30s', '1s'), 30);
  assert.equal(parseSeconds('2m', '1s'), 120);
  assert.equal(parseSeconds('250ms', '10ms'), 0.25);
  assert.equal(parseSeconds('0', '1s', true), 0);
  for (const text of ['30', '5ms', 'soon', '2d', '48h'])
    assert.throws(() => parseSeconds(text, '1s'), { name: 'ValueError' }, text);
});

it('steps are read', () => {
  assert.deepEqual(parseSteps('1k:10s,2k:500ms'), [
    { rate: 1000, seconds: 10 },
    { rate: 2000, seconds: 0.5 },
  ]);
  for (const text of ['1k', '1k:', '1k:10s,', ':10s', '1k:10s:2'])
    assert.throws(() => parseSteps(text), { name: 'ValueError' }, text);
});

it('what is shown has three digits', () => {
  assert.equal(formatTime(7.25), '7.3 µs');
  assert.equal(formatTime(999), '999 µs');
  assert.equal(formatTime(12_345), '12.3 ms');
  assert.equal(formatTime(2_500_000), '2.50 s');
  assert.equal(formatRate(12.34), '12.3/s');
  assert.equal(formatRate(1_234_567), '1,234,567/s');
  assert.equal(formatBytes(1_234_567), '1.23 MB');
  assert.equal(formatClock(59), '59 s');
  assert.equal(formatClock(61), '1:01');
  assert.equal(formatClock(3_725), '1:02:05');
});
