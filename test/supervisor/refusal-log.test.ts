import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LogFields } from '../../src/log/logger.js';
import { REFUSALS, type Refused } from '../../src/proxy/refusals.js';
import { RefusalLog } from '../../src/supervisor/refusal-log.js';

function bench() {
  const lines: (LogFields & { level: string })[] = [];
  let now = 0;
  let due: { run: () => void; at: number } | null = null;
  const write =
    (level: string) =>
    (_: string, fields: LogFields = {}) =>
      void lines.push({ level, ...fields });
  const log = new RefusalLog(
    { info: write('info'), warn: write('warn') },
    () => now,
    (run, ms) => {
      due = { run, at: now + ms };
    },
  );
  const pass = (ms: number): void => {
    now += ms;
    const timer = due;
    if (timer === null || timer.at > now) return;
    due = null;
    timer.run();
  };
  return { log, lines, pass };
}

const refused = (reason: (typeof REFUSALS)[number], count: number, more: Partial<Refused> = {}): Refused => ({
  reason: REFUSALS.indexOf(reason),
  count,
  listener: '',
  client: '',
  service: '',
  endpoint: '',
  rule: '',
  identity: '',
  ...more,
});

test('the first of a reason is told at once, with who it was', () => {
  const { log, lines } = bench();
  log.add([refused('pool-exhausted', 1, { service: 'web', endpoint: '10.0.0.1:80', client: '10.1.1.1:5' })]);
  const fields = { reason: 'pool-exhausted', count: 1, service: 'web', endpoint: '10.0.0.1:80', client: '10.1.1.1:5' };
  assert.deepEqual(lines, [{ level: 'warn', ...fields }]);
});

test('those of the same second, of all workers, are one more line when it is over', () => {
  const { log, lines, pass } = bench();
  log.add([refused('memory', 3)]);
  pass(10);
  log.add([refused('memory', 4)]);
  pass(240);
  log.add([refused('memory', 5, { service: 'other' })]);
  assert.equal(lines.length, 1);
  pass(750);
  assert.deepEqual(
    lines.map(({ count }) => count),
    [3, 9],
  );
  pass(5000);
  assert.equal(lines.length, 2);
  log.add([refused('memory', 1)]);
  assert.equal(lines.length, 3);
});

test('reasons do not wait for each other, and what clients get wrong is no warning', () => {
  const { log, lines } = bench();
  log.add([refused('memory', 1), refused('bad-request', 2)]);
  log.add([refused('no-endpoint', 1)]);
  assert.deepEqual(
    lines.map(({ level, reason }) => `${level} ${String(reason)}`),
    ['warn memory', 'info bad-request', 'warn no-endpoint'],
  );
});
