import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { native } from '../../src/io/native.js';
import {
  CANCELLED,
  CLOSED,
  EAGAIN,
  EBADF,
  EINVAL,
  OTHER,
  onExecutors,
  RECEIVED,
  SENT,
  Stage,
} from './native-support.js';
import { CLOSE, type Executor, NOP, POLL_ADD } from './test-ring.js';

function suite(executor: Executor): void {
  it('answers operations on closed descriptors with EBADF and unknown ones with EINVAL', async (t) => {
    const stage = new Stage(t, executor);
    const [fd] = await stage.pair();
    await stage.close(fd);
    stage.ring.receive(fd, RECEIVED);
    assert.equal((await stage.ring.take(RECEIVED)).result, EBADF);
    stage.ring.send(fd, SENT, stage.ring.scratch, 1);
    assert.equal((await stage.ring.take(SENT)).result, EBADF);
    stage.ring.entry(POLL_ADD, fd, OTHER, { operation: 1 });
    assert.equal((await stage.ring.take(OTHER)).result, EBADF);
    stage.ring.entry(CLOSE, fd, CLOSED);
    assert.equal((await stage.ring.take(CLOSED)).result, EBADF);
    stage.ring.entry(200, fd, OTHER);
    assert.equal((await stage.ring.take(OTHER)).result, EINVAL);
  });

  it('treats a recycled descriptor number as the new file it is', async (t) => {
    const stage = new Stage(t, executor);
    for (let i = 0; i < 20; i++) {
      const [fd, peer] = await stage.pair();
      stage.ring.receive(fd, RECEIVED);
      peer.socket.write(`round ${i}`);
      assert.equal(stage.ring.bytes(await stage.ring.take(RECEIVED)).toString(), `round ${i}`);
      stage.ring.cancelFd(fd, CANCELLED);
      if (i % 2 === 0) {
        await stage.close(fd);
      } else {
        await stage.ring.take(CANCELLED);
        native().close(fd);
        stage.disown(fd);
      }
      stage.ring.completions.length = 0;
    }
  });

  it('loses no completion when there are more than the completion ring holds', async (t) => {
    const stage = new Stage(t, executor);
    const { sqEntries, cqEntries } = stage.ring.memory;
    const [fd, peer] = await stage.pair();
    // Entries that complete all at once when the peer speaks, more than fit.
    const rounds = cqEntries / sqEntries + 2;
    for (let i = 0; i < rounds; i++) {
      for (let k = 0; k < sqEntries; k++) {
        stage.ring.entry(POLL_ADD, fd, 1000 + i * sqEntries + k, { operation: 1 });
      }
      stage.ring.enter();
    }
    peer.socket.write('x');
    await turn();
    const count = rounds * sqEntries;
    await stage.ring.until(() => stage.ring.completions.length >= count, 'all completions');
    assert.equal(new Set(stage.ring.completions.map(({ tag }) => tag)).size, count);
  });

  it('waits for the asked time and no longer, and returns early for a completion', async (t) => {
    const stage = new Stage(t, executor);
    const now = new Float64Array(stage.ring.memory.page);
    stage.ring.enter();
    // A signal, or being stopped and continued, ends a wait early (signal(7), EINTR), so one of several has to be whole.
    let start = now[0];
    let waited = 0;
    for (let tries = 0; tries < 5 && waited < 3000; tries++) {
      start = now[0];
      assert.equal(stage.ring.enter(1, 3000), 0);
      waited = now[0] - start;
    }
    assert.ok(waited >= 3000, `waited ${waited} µs`);
    stage.ring.entry(NOP, -1, OTHER);
    start = now[0];
    assert.equal(stage.ring.enter(1, -1), 1);
    stage.ring.entry(NOP, -1, OTHER);
    assert.equal(stage.ring.enter(8, 60_000_000, 500), 1, 'one completion is enough after the minimum wait');
    assert.equal(stage.ring.of(OTHER).length, 2);
    assert.ok(now[0] > start);
  });

  it('polls a descriptor that is ready already, and one that becomes it', async (t) => {
    const stage = new Stage(t, executor);
    const [fd, peer] = await stage.pair();
    stage.ring.entry(POLL_ADD, fd, OTHER, { operation: 4 });
    assert.equal((await stage.ring.take(OTHER)).result & 4, 4);
    stage.ring.entry(POLL_ADD, fd, OTHER, { operation: 1 });
    await stage.ring.settle();
    assert.equal(stage.ring.of(OTHER).length, 0);
    peer.socket.write('x');
    assert.equal((await stage.ring.take(OTHER)).result & 1, 1);
  });

  it('peeks without consuming', async (t) => {
    const stage = new Stage(t, executor);
    const [fd, peer] = await stage.pair();
    const into = new Uint8Array(4);
    assert.equal(native().peek(fd, into), EAGAIN);
    peer.socket.end('peekaboo');
    await stage.ring.until(() => native().peek(fd, into) > 0, 'the bytes');
    assert.equal(Buffer.from(into).toString(), 'peek');
    stage.ring.receive(fd, RECEIVED);
    assert.equal(stage.ring.bytes(await stage.ring.take(RECEIVED)).toString(), 'peekaboo');
    await stage.ring.take(RECEIVED);
    assert.equal(native().peek(fd, into), 0);
  });

  it('sends RST instead of FIN where asked', async (t) => {
    const stage = new Stage(t, executor);
    const [fd, peer] = await stage.pair();
    assert.equal(native().resetOnClose(fd), 0);
    await stage.close(fd);
    await stage.ring.until(() => peer.closed, 'the peer to notice');
    assert.equal(peer.error, 'ECONNRESET');
  });
}

onExecutors('trouble of a native ring', suite);
