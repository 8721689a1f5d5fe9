// Threads and processes of native.test.ts. `role` names what this one does.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { native, PORT } from '../../src/io/native.js';
import { ACCEPT, type Executor, POLL_ADD, TestRing } from './test-ring.js';

interface Work {
  readonly role: 'mailbox' | 'traffic' | 'throwing';
  readonly executor: Executor;
}

const MAIL = 7;
const LIBUV = 8;

// Receives MSG_RING completions and passes them on as messages.
function mailbox(executor: Executor): void {
  const ring = new TestRing(executor);
  parentPort?.postMessage({ ringId: ring.memory.ringId });
  let armed = false;
  native().run(() => {
    const timeout = native().uvTimeout();
    if (!armed) ring.entry(POLL_ADD, native().uvFd(), LIBUV, { operation: 1 });
    armed = true;
    if (timeout === 0) {
      ring.enter();
    } else {
      ring.enter(1, timeout < 0 ? -1 : timeout * 1000);
    }
    let libuv = timeout === 0;
    for (const completion of ring.completions.splice(0)) {
      if (completion.tag === LIBUV) {
        libuv = true;
        armed = false;
      } else if (completion.tag === MAIL) parentPort?.postMessage({ mail: completion.result });
    }
    return libuv ? 1 : 0;
  });
  parentPort?.on('message', () => {
    native().stopRun();
    native().destroy();
    parentPort?.close();
  });
}

// Accepts and echoes for ever; is terminated in the middle of it.
function traffic(executor: Executor): void {
  const ring = new TestRing(executor, 64);
  const listener = native().listen('127.0.0.1', 0, 64, PORT.ALONE, 0, 0);
  const fds: number[] = [];
  const sending = new Map<number, number>();
  ring.accept(listener, ACCEPT);
  ring.enter();
  parentPort?.postMessage({ port: native().localPort(listener), listener });
  let armed = false;
  native().run(() => {
    if (!armed) ring.entry(POLL_ADD, native().uvFd(), LIBUV, { operation: 1 });
    armed = true;
    const timeout = native().uvTimeout();
    ring.enter(1, timeout < 0 ? 50_000 : 0);
    let libuv = timeout >= 0;
    for (const completion of ring.completions.splice(0)) {
      if (completion.tag === LIBUV) {
        libuv = true;
        armed = false;
      } else if (completion.tag === ACCEPT) {
        fds.push(completion.result);
        parentPort?.postMessage({ fd: completion.result });
        ring.receive(completion.result, 1000 + completion.result);
      } else if (completion.buffer >= 0) {
        const fd = completion.tag - 1000;
        sending.set(fd, completion.buffer);
        ring.send(fd, 100_000 + fd, completion.buffer * ring.bufferSize, completion.result);
      } else if (completion.tag > 100_000) {
        ring.give(sending.get(completion.tag - 100_000) ?? 0);
      }
    }
    return libuv ? 1 : 0;
  });
}

function throwing(executor: Executor): void {
  const ring = new TestRing(executor);
  let steps = 0;
  native().run(() => {
    ring.enter(0, 0);
    if (++steps === 3) throw new Error('step three');
    return 1;
  });
}

// Run as a process inside a network namespace whose netfilter redirects port 20401 to 20400.
async function redirected(): Promise<void> {
  const listener = native().listen('::', 20400, 16, PORT.ALONE, 0, 0);
  const ring = new TestRing('epoll');
  ring.accept(listener, ACCEPT);
  const seen: Record<string, string> = {};
  for (const [host, port] of [
    ['127.0.0.1', 20401],
    ['::1', 20401],
    ['127.0.0.1', 20400],
    ['::1', 20400],
  ] as const) {
    const client = connect(port, host);
    const { result } = await ring.take(ACCEPT);
    seen[`${host} ${port}`] = result < 0 ? `errno ${result}` : native().originalDestination(result);
    const original = new Uint8Array(28);
    const wanted = new Uint8Array(28);
    if (native().originalSockaddr(result, original, 0) > 0) {
      assert.equal(native().originalSockaddr(result, original, 0), native().sockaddr(host, port, wanted, 0));
      assert.deepEqual(original, wanted);
    } else assert.equal(native().originalDestination(result), '');
    client.destroy();
  }
  process.stdout.write(JSON.stringify(seen));
  ring.destroy();
  await sleep(0);
  process.exit(0);
}

if (isMainThread) {
  await redirected();
} else {
  const work = workerData as Work;
  if (work.role === 'mailbox') mailbox(work.executor);
  else if (work.role === 'traffic') traffic(work.executor);
  else throwing(work.executor);
}
