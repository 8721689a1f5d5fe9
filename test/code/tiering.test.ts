import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { thresholds } from '../../src/code/tiering.js';

describe('when V8 optimises', () => {
  it('is what it was before after a rehearsal: these are its own values', () => {
    const options = execFileSync(process.execPath, ['--v8-options'], { encoding: 'utf8', maxBuffer: 1 << 24 });
    const known = thresholds(process.versions.v8);
    assert.ok(known.length > 0);
    for (const { flag, standard: usual, early } of known) {
      // Only some versions have the middle compiler's.
      const own = new RegExp(`^ +--${flag} .*\n.*default: --${flag}=(\\d+)$`, 'm').exec(options);
      assert.equal(Number(own?.[1]), usual, flag);
      assert.ok(early < usual);
    }
  });

  it('is told to each V8 in its words', () => {
    assert.deepEqual(
      thresholds('11.3.244.8-node.38').map(({ flag }) => flag),
      ['interrupt-budget'],
    );
    assert.ok(thresholds('13.6.233.17-node.48').some(({ flag }) => flag === 'invocation-count-for-turbofan'));
  });
});
