// What the tests of the native module share: a ring with a listener, its peers, and threads that have rings of their own.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, type TestContext } from 'node:test';
import { Worker } from 'node:worker_threads';
import { native, PORT } from '../../src/io/native.js';
import { CLOSE, type Executor, refusal, TestRing } from './test-ring.js';

export const LISTENER = 1;
export const RECEIVED = 2;
export const SENT = 3;
export const CLOSED = 4;
export const CANCELLED = 5;
export const OTHER = 6;

export const EAGAIN = -11;
export const EBADF = -9;
export const EINVAL = -22;
export const ENOENT = -2;
export const EPIPE = -32;
export const EBADFD = -77;
export const ECONNRESET = -104;
export const ECONNREFUSED = -111;

/** What a node:net peer has seen. */
export class Peer {
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
export class Stage {
  readonly ring: TestRing;
  readonly listener: number;
  readonly port: number;
  readonly #peers: Peer[] = [];
  readonly #fds = new Set<number>();

  constructor(t: TestContext, executor: Executor, buffers = 16) {
    this.ring = new TestRing(executor, buffers);
    this.listener = native().listen('127.0.0.1', 0, 128, PORT.ALONE, 0, 0);
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

  /** Until so much has come that nobody has received. */
  async waits(fd: number, bytes: number): Promise<void> {
    const into = new Uint8Array(bytes);
    await this.ring.until(() => native().peek(fd, into) === bytes, `${bytes} bytes`);
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

export function startWorker(role: string, executor: Executor): Worker {
  return new Worker(new URL('./native-worker.js', import.meta.url), { workerData: { role, executor } });
}

/** The next message of a worker that has `key`. */
export async function message(worker: Worker, key: string): Promise<Record<string, number>> {
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

/** Describes what `suite` tests, on each executor that there is. */
export function onExecutors(what: string, suite: (executor: Executor) => void): void {
  for (const executor of ['uring', 'epoll'] as const) {
    const why = refusal(executor);
    describe(`${what} on ${executor}`, { skip: why === undefined ? false : `${executor} refused: ${why}` }, () =>
      suite(executor),
    );
  }
}
