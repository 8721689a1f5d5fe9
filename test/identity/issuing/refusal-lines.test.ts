// Strangers who are refused without end fill no log.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { RefusalLines } from '../../../src/identity/issuing/refusal-lines.js';

it('twenty refusals of one reason in a second have a line each, the others one together', () => {
  const lines: [string, unknown][] = [];
  const timers: (() => void)[] = [];
  let now = 0;
  const refusals = new RefusalLines(
    { warn: (message, fields) => lines.push([message, fields]) },
    () => now,
    (run) => timers.push(run),
  );
  for (let at = 0; at < 100; at++) refusals.add('bad-token', { at });
  refusals.add('overload', {});
  assert.equal(lines.length, 21);
  assert.equal(timers.length, 1);
  now = 1000;
  timers[0]();
  assert.deepEqual(lines.at(-1), ['certificates refused without a line each', { reason: 'bad-token', count: 80 }]);
  refusals.add('bad-token', { at: 100 });
  assert.deepEqual(lines.at(-1), ['certificate refused', { at: 100 }]);
  assert.equal(lines.length, 23);
});
