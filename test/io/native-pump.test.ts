import assert from 'node:assert/strict';
import { it, type TestContext } from 'node:test';
import { native } from '../../src/io/native.js';
import { ECONNRESET, EPIPE, OTHER, onExecutors, type Peer, Stage } from './native-support.js';
import { type Executor, POLL_ADD } from './test-ring.js';

function pumpSuite(executor: Executor): void {
  const SOURCE_BLOCKS = 1;
  const DESTINATION_BLOCKS = 2;
  const SOURCE_ENDED = 4;
  const SOURCE_FAILED = 8;
  const DESTINATION_FAILED = 16;
  const LIMIT = 32;

  async function pumpStage(t: TestContext): Promise<{
    stage: Stage;
    source: number;
    destination: number;
    from: Peer;
    to: Peer;
    pump: (limit: number) => number;
    state: { inPipe: number; moved: number };
  }> {
    const stage = new Stage(t, executor);
    const [source, from] = await stage.pair();
    const [destination, to] = await stage.pair();
    assert.equal(native().nonblock(source, true), 0);
    assert.equal(native().nonblock(destination, true), 0);
    const ends = new Int32Array(2);
    assert.equal(native().pipe(1 << 20, ends), 0);
    const [read, write] = [stage.own(ends[0]), stage.own(ends[1])];
    const page = new Float64Array(stage.ring.memory.page);
    const state = { inPipe: 0, moved: 0 };
    const pump = (limit: number): number => {
      const flags = native().pump(source, read, write, destination, state.inPipe, limit);
      state.inPipe += page[1] - page[2];
      state.moved += page[2];
      return flags;
    };
    return { stage, source, destination, from, to, pump, state };
  }

  it('moves bytes, stops at the limit, and reports an idle source and its end', async (t) => {
    const { stage, from, to, pump, state } = await pumpStage(t);
    assert.equal(pump(100), SOURCE_BLOCKS);
    from.socket.write('0123456789');
    await stage.ring.until(() => pump(4) !== SOURCE_BLOCKS, 'the first bytes');
    assert.equal(state.moved, 4);
    assert.equal(pump(0), LIMIT);
    assert.equal(pump(Number.POSITIVE_INFINITY), SOURCE_BLOCKS);
    await stage.ring.until(() => to.text === '0123456789', 'the bytes at the other end');
    from.socket.end();
    await stage.ring.until(() => pump(100) === SOURCE_ENDED, 'the end of the source');
  });

  it('reports a limit met exactly, together with what is left in the pipe', async (t) => {
    const { stage, from, pump, state } = await pumpStage(t);
    from.socket.write('abcdef');
    await stage.ring.until(() => pump(6 - state.moved) === LIMIT, 'the limit');
    assert.deepEqual(state, { inPipe: 0, moved: 6 });
  });

  it('moves megabytes through a slow reader without loss and without spinning', async (t) => {
    const { stage, source, destination, from, to, pump, state } = await pumpStage(t);
    to.socket.pause();
    const size = 24 << 20;
    from.socket.end(Buffer.alloc(size, 'm'));
    let calls = 0;
    for (let flags = 0; (flags & SOURCE_ENDED) === 0; calls++) {
      flags = pump(Number.MAX_SAFE_INTEGER);
      if ((flags & (SOURCE_FAILED | DESTINATION_FAILED)) !== 0) assert.fail(`flags ${flags}`);
      if ((flags & DESTINATION_BLOCKS) !== 0) {
        stage.ring.entry(POLL_ADD, destination, OTHER, { operation: 4 });
        to.socket.resume();
        await stage.ring.take(OTHER);
      } else if ((flags & SOURCE_BLOCKS) !== 0) {
        stage.ring.entry(POLL_ADD, source, OTHER, { operation: 1 });
        await stage.ring.take(OTHER);
      }
    }
    assert.deepEqual(state, { inPipe: 0, moved: size });
    await stage.ring.until(() => to.length === size, 'the peer to have read it all');
    assert.ok(calls < size / 4096, `${calls} calls`);
  });

  it('reports a source that was reset', async (t) => {
    const { stage, from, pump } = await pumpStage(t);
    from.socket.resetAndDestroy();
    let flags = 0;
    await stage.ring.until(() => {
      flags = pump(100);
      return flags !== SOURCE_BLOCKS;
    }, 'the reset');
    assert.deepEqual([flags & 0xff, flags >> 8], [SOURCE_FAILED, -ECONNRESET]);
  });

  it('reports a destination that was reset', async (t) => {
    const { stage, from, to, pump } = await pumpStage(t);
    to.socket.resetAndDestroy();
    from.socket.write('lost');
    let flags = 0;
    await stage.ring.until(() => {
      flags = pump(100);
      return (flags & DESTINATION_FAILED) !== 0;
    }, 'the failure');
    assert.ok([-EPIPE, -ECONNRESET].includes(flags >> 8), `flags ${flags}`);
  });
}

onExecutors('native pump', pumpSuite);
