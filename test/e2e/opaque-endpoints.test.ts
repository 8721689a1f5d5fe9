// What ends an opaque connection that nobody ends, and what becomes of one whose endpoint is not there.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { afterEach, describe, test } from 'node:test';
import { which } from '../support/servers.js';
import { availableExecutors, eventually } from '../support/sluice.js';
import { deadPort, dial, drink, ended, fate, hangUp, listen, pour, read, readAll } from '../support/tcp.js';

import { clean, start } from './opaque-support.js';

const MiB = 1 << 20;

afterEach(hangUp);

for (const io of await availableExecutors()) {
  describe(io, () => {
    describe('timeouts', () => {
      const cases = [
        { name: 'idle', limits: 'opaque: { idleTimeout: 150ms }', limit: 'opaque-idle' },
        { name: 'lifetime', limits: 'opaque: { lifetime: 150ms }', limit: 'opaque-lifetime' },
        { name: 'half-close', limits: 'opaque: { halfCloseTimeout: 150ms }', limit: 'half-close' },
      ] as const;
      for (const { name, limits, limit } of cases) {
        test(`${name} ends a connection and is counted`, async () => {
          const server = await listen();
          const sluice = await start(io, [server.port], { limits });
          try {
            const client = await dial(sluice.port('in'));
            const upstream = await server.next();
            client.write('x');
            await read(upstream, 1);
            const ends = Promise.all([ended(client), ended(upstream)]);
            if (name === 'half-close') client.end();
            const chatter = name === 'lifetime' ? setInterval(() => client.write('x'), 20) : undefined;
            await ends;
            clearInterval(chatter);
            assert.equal(await sluice.metric('sluice_limit_total', { limit }), 1);
            assert.equal(await sluice.metric('tcp_close_total', { peer: 'src', errno: 'timeout' }), 1);
            client.destroy();
            await clean(sluice);
          } finally {
            await sluice.stop();
            await server.close();
          }
        });
      }
    });

    test('a client of an endpoint that nobody listens on sees a RST', async () => {
      const sluice = await start(io, [await deadPort()]);
      try {
        // It may come before the client hears that it is connected.
        assert.equal(await fate(sluice.port('in')), 'ECONNRESET');
        await clean(sluice);
        assert.equal(await sluice.metric('tcp_close_total', { peer: 'src', errno: 'no-endpoint' }), 1);
      } finally {
        await sluice.stop();
      }
    });

    test('with one dead endpoint of two, every connection is served with all that the client sent', async () => {
      const server = await listen((socket) => socket.pipe(socket));
      const sluice = await start(io, [await deadPort(), server.port], {
        service: 'balance: { policy: round-robin }, breaker: { failures: 0 }',
      });
      try {
        const results = await Promise.all(
          Array.from({ length: 40 }, async (_, i) => {
            const client = await dial(sluice.port('in'));
            client.end(`${i}:`.repeat(i * 500));
            return (await readAll(client)).toString() === `${i}:`.repeat(i * 500);
          }),
        );
        assert.deepEqual(results, new Array(40).fill(true));
        await clean(sluice);
        assert.ok(
          (await sluice.metric('tcp_close_total', { peer: 'dst', errno: 'refused' })) > 0,
          'the dead one was tried',
        );
      } finally {
        await sluice.stop();
        await server.close();
      }
    });

    describe('an endpoint that does not answer', {
      skip: which('python3') === null && 'python3 is not installed',
    }, () => {
      // A queue of one that is full drops further SYNs, as a host that is down would.
      const STUCK = `
import socket, sys
listener = socket.socket()
listener.bind(('127.0.0.1', 0))
listener.listen(0)
held = []
for _ in range(4):
    s = socket.socket()
    s.setblocking(False)
    try: s.connect(listener.getsockname())
    except BlockingIOError: pass
    held.append(s)
print(listener.getsockname()[1], flush=True)
sys.stdin.readline()
for s in held: s.close()
while True:
    c, _ = listener.accept()
    total = 0
    while True:
        data = c.recv(1 << 20)
        if not data: break
        total += len(data)
    c.sendall(str(total).encode())
    c.close()
`;
      async function stuck(): Promise<{ port: number; answer: () => void; stop: () => void }> {
        const child = spawn('python3', ['-c', STUCK], { stdio: ['pipe', 'pipe', 'inherit'] });
        const port = await new Promise<number>((resolve) =>
          child.stdout.once('data', (chunk: Buffer) => resolve(Number(chunk.toString()))),
        );
        return { port, answer: () => void child.stdin.write('\n'), stop: () => void child.kill() };
      }

      test('keeps what the client sends meanwhile, within bounds, and gets it when it answers', async () => {
        const slow = await stuck();
        const sluice = await start(io, [slow.port], { limits: 'maxBuffered: 64KiB', service: 'connectTimeout: 30s' });
        try {
          const size = 24 * MiB;
          const client = await dial(sluice.port('in'));
          const sent = pour(client, 9, size).then(() => client.end());
          await eventually(async () => (await sluice.metric('sluice_backpressure_total')) > 0, 'the client is held up');
          assert.ok((await sluice.metric('tcp_read_bytes_total', { peer: 'src' })) < 1 * MiB);
          slow.answer();
          assert.equal((await readAll(client)).toString(), String(size));
          await sent;
          await clean(sluice);
        } finally {
          await sluice.stop();
          slow.stop();
        }
      });

      test('is given up after the connect timeout, and another one gets everything, however much', async () => {
        const slow = await stuck();
        const server = await listen();
        const sluice = await start(io, [slow.port, server.port], {
          limits: 'maxBuffered: 64KiB, maxPipes: 0, slab: 16MiB',
          service: 'connectTimeout: 200ms, balance: { policy: round-robin }, breaker: { failures: 0 }',
        });
        const held = async (): Promise<number> =>
          (await sluice.metric('tcp_read_bytes_total', { peer: 'src' })) -
          (await sluice.metric('tcp_write_bytes_total', { peer: 'dst' }));
        try {
          const size = 32 * MiB;
          for (let i = 0; i < 2; i++) {
            const client = await dial(sluice.port('in'));
            const sent = pour(client, i, size);
            sent.catch(() => undefined);
            const upstream = await server.next();
            // It is slow, too: what was held for the first one and what comes now share one bound.
            let before = -1;
            await eventually(async () => {
              const read = await sluice.metric('tcp_read_bytes_total', { peer: 'src' });
              const stalled = read === before;
              before = read;
              return stalled && (await held()) > 0;
            }, 'the client is held up');
            assert.ok((await held()) < 4 * MiB, `${await held()} bytes are held`);
            assert.equal(await drink(upstream, size), await sent);
            client.end();
            upstream.end();
            await Promise.all([ended(client), ended(upstream)]);
          }
          await clean(sluice);
          assert.ok(
            (await sluice.metric('tcp_close_total', { peer: 'dst', errno: 'timeout' })) > 0,
            'the silent one was tried',
          );
          assert.ok((await sluice.metric('sluice_backpressure_total')) > 0, 'the client was held up meanwhile');
        } finally {
          await sluice.stop();
          slow.stop();
          await server.close();
        }
      });
    });
  });
}
