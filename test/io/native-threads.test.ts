import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { native, PORT } from '../../src/io/native.js';
import {
  CANCELLED,
  CLOSED,
  EBADF,
  EBADFD,
  LISTENER,
  message,
  OTHER,
  onExecutors,
  Peer,
  RECEIVED,
  Stage,
  startWorker,
} from './native-support.js';
import { CLOSE, CQE_SKIP_SUCCESS, type Executor, MSG_RING, TestRing } from './test-ring.js';

const openDescriptors = (): number => readdirSync('/proc/self/fd').length;

function suite(executor: Executor): void {
  it('takes MSG_RING from another thread and names a ring that is gone', async (t) => {
    const stage = new Stage(t, executor);
    const worker = startWorker('mailbox', executor);
    t.after(() => worker.terminate());
    const { ringId } = await message(worker, 'ringId');
    for (const value of [11, 12, 13]) {
      stage.ring.entry(MSG_RING, ringId, OTHER, {
        length: value,
        offset: 7,
        flags: value === 12 ? CQE_SKIP_SUCCESS : 0,
      });
    }
    stage.ring.enter();
    for (const value of [11, 12, 13]) assert.equal((await message(worker, 'mail')).mail, value);
    await stage.ring.until(() => stage.ring.of(OTHER).length === 2, 'the two acknowledgements');
    worker.postMessage('stop');
    await once(worker, 'exit');
    stage.ring.completions.length = 0;
    stage.ring.entry(MSG_RING, ringId, OTHER, { length: 14, offset: 7 });
    assert.ok([EBADF, EBADFD].includes((await stage.ring.take(OTHER)).result));
    const [fd] = await stage.pair();
    stage.ring.entry(MSG_RING, fd, OTHER, { length: 15, offset: 7 });
    assert.equal((await stage.ring.take(OTHER)).result, EBADFD);
  });

  it('takes a terminated worker without a crash and holds none of its sockets', async (t) => {
    const worker = startWorker('traffic', executor);
    const { port, listener } = await message(worker, 'port');
    t.after(() => native().close(listener));
    const fds: number[] = [];
    worker.on('message', (value: Record<string, number>) => {
      if ('fd' in value) fds.push(value.fd);
    });
    const peers = Array.from({ length: 8 }, () => new Peer(connect(port, '127.0.0.1')));
    for (const peer of peers) {
      peer.socket.on('data', (chunk) => peer.socket.write(chunk));
      peer.socket.write('ping');
    }
    while (fds.length < peers.length || peers.some((peer) => peer.length < 100)) await turn();
    await worker.terminate();
    for (const fd of fds) assert.equal(native().close(fd), 0);
    // With bytes unread the peer sees a reset, else the end of the stream; nothing at all if the ring held the socket.
    while (peers.some((peer) => !peer.closed)) await turn();
  });

  it('surfaces an exception of the hosted step and stops stepping', async () => {
    const worker = startWorker('throwing', executor);
    const exited = new Promise((resolve) => worker.on('exit', resolve));
    const [error] = (await once(worker, 'error')) as [Error];
    assert.equal(error.message, 'step three');
    assert.equal(await exited, 1);
  });

  it('leaks no descriptor and takes its memory away from JavaScript when it is destroyed', async () => {
    const before = openDescriptors();
    for (let i = 0; i < 20; i++) {
      const ring = new TestRing(executor);
      const listener = native().listen('127.0.0.1', 0, 16, PORT.ALONE, 0, 0);
      ring.accept(listener, LISTENER);
      const client = connect(native().localPort(listener), '127.0.0.1');
      client.on('error', () => undefined);
      const { result } = await ring.take(LISTENER);
      ring.receive(result, RECEIVED);
      ring.enter();
      // Queued, never entered: destroy() submits it.
      ring.cancelFd(result, CANCELLED);
      ring.entry(CLOSE, result, CLOSED);
      new Int32Array(ring.memory.rings)[ring.memory.sqTail >> 2] += 2;
      ring.destroy();
      assert.equal(ring.memory.slab.byteLength, 0);
      assert.equal(native().enter(0, 0, 0, 0), EBADF);
      await once(client.resume(), 'close');
      native().close(listener);
    }
    assert.equal(openDescriptors(), before);
  });
}

onExecutors('threads with native rings', suite);
