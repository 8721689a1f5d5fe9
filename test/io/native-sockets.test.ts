import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { native, PORT } from '../../src/io/native.js';
import { CANCELLED, CLOSED, LISTENER, RECEIVED } from './native-support.js';
import { CLOSE, TestRing } from './test-ring.js';

const fdOf = (socket: Socket): number =>
  (socket as unknown as { readonly _handle: { readonly fd: number } })._handle.fd;

describe('native sockets', () => {
  it('explains a listener that can not be had', (t) => {
    const taken = native().listen('127.0.0.1', 0, 1, PORT.ALONE, 0, 0);
    t.after(() => native().close(taken));
    const port = native().localPort(taken);
    assert.throws(() => native().listen('127.0.0.1', port, 1, PORT.ALONE, 0, 0), {
      message: `listen tcp 127.0.0.1:${port}: EADDRINUSE (address already in use)`,
      code: 'EADDRINUSE',
      syscall: 'bind',
      errno: -98,
    });
    assert.throws(() => native().listen('203.0.113.1', 0, 1, PORT.ALONE, 0, 0), {
      code: 'EADDRNOTAVAIL',
      syscall: 'bind',
    });
    assert.throws(() => native().listen('localhost', 0, 1, PORT.ALONE, 0, 0), { code: 'EINVAL' });
    assert.throws(() => native().listen('::1', 70_000, 1, PORT.ALONE, 0, 0), {
      message: 'listen tcp [::1]:70000: EINVAL (invalid argument)',
    });
  });

  it('knows a socket that is its own peer', async () => {
    for (const host of ['127.0.0.1', '::1']) {
      const server = createServer().listen(0, host);
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      const other = connect(port, host);
      await once(other, 'connect');
      assert.equal(native().connectedToItself(fdOf(other)), 0);
      other.destroy();
      await new Promise((resolve) => server.close(resolve));
      const itself = connect({ port, host, localAddress: host, localPort: port });
      await once(itself, 'connect');
      assert.equal(native().connectedToItself(fdOf(itself)), 1);
      itself.resetAndDestroy();
    }
    assert.equal(native().connectedToItself(-1), 0);
  });

  it('shares a port where asked', (t) => {
    const first = native().listen('127.0.0.1', 0, 1, PORT.SHARED, 0, 0);
    t.after(() => native().close(first));
    const second = native().listen('127.0.0.1', native().localPort(first), 1, PORT.SHARED, 0, 0);
    native().close(second);
  });

  it('listens on both families for ::, and names IPv4 peers as such', async (t) => {
    const ring = new TestRing('epoll');
    const listener = native().listen('::', 0, 16, PORT.ALONE, 0, 0);
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
    const listener = native().listen('127.0.0.1', 0, 16, PORT.ALONE, 0, 0);
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
