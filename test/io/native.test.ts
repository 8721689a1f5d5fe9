import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { it } from 'node:test';
import { native, PORT } from '../../src/io/native.js';
import {
  CANCELLED,
  CLOSED,
  EAGAIN,
  ECONNREFUSED,
  ECONNRESET,
  ENOENT,
  EPIPE,
  LISTENER,
  OTHER,
  onExecutors,
  RECEIVED,
  SENT,
  Stage,
} from './native-support.js';
import {
  BUFFER_SELECT,
  CLOSE,
  CQE_SKIP_SUCCESS,
  ECANCELED,
  ENOBUFS,
  type Executor,
  F_MORE,
  IO_HARDLINK,
  IO_LINK,
  MANY,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_WAITALL,
  NOP,
  POLL_ADD,
  RECV,
  SEND,
  SENDMSG,
  SHUTDOWN,
} from './test-ring.js';

function suite(executor: Executor): void {
  it('accepts connection after connection on one multishot entry', async (t) => {
    const stage = new Stage(t, executor);
    for (let i = 0; i < 3; i++) await stage.pair();
    stage.ring.entry(NOP, -1, OTHER);
    const peers = [1, 2, 3].map(() => connect(stage.port, '127.0.0.1'));
    await stage.ring.until(() => stage.ring.of(LISTENER).length === 3, 'three more connections');
    for (const { result, flags } of stage.ring.of(LISTENER)) {
      stage.own(result);
      assert.equal(flags & F_MORE, F_MORE);
    }
    for (const peer of peers) peer.destroy();
  });

  it('receives into provided buffers until the end of the stream', async (t) => {
    const stage = new Stage(t, executor);
    const [fd, peer] = await stage.pair();
    stage.ring.receive(fd, RECEIVED);
    await stage.ring.settle();
    peer.socket.write('first');
    const first = await stage.ring.take(RECEIVED);
    assert.equal(stage.ring.bytes(first).toString(), 'first');
    assert.equal(first.flags & F_MORE, F_MORE);
    peer.socket.end('last');
    assert.equal(stage.ring.bytes(await stage.ring.take(RECEIVED)).toString(), 'last');
    const end = await stage.ring.take(RECEIVED);
    assert.deepEqual([end.result, end.flags & F_MORE, end.buffer], [0, 0, -1]);
  });

  it('says nothing of a send that was whole with the call that took it, and tells of one that was not', async (t) => {
    const stage = new Stage(t, executor);
    const { ring } = stage;
    const [fd, peer] = await stage.pair();
    const now = { flags: CQE_SKIP_SUCCESS, operation: MSG_NOSIGNAL | MSG_WAITALL | MSG_DONTWAIT };
    peer.socket.pause();
    let sent = 0;
    for (const length = 100_000; ring.of(SENT).length === 0; sent += length) {
      ring.entry(SEND, fd, SENT, { ...now, at: ring.scratch, length });
      await ring.settle();
    }
    const [{ result }] = ring.of(SENT);
    assert.ok(result === EAGAIN || (result > 0 && result < 100_000), `${result}`);
    peer.socket.resume();
    const whole = sent - 100_000 + Math.max(result, 0);
    await ring.until(() => peer.length === whole, `${whole} bytes`);
  });

  it('receives once into a given buffer', async (t) => {
    const stage = new Stage(t, executor);
    const [fd, peer] = await stage.pair();
    const at = stage.ring.scratch;
    for (const text of ['one', 'two']) {
      stage.ring.entry(RECV, fd, RECEIVED, { at, length: 100 });
      await stage.ring.settle();
      peer.socket.write(text);
      const { result, flags } = await stage.ring.take(RECEIVED);
      assert.deepEqual([stage.ring.slab.toString('latin1', at, at + result), flags & F_MORE], [text, 0]);
    }
  });

  it('receives many buffers of a large write in order', async (t) => {
    const stage = new Stage(t, executor, 64);
    const [fd, peer] = await stage.pair();
    const data = Buffer.alloc(600_000, 'abcdefghijklmnopqrstuvwxyz0123456789');
    peer.socket.end(data);
    const got: Buffer[] = [];
    stage.ring.receive(fd, RECEIVED);
    for (;;) {
      const completion = await stage.ring.take(RECEIVED);
      if (completion.result === ENOBUFS) stage.ring.receive(fd, RECEIVED);
      else if (completion.result === 0) break;
      else got.push(stage.ring.bytes(completion));
    }
    assert.equal(Buffer.concat(got).equals(data), true);
  });

  it('reports a reset as an error that ends the multishot receive', async (t) => {
    const stage = new Stage(t, executor);
    const [fd, peer] = await stage.pair();
    stage.ring.receive(fd, RECEIVED);
    await stage.ring.settle();
    peer.socket.resetAndDestroy();
    const { result, flags } = await stage.ring.take(RECEIVED);
    assert.deepEqual([result, flags & F_MORE], [ECONNRESET, 0]);
    stage.ring.send(fd, SENT, stage.ring.scratch, 10);
    assert.equal((await stage.ring.take(SENT)).result, EPIPE);
  });

  it('fills several buffers in one receive, in the order in which they were lent, and as many octets as it may', async (t) => {
    const stage = new Stage(t, executor);
    const { ring } = stage;
    if (ring.memory.bundles === 0) {
      t.skip('this kernel can not');
      return;
    }
    const [fd, peer] = await stage.pair();
    const size = ring.bufferSize;
    const bytes = Buffer.from(Array.from({ length: 6 * size + 100 }, (_, at) => at % 251));
    peer.socket.write(bytes);
    await stage.waits(fd, bytes.length);
    // Four buffers and no more: what is left stays in the kernel.
    ring.entry(RECV, fd, RECEIVED, { flags: BUFFER_SELECT, ioprio: MANY, length: 4 * size, limit: 4 * size });
    const got: Buffer[] = [];
    for (;;) {
      const completion = await ring.take(RECEIVED);
      got.push(ring.several(completion));
      if ((completion.flags & F_MORE) === 0) break;
    }
    assert.deepEqual(Buffer.concat(got), bytes.subarray(0, 4 * size));
    // Without a limit all of it, and what comes later.
    ring.entry(RECV, fd, RECEIVED, { flags: BUFFER_SELECT, ioprio: MANY });
    got.length = 0;
    const length = () => got.reduce((sum, each) => sum + each.length, 0);
    while (length() < 2 * size + 100) got.push(ring.several(await ring.take(RECEIVED)));
    assert.deepEqual(Buffer.concat(got), bytes.subarray(4 * size));
    peer.socket.write('more');
    const last = await ring.take(RECEIVED);
    assert.equal(last.flags & F_MORE, F_MORE);
    assert.equal(ring.several(last).toString(), 'more');
  });

  it('ends a multishot receive when buffers run out, and loses nothing once they are back', async (t) => {
    const stage = new Stage(t, executor, 8);
    const [fd, peer] = await stage.pair();
    const data = Buffer.alloc(20 * stage.ring.bufferSize, 'x');
    stage.ring.receive(fd, RECEIVED);
    peer.socket.end(data);
    await stage.ring.until(() => stage.ring.of(RECEIVED).some(({ result }) => result < 0), 'the buffers to run out');
    const held = stage.ring.of(RECEIVED);
    const last = held.pop();
    assert.deepEqual([last?.result, (last?.flags ?? 0) & F_MORE], [ENOBUFS, 0]);
    assert.equal(held.length, 8);
    await stage.ring.settle();
    assert.equal(stage.ring.of(RECEIVED).length, 9);
    stage.ring.completions.length = 0;
    let bytes = held.reduce((sum, completion) => sum + stage.ring.bytes(completion).length, 0);
    stage.ring.receive(fd, RECEIVED);
    for (;;) {
      const completion = await stage.ring.take(RECEIVED);
      if (completion.result === 0) break;
      if (completion.result === ENOBUFS) stage.ring.receive(fd, RECEIVED);
      else bytes += stage.ring.bytes(completion).length;
    }
    assert.equal(bytes, data.length);
  });

  it('completes a WAITALL send to a stalled peer only when all of it is out', async (t) => {
    const stage = new Stage(t, executor);
    const [fd, peer] = await stage.pair();
    peer.socket.pause();
    const size = 1 << 20;
    stage.ring.slab.fill('s', stage.ring.scratch, stage.ring.scratch + size);
    let sent = 0;
    while (stage.ring.of(SENT).length === sent && sent < 32) {
      stage.ring.send(fd, SENT, stage.ring.scratch, size);
      await stage.ring.settle();
      if (stage.ring.of(SENT).length === sent) break;
      sent++;
    }
    assert.ok(sent < 32, 'the peer never stalled');
    peer.socket.resume();
    await stage.ring.until(() => stage.ring.of(SENT).length === sent + 1, 'the stalled send');
    for (const { result } of stage.ring.of(SENT)) assert.equal(result, size);
    await stage.ring.until(() => peer.length === (sent + 1) * size, 'the peer to have read it all');
  });

  it('reports a partial send where WAITALL is not asked for', async (t) => {
    const stage = new Stage(t, executor);
    const [fd, peer] = await stage.pair();
    peer.socket.pause();
    let results: number[] = [];
    for (let i = 0; i < 32 && results.every((result) => result === 1 << 20); i++) {
      stage.ring.send(fd, SENT, stage.ring.scratch, 1 << 20, 0, 0);
      await stage.ring.settle();
      results = stage.ring.of(SENT).map(({ result }) => result);
    }
    const partial = results.at(-1) ?? 0;
    assert.ok(partial > 0 && partial < 1 << 20, `results: ${results}`);
  });

  it('sends the slices of a SENDMSG in order, through backpressure', async (t) => {
    const stage = new Stage(t, executor);
    const [fd, peer] = await stage.pair();
    peer.socket.pause();
    const { ring } = stage;
    const vectors = ring.scratch + 64;
    const view = new DataView(ring.memory.slab);
    const lengths = [3, 0, 70_000, 5, 120_000, 90_000, 1];
    let data = ring.scratch + 4096;
    const expected: string[] = [];
    lengths.forEach((length, i) => {
      const letter = String.fromCharCode(97 + i);
      ring.slab.fill(letter, data, data + length);
      expected.push(letter.repeat(length));
      view.setUint32(vectors + i * 16, ring.memory.slabLow + data, true);
      view.setUint32(vectors + i * 16 + 4, ring.memory.slabHigh, true);
      view.setUint32(vectors + i * 16 + 8, length, true);
      data += length;
    });
    view.setUint32(ring.scratch + 16, ring.memory.slabLow + vectors, true);
    view.setUint32(ring.scratch + 20, ring.memory.slabHigh, true);
    view.setUint32(ring.scratch + 24, lengths.length, true);
    const before = Buffer.from(ring.slab.subarray(vectors, vectors + lengths.length * 16));
    const total = lengths.reduce((sum, length) => sum + length, 0);
    const messages = 40;
    for (let i = 0; i < messages; i++) {
      ring.entry(SENDMSG, fd, SENT, { at: ring.scratch, length: 1, operation: MSG_WAITALL | MSG_NOSIGNAL });
      await ring.settle();
      if (ring.of(SENT).length <= i) peer.socket.resume();
      await ring.until(() => ring.of(SENT).length > i, `message ${i}`);
      peer.socket.pause();
    }
    peer.socket.resume();
    for (const { result } of ring.of(SENT)) assert.equal(result, total);
    await ring.until(() => peer.length === total * messages, 'the peer to have read it all');
    assert.equal(peer.text === expected.join('').repeat(messages), true);
    assert.equal(before.equals(ring.slab.subarray(vectors, vectors + lengths.length * 16)), true);
  });

  it('connects, and says why it could not', async (t) => {
    const stage = new Stage(t, executor);
    const server = createServer((socket) => socket.end('hello')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const fd = stage.own(native().socket(4, 10_000, 5_000));
    stage.ring.connect(fd, OTHER, '127.0.0.1', port);
    assert.equal((await stage.ring.take(OTHER)).result, 0);
    assert.equal(native().peerName(fd), `127.0.0.1:${port}`);
    stage.ring.receive(fd, RECEIVED);
    assert.equal(stage.ring.bytes(await stage.ring.take(RECEIVED)).toString(), 'hello');
    server.close();
    await stage.close(fd);
    await once(server, 'close');
    const refused = stage.own(native().socket(4, 0, 0));
    stage.ring.connect(refused, OTHER, '127.0.0.1', port);
    assert.equal((await stage.ring.take(OTHER)).result, ECONNREFUSED);
  });

  it('cancels a connection attempt that gets no answer', async (t) => {
    const stage = new Stage(t, executor);
    // A listener whose queue is full drops SYNs: the connection neither succeeds nor fails.
    const full = stage.own(native().listen('127.0.0.1', 0, 1, PORT.ALONE, 0, 0));
    assert.equal(native().refuse(full), 0);
    const fd = stage.own(native().socket(4, 0, 0));
    stage.ring.connect(fd, OTHER, '127.0.0.1', native().localPort(full));
    await stage.ring.settle();
    assert.equal(stage.ring.of(OTHER).length, 0);
    stage.ring.cancelFd(fd, CANCELLED);
    assert.ok([ECANCELED, -4].includes((await stage.ring.take(OTHER)).result));
  });

  it('runs a link of send and close in order, silently where asked', async (t) => {
    const stage = new Stage(t, executor);
    const [fd, peer] = await stage.pair();
    stage.ring.slab.write('bye', stage.ring.scratch);
    stage.ring.send(fd, SENT, stage.ring.scratch, 3, IO_LINK | CQE_SKIP_SUCCESS);
    stage.ring.entry(CLOSE, fd, CLOSED, { flags: CQE_SKIP_SUCCESS });
    stage.disown(fd);
    await stage.ring.until(() => peer.ended, 'the end of the stream');
    assert.equal(peer.text, 'bye');
    assert.deepEqual(stage.ring.completions, []);
  });

  it('breaks a link when an operation fails, and keeps a hard link', async (t) => {
    const stage = new Stage(t, executor);
    const [fd, peer] = await stage.pair();
    peer.socket.resetAndDestroy();
    stage.ring.receive(fd, RECEIVED);
    await stage.ring.take(RECEIVED);
    stage.ring.send(fd, SENT, stage.ring.scratch, 3, IO_LINK);
    stage.ring.entry(NOP, -1, OTHER, { flags: IO_LINK | CQE_SKIP_SUCCESS });
    stage.ring.entry(NOP, -1, CLOSED);
    assert.equal((await stage.ring.take(SENT)).result, EPIPE);
    assert.equal((await stage.ring.take(OTHER)).result, ECANCELED);
    assert.equal((await stage.ring.take(CLOSED)).result, ECANCELED);
    stage.ring.send(fd, SENT, stage.ring.scratch, 3, IO_LINK | CQE_SKIP_SUCCESS);
    stage.ring.entry(NOP, -1, OTHER);
    assert.equal((await stage.ring.take(SENT)).result, EPIPE);
    await stage.ring.settle();
    assert.equal(stage.ring.of(OTHER).length, 0, 'the rest of a silent chain is silent');
    stage.ring.send(fd, SENT, stage.ring.scratch, 3, IO_HARDLINK);
    stage.ring.entry(NOP, -1, OTHER);
    assert.equal((await stage.ring.take(SENT)).result, EPIPE);
    assert.equal((await stage.ring.take(OTHER)).result, 0);
  });

  it('shows the peer the end of the stream after cancel and close in one batch', async (t) => {
    const stage = new Stage(t, executor);
    const [fd, peer] = await stage.pair();
    stage.ring.receive(fd, RECEIVED);
    await stage.ring.settle();
    stage.ring.cancelFd(fd, CANCELLED, IO_LINK);
    stage.ring.entry(CLOSE, fd, CLOSED);
    stage.disown(fd);
    await stage.ring.until(() => peer.ended, 'the end of the stream');
    const received = await stage.ring.take(RECEIVED);
    assert.deepEqual([received.result, received.flags & F_MORE], [ECANCELED, 0]);
    assert.equal((await stage.ring.take(CANCELLED)).result, 1);
    assert.equal((await stage.ring.take(CLOSED)).result, 0);
  });

  it('counts nothing to cancel as success where all of a descriptor was asked for', async (t) => {
    const stage = new Stage(t, executor);
    const [fd] = await stage.pair();
    stage.ring.cancelFd(fd, CANCELLED);
    assert.equal((await stage.ring.take(CANCELLED)).result, 0);
  });

  it('cancels one operation by its user data', async (t) => {
    const stage = new Stage(t, executor);
    const [fd, peer] = await stage.pair();
    stage.ring.receive(fd, RECEIVED);
    stage.ring.entry(POLL_ADD, fd, OTHER, { operation: 1 });
    await stage.ring.settle();
    stage.ring.cancelTag(RECEIVED, CANCELLED);
    assert.equal((await stage.ring.take(CANCELLED)).result, 0);
    assert.equal((await stage.ring.take(RECEIVED)).result, ECANCELED);
    stage.ring.cancelTag(RECEIVED, CANCELLED);
    assert.equal((await stage.ring.take(CANCELLED)).result, ENOENT);
    peer.socket.write('x');
    assert.equal((await stage.ring.take(OTHER)).result & 1, 1);
  });

  it('shuts down one direction and goes on receiving', async (t) => {
    const stage = new Stage(t, executor);
    const [fd, peer] = await stage.pair();
    stage.ring.receive(fd, RECEIVED);
    stage.ring.entry(SHUTDOWN, fd, OTHER, { length: 1 });
    assert.equal((await stage.ring.take(OTHER)).result, 0);
    await stage.ring.until(() => peer.ended, 'the half close');
    peer.socket.end('still here');
    assert.equal(stage.ring.bytes(await stage.ring.take(RECEIVED)).toString(), 'still here');
    assert.equal((await stage.ring.take(RECEIVED)).result, 0);
  });
}

onExecutors('native ring', suite);
