import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GcLog } from '../../bench/gc-log.js';

const NODE_20 = [
  '[7:0x2fa58fa0]       84 ms: Scavenge 4.2 (4.5) -> 3.7 (5.5) MB, 2.38 / 0.01 ms  (average mu = 1.000, current mu = 1.000) task; ',
  'Sluice is ready',
  '[7:0x7fb9e0000f00]     2397 ms: Scavenge 7.2 (9.2) -> 6.2 (9.2) MB, 0.40 / 0.00 ms  (average mu = 0.993) allocation failure; ',
  '[7:0x7fb9e0000f00]     2697 ms: Mark-Compact (reduce) 7.3 (9.2) -> 5.3 (9.2) MB, 7.50 / 0.00 ms  (average mu = 0.993) task; ',
  '[7:0x7fb9e0000f00]     2951 ms: Scavenge 7.1 (9.2) -> 6.3 (9.2) MB, 0.50 / 0.00 ms  (average mu = 0.993) task; ',
];
/** As later versions of V8 name an isolate. */
const NODE_24 = NODE_20.map((line) => line.replace(/:(0x\w+)\]/, ':$1:0]'));

describe('the log of collections', () => {
  for (const [version, lines] of [
    ['Node 20', NODE_20],
    ['Node 24', NODE_24],
  ] as const) {
    it(`counts what was allocated between collections, by isolate, whatever the pieces it comes in (${version})`, () => {
      const text = `${lines.join('\n')}\n`;
      for (const size of [1, 7, text.length]) {
        const log = new GcLog();
        for (let at = 0; at < text.length; at += size) log.feed(text.slice(at, at + size));
        const [main, worker, ...others] = log.collections();
        assert.equal(others.length, 0);
        assert.deepEqual(main, { scavenges: 1, marks: 0, allocated: 0, paused: 2.38 });
        assert.equal(worker.scavenges, 2);
        assert.equal(worker.marks, 1);
        // 7.3 − 6.2 and 7.1 − 5.3; what was allocated before the first line is not known.
        assert.ok(Math.abs(worker.allocated - 2.9) < 1e-9);
        assert.ok(Math.abs(worker.paused - 8.4) < 1e-9);
      }
    });
  }

  it('remembers across a restart what the last collection left', () => {
    const log = new GcLog();
    log.feed(`${NODE_20.slice(0, 3).join('\n')}\n`);
    log.restart();
    log.feed(`${NODE_20[3]}\n`);
    const [main, worker] = log.collections();
    assert.deepEqual(main, { scavenges: 0, marks: 0, allocated: 0, paused: 0 });
    assert.ok(Math.abs(worker.allocated - 1.1) < 1e-9);
  });
});
