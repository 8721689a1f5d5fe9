import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { READY_BYTES, RECEIVED_BYTES, ReadyBlocks, ReceivedBlocks } from '../../src/hpack/memory/block-cache.js';
import { HeaderText } from '../../src/hpack/memory/header-text.js';
import { Template } from '../../src/hpack/memory/template.js';

const BASE = 4096;
const OWNER = 1;
const VERSION = 5;

function start() {
  const bytes = new Uint8Array(256 * 1024);
  bytes.set(Buffer.from('first block, second one'));
  return { bytes, text: new HeaderText(bytes, 64 * 1024, 128 * 1024, 128 * 1024, 1024) };
}

// All blocks share the one set of places that there is.
describe('blocks in use that share their places', () => {
  it('are both found, of those that were received', () => {
    const { text } = start();
    const blocks = new ReceivedBlocks(text, BASE, 2 * RECEIVED_BYTES);
    const all = [0, 13].map((at, i) => ({ at, length: 10, template: new Template(i + 1, 0, 0) }));
    for (let round = 0; round < 4; round++)
      for (const { at, length, template } of all)
        if (blocks.find(at, length, OWNER, VERSION) === null) blocks.keep(at, length, OWNER, VERSION, template);
    for (const { at, length, template } of all) {
      assert.equal(blocks.find(at, length, OWNER, VERSION), template);
      assert.equal(blocks.find(at, length, OWNER, VERSION + 1), null);
      assert.equal(blocks.find(at, length, OWNER + 1, VERSION), null);
      assert.equal(blocks.find(at, length - 1, OWNER, VERSION), null);
    }
    blocks.newEpoch();
    assert.equal(blocks.find(0, 10, OWNER, VERSION), null);
  });

  it('are both at hand, of those to be sent, and have one place each', () => {
    const { bytes, text } = start();
    const blocks = new ReadyBlocks(bytes, text.view, BASE, 2 * READY_BYTES);
    const all = [0, 13].map((at, i) => ({ at, end: at + 10, template: new Template(i + 1, 0, 0) }));
    for (let round = 0; round < 4; round++)
      for (const { at, end, template } of all) {
        const slot = blocks.slot(template, OWNER);
        if (!blocks.has(slot, template, OWNER, VERSION)) blocks.keep(slot, template, OWNER, VERSION, 0, at, end);
      }
    for (const { at, template } of all) {
      const slot = blocks.slot(template, OWNER);
      assert.ok(blocks.has(slot, template, OWNER, VERSION));
      assert.equal(blocks.copy(slot, 2048), 2058);
      assert.deepEqual(bytes.subarray(2048, 2058), bytes.subarray(at, at + 10));
      // Of another version of the table it is the same place, and it is not at hand.
      blocks.keep(slot, template, OWNER, VERSION + 1, 0, at, at + 10);
      assert.equal(blocks.slot(template, OWNER), slot);
      assert.ok(!blocks.has(slot, template, OWNER, VERSION));
    }
  });
});

describe('blocks that are forgotten', () => {
  it('are not found, whatever is where their octets were', () => {
    const { bytes, text } = start();
    const unused: number[][] = [];
    const received = new ReceivedBlocks(text, BASE, 2 * RECEIVED_BYTES);
    const template = new Template(1, 0, 0);
    received.keep(0, 10, OWNER, VERSION, template);
    received.forget((at, length) => unused.push([at, length]));
    assert.equal(received.find(0, 10, OWNER, VERSION), null);
    const ready = new ReadyBlocks(bytes, text.view, BASE, 2 * READY_BYTES);
    const slot = ready.slot(template, OWNER);
    ready.keep(slot, template, OWNER, VERSION, 0, 0, 10);
    ready.forget((at, length) => unused.push([at, length]));
    assert.equal(ready.has(slot, template, OWNER, VERSION), false);
    assert.deepEqual(unused, [
      [BASE, 2 * RECEIVED_BYTES],
      [BASE, 2 * READY_BYTES],
    ]);
    received.keep(0, 10, OWNER, VERSION, template);
    assert.equal(received.find(0, 10, OWNER, VERSION), template);
  });
});
