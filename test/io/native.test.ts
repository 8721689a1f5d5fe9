import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { native } from '../../src/io/native.js';
import {
  CLOSE,
  CQE_SKIP_SUCCESS,
  ECANCELED,
  ENOBUFS,
  type Executor,
  F_MORE,
  IO_HARDLINK,
  IO_LINK,
  MSG_NOSIGNAL,
  MSG_RING,
  MSG_WAITALL,
  NOP,
  POLL_ADD,
  RECV,
  refusal,
  SENDMSG,
  SHUTDOWN,
  TestRing,
} from './test-ring.js';

const LISTENER = 1;
const RECEIVED = 2;
const SENT = 3;
const CLOSED = 4;
const CANCELLED = 5;
const OTHER = 6;

const EAGAIN = -11;
const EBADF = -9;
const EINVAL = -22;
const ENOENT = -2;
const EPIPE = -32;
const EBADFD = -77;
const ECONNRESET = -104;
const ECONNREFUSED = -111;

/** What a node:net peer has seen. */
class Peer {
  readonly socket: Socket;
  readonly chunks: Buffer[] = [];
  ended = false;
  closed = false;
  error = '';

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => this.chunks.push(chunk));
    socket.on('end', () => {
      this.ended = true;
    });
    socket.on('close', () => {
      this.closed = true;
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.error = error.code ?? error.message;
    });
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }

  get length(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  }
}

/** A ring with a listener that accepts, torn down with the test. */
class Stage {
  readonly ring: TestRing;
  readonly listener: number;
  readonly port: number;
  readonly #peers: Peer[] = [];
  readonly #fds = new Set<number>();

  constructor(t: TestContext, executor: Executor, buffers = 16) {
    this.ring = new TestRing(executor, buffers);
    this.listener = native().listen('127.0.0.1', 0, 128, false, 0, 0);
    this.port = native().localPort(this.listener);
    this.ring.accept(this.listener, LISTENER);
    t.after(() => {
      for (const peer of this.#peers) peer.socket.destroy();
      this.ring.destroy();
      for (const fd of this.#fds) native().close(fd);
      native().close(this.listener);
    });
  }

  /** A connected pair: our descriptor and the peer. */
  async pair(): Promise<[number, Peer]> {
    const peer = new Peer(connect({ port: this.port, host: '127.0.0.1', allowHalfOpen: true }));
    this.#peers.push(peer);
    const { result } = await this.ring.take(LISTENER);
    assert.ok(result >= 0, `accept: ${result}`);
    this.#fds.add(result);
    await this.ring.until(() => !peer.socket.connecting, 'the peer to connect');
    return [result, peer];
  }

  own(fd: number): number {
    assert.ok(fd >= 0, `no descriptor: ${fd}`);
    this.#fds.add(fd);
    return fd;
  }

  /** Closes a descriptor through the ring. */
  async close(fd: number): Promise<void> {
    this.#fds.delete(fd);
    this.ring.entry(CLOSE, fd, CLOSED);
    assert.equal((await this.ring.take(CLOSED)).result, 0);
  }

  disown(fd: number): void {
    this.#fds.delete(fd);
  }
}

const openDescriptors = (): number => readdirSync('/proc/self/fd').length;

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
    const full = stage.own(native().listen('127.0.0.1', 0, 1, false, 0, 0));
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
    let start = now[0];
    assert.equal(stage.ring.enter(1, 3000), 0);
    assert.ok(now[0] - start >= 3000, `waited ${now[0] - start} µs`);
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

  describe('pump', () => pumpSuite(executor));

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
      const listener = native().listen('127.0.0.1', 0, 16, false, 0, 0);
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

function startWorker(role: string, executor: Executor): Worker {
  return new Worker(new URL('./native-worker.js', import.meta.url), { workerData: { role, executor } });
}

/** The next message of a worker that has `key`. */
async function message(worker: Worker, key: string): Promise<Record<string, number>> {
  for await (const [value] of onMessages(worker)) {
    if (key in value) return value;
  }
  throw new Error(`the worker ended without sending ${key}`);
}

const queues = new WeakMap<Worker, Record<string, number>[]>();

async function* onMessages(worker: Worker): AsyncGenerator<[Record<string, number>]> {
  let queue = queues.get(worker);
  if (queue === undefined) {
    const fresh: Record<string, number>[] = [];
    queue = fresh;
    queues.set(worker, fresh);
    worker.on('message', (value: Record<string, number>) => fresh.push(value));
  }
  for (;;) {
    const value = queue.shift();
    if (value !== undefined) yield [value];
    else await once(worker, 'message');
  }
}

for (const executor of ['uring', 'epoll'] as const) {
  const why = refusal(executor);
  describe(`native ring on ${executor}`, { skip: why === undefined ? false : `${executor} refused: ${why}` }, () =>
    suite(executor),
  );
}

describe('native sockets', () => {
  it('explains a listener that can not be had', (t) => {
    const taken = native().listen('127.0.0.1', 0, 1, false, 0, 0);
    t.after(() => native().close(taken));
    const port = native().localPort(taken);
    assert.throws(() => native().listen('127.0.0.1', port, 1, false, 0, 0), {
      message: `listen tcp 127.0.0.1:${port}: EADDRINUSE (address already in use)`,
      code: 'EADDRINUSE',
      syscall: 'bind',
      errno: -98,
    });
    assert.throws(() => native().listen('203.0.113.1', 0, 1, false, 0, 0), { code: 'EADDRNOTAVAIL', syscall: 'bind' });
    assert.throws(() => native().listen('localhost', 0, 1, false, 0, 0), { code: 'EINVAL' });
    assert.throws(() => native().listen('::1', 70_000, 1, false, 0, 0), {
      message: 'listen tcp [::1]:70000: EINVAL (invalid argument)',
    });
  });

  it('shares a port where asked', (t) => {
    const first = native().listen('127.0.0.1', 0, 1, true, 0, 0);
    t.after(() => native().close(first));
    const second = native().listen('127.0.0.1', native().localPort(first), 1, true, 0, 0);
    native().close(second);
  });

  it('listens on both families for ::, and names IPv4 peers as such', async (t) => {
    const ring = new TestRing('epoll');
    const listener = native().listen('::', 0, 16, false, 0, 0);
    const port = native().localPort(listener);
    t.after(() => {
      ring.destroy();
      native().close(listener);
    });
    ring.accept(listener, LISTENER);
    const names: string[] = [];
    for (const host of ['127.0.0.1', '::1']) {
      const client = connect(port, host);
      client.on('error', (error) => names.push(error.message));
      const { result } = await ring.take(LISTENER);
      names.push(native().localName(result));
      assert.match(native().peerName(result), host === '::1' ? /^\[::1\]:\d+$/ : /^127\.0\.0\.1:\d+$/);
      assert.equal(native().originalDestination(result), '');
      native().close(result);
      client.destroy();
    }
    assert.deepEqual(names, [`127.0.0.1:${port}`, `[::1]:${port}`]);
  });

  it('refuses new connections, keeps those in the queue', async (t) => {
    const ring = new TestRing('epoll');
    const listener = native().listen('127.0.0.1', 0, 16, false, 0, 0);
    const port = native().localPort(listener);
    const queued = [1, 2, 3].map(() => connect(port, '127.0.0.1'));
    await Promise.all(queued.map((socket) => once(socket, 'connect')));
    assert.equal(native().refuse(listener), 0);
    const late = connect(port, '127.0.0.1');
    let connected = false;
    late.on('connect', () => {
      connected = true;
    });
    late.on('error', () => undefined);
    const fds: number[] = [];
    t.after(() => {
      for (const socket of [...queued, late]) socket.destroy();
      ring.destroy();
      for (const fd of fds) native().close(fd);
    });
    ring.accept(listener, LISTENER);
    for (let i = 0; i < queued.length; i++) fds.push((await ring.take(LISTENER)).result);
    await ring.settle();
    assert.deepEqual([ring.of(LISTENER).length, connected], [0, false]);
    ring.cancelFd(listener, CANCELLED);
    ring.entry(CLOSE, listener, CLOSED);
    await ring.take(CLOSED);
    // What was accepted still works, in spite of the filter on its listener.
    ring.receive(fds[0], RECEIVED);
    queued[0].end('ok');
    assert.equal(ring.bytes(await ring.take(RECEIVED)).toString(), 'ok');
    const refused = connect(port, '127.0.0.1');
    const [error] = (await once(refused, 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ECONNREFUSED');
  });

  it('parses numeric addresses only', () => {
    const into = new Uint8Array(40);
    assert.equal(native().sockaddr('127.0.0.1', 258, into, 4), 16);
    assert.deepEqual([...into.subarray(4, 12)], [2, 0, 1, 2, 127, 0, 0, 1]);
    assert.equal(native().sockaddr('::1', 1, into, 0), 28);
    assert.equal(native().sockaddr('::1', 1, into, 20), 0);
    assert.equal(native().sockaddr('fe80::1%7', 1, into, 0), 28);
    assert.deepEqual([...into.subarray(24, 28)], [7, 0, 0, 0]);
    for (const host of [
      'localhost',
      '127.1',
      '1',
      '',
      '::g',
      '[::1]',
      'fe80::1%',
      'fe80::1%7a',
      'fe80::1%4294967303',
    ]) {
      assert.equal(native().sockaddr(host, 1, into, 0), 0, host);
    }
  });

  it('reports thread CPU time and the file limit', () => {
    assert.ok(native().threadCpu() > 0);
    assert.ok(native().raiseFileLimit() >= 256);
  });

  it('refuses a second ring of a thread, and sizes that can not be', () => {
    const ring = new TestRing('epoll');
    assert.throws(() => new TestRing('epoll'), { code: 'EEXIST' });
    ring.destroy();
    assert.throws(() => native().create('epoll', 64, 10, 65536), { code: 'EINVAL' });
    assert.throws(() => native().create('epoll', 0, 16, 65536), { code: 'EINVAL' });
    assert.throws(() => native().create('epoll', 64, 16, 4e9), { code: 'EINVAL' });
  });

  const why = netnsRefusal();
  it('finds the original destination of redirected connections of both families', {
    skip: why === '' ? false : `original destination needs root, ip and iptables: ${why}`,
  }, (t) => {
    const name = `sluice${process.pid}`;
    execFileSync('ip', ['netns', 'add', name]);
    t.after(() => execFileSync('ip', ['netns', 'del', name]));
    const inside = (...command: string[]): string =>
      execFileSync('ip', ['netns', 'exec', name, ...command], { encoding: 'utf8', timeout: 20_000 });
    inside('ip', 'link', 'set', 'lo', 'up');
    for (const tool of ['iptables', 'ip6tables']) {
      const rule = ['-t', 'nat', '-A', 'OUTPUT', '-p', 'tcp', '--dport', '20401', '-j', 'REDIRECT'];
      inside(tool, ...rule, '--to-ports', '20400');
    }
    const script = fileURLToPath(new URL('./native-worker.js', import.meta.url));
    assert.deepEqual(JSON.parse(inside(process.execPath, script)), {
      '127.0.0.1 20401': '127.0.0.1:20401',
      '::1 20401': '[::1]:20401',
      '127.0.0.1 20400': '',
      '::1 20400': '',
    });
  });
});

/** Why no network namespace with NAT can be made here, '' if it can. */
function netnsRefusal(): string {
  const name = `sluice-probe${process.pid}`;
  try {
    execFileSync('ip', ['netns', 'add', name], { stdio: 'pipe' });
  } catch (error) {
    return error instanceof Error ? error.message.split('\n')[0] : String(error);
  }
  try {
    for (const tool of ['iptables', 'ip6tables']) {
      execFileSync('ip', ['netns', 'exec', name, tool, '-t', 'nat', '-L'], { stdio: 'pipe' });
    }
    return '';
  } catch (error) {
    return error instanceof Error ? error.message.split('\n')[0] : String(error);
  } finally {
    execFileSync('ip', ['netns', 'del', name], { stdio: 'pipe' });
  }
}
