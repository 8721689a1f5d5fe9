import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ListenerConfig } from '../../src/config/model.js';
import { type Native, PORT } from '../../src/io/native.js';
import { ListenerSet, listenerKey } from '../../src/supervisor/listeners.js';

const WORKERS = 2;

const listener = (name: string, port: number): ListenerConfig => ({
  name,
  listen: { host: '127.0.0.1', port },
  protocol: 'http1',
  services: { http1: 'web', http2: null, tls: null, opaque: null },
  originalDestination: false,
  halfClose: false,
  shared: false,
  via: null,
  date: false,
  mesh: false,
  tls: null,
  proxyProtocol: null,
  direction: 'inbound',
  authorization: null,
  meshHeaders: 'auto',
  detect: { timeoutMs: 0, raceMs: -2, helloMs: 0, learnTtlMs: 0 },
  backlog: 16,
  keepAliveMs: 0,
  userTimeoutMs: 0,
  opaquePorts: null,
  connectTimeoutMs: 1000,
});

/** Descriptors without a kernel: which are open, and on which port. */
function fakeNative(taken: ReadonlySet<number> = new Set()) {
  const open = new Map<number, number>();
  let next = 100;
  let ephemeral = 40_000;
  const native = {
    listen: (_host: string, port: number, _backlog: number, sharing: number) => {
      const foreign = taken.has(port) || (sharing === PORT.FIRST && port !== 0 && [...open.values()].includes(port));
      if (foreign) throw Object.assign(new Error('listen'), { code: 'EADDRINUSE' });
      open.set(next, port === 0 ? ephemeral++ : port);
      return next++;
    },
    localPort: (fd: number) => open.get(fd) ?? -9,
    close: (fd: number) => {
      assert.equal(open.delete(fd), true, `${fd} is closed once`);
      return 0;
    },
  } as unknown as Native;
  return { native, open };
}

test('every worker gets a socket of its own on the same port, also on one of the kernel’s choosing', () => {
  const { native, open } = fakeNative();
  const set = new ListenerSet(native, WORKERS);
  const edge = listener('edge', 0);
  const [key] = set.add([edge]);
  assert.equal(key, listenerKey(edge));
  assert.notEqual(set.fd(key, 0), set.fd(key, 1));
  assert.deepEqual([...open.values()], [set.port(key), set.port(key)]);
});

test('if one of several can’t be bound, none stays open', () => {
  const { native, open } = fakeNative(new Set([81]));
  const set = new ListenerSet(native, WORKERS);
  const kept = set.add([listener('kept', 79)]);
  assert.throws(() => set.add([listener('kept', 79), listener('free', 80), listener('busy', 81)]), {
    message:
      /^listener busy: 127\.0\.0\.1:81 is in use by another process; ss -tanp 'sport = :81' shows it.*listeners\[2\]\.listen$/,
    code: 'EADDRINUSE',
  });
  assert.deepEqual([...open.values()], [79, 79]);
  assert.ok(set.fd(kept[0], 0) >= 0);
});

test('a retired listener is out of use at once, and closed socket by socket as the workers let go', () => {
  const { native, open } = fakeNative();
  const set = new ListenerSet(native, WORKERS);
  const [old] = set.add([listener('edge', 80)]);
  const fds = [0, 1].map((worker) => set.fd(old, worker));
  // It moves to another port, under the same name.
  const [moved] = set.add([listener('edge', 81)]);
  assert.deepEqual(set.retire(new Set([moved])), [old]);
  assert.equal(set.fd(old, 0), -1);
  assert.equal(open.size, 4);
  set.released(0, fds[0]);
  assert.equal(open.has(fds[0]), false);
  assert.equal(open.has(fds[1]), true);
  set.released(0, fds[1]);
  assert.equal(open.has(fds[1]), true, 'it is not that worker’s');
  set.released(1, fds[1]);
  set.released(1, fds[1]);
  assert.deepEqual([...open.values()], [81, 81]);
});

test('a worker that dies leaves no retired socket behind; its share of the others stays for the replacement', () => {
  const { native, open } = fakeNative();
  const set = new ListenerSet(native, WORKERS);
  set.add([listener('gone', 80)]);
  const [stays] = set.add([listener('stays', 81)]);
  set.retire(new Set([stays]));
  set.abandoned(1);
  assert.deepEqual([...open.values()].sort(), [80, 81, 81]);
  assert.ok(set.fd(stays, 1) >= 0);
  set.close();
  assert.equal(open.size, 0);
});

test('a listener that gets another name keeps its address, also while the old one is being emptied', () => {
  const { native, open } = fakeNative();
  const set = new ListenerSet(native, WORKERS);
  set.add([listener('old', 80)]);
  const [key] = set.add([listener('new', 80)]);
  set.retire(new Set([key]));
  set.retire(new Set());
  set.add([listener('newest', 80)]);
  assert.deepEqual([...open.values()], [80, 80, 80, 80, 80, 80]);
});
