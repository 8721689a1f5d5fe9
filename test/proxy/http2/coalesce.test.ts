import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { completionsToAwait } from '../../../src/proxy/http2/coalesce.js';

describe('what a turn waits for', () => {
  it('is the next completion where little is in flight', () => {
    assert.equal(completionsToAwait(0, 0, 0), 1);
    assert.equal(completionsToAwait(127, 7, 7), 1);
  });

  it('is a share of what is in flight, never more than a turn makes use of', () => {
    assert.equal(completionsToAwait(256, 0, 0), 32);
    assert.equal(completionsToAwait(0, 40, 10), 10);
    assert.equal(completionsToAwait(0, 320, 10), 32);
    assert.equal(completionsToAwait(128, 40, 10), 16);
  });

  it('is all of it where each client has one stream, from a dozen on', () => {
    assert.equal(completionsToAwait(0, 11, 11), 2);
    assert.equal(completionsToAwait(0, 12, 12), 12);
    assert.equal(completionsToAwait(0, 24, 24), 24);
    assert.equal(completionsToAwait(0, 24, 23), 6);
    assert.equal(completionsToAwait(0, 64, 64), 32);
  });
});
