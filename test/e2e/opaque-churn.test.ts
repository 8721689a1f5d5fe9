// Thousands of connections that end in every possible way at every possible moment leave nothing behind.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import type { Socket } from 'node:net';
import { after, describe, test } from 'node:test';
import { availableExecutors, eventually, plainSockets, startSluice } from '../support/sluice.js';
import { dial, hangUp, listen } from '../support/tcp.js';

const CONNECTIONS = 2500;
const AT_ONCE = 40;
const PIPES = 8;

/** mulberry32: the same story every time. */
function random(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const PAYLOAD = Buffer.alloc(4 << 20, 'payload');

after(hangUp);

for (const io of await availableExecutors()) {
  for (const protocol of ['opaque', 'detect'] as const) {
    describe(`${io}, ${protocol}`, () => {
      test('random ends with data in flight leave no connection, buffer, descriptor or pipe behind', async () => {
        const next = random(0x51);
        // What one side does: sends some, and then ends, closes, resets or waits for the other.
        const act = (socket: Socket): void => {
          const size = next() < 0.1 ? Math.floor(next() * PAYLOAD.length) : Math.floor(next() * 40_000);
          const first = Math.floor(next() * size);
          const how = Math.floor(next() * 5);
          const wait = Math.floor(next() * 4);
          if (next() < 0.8) socket.resume();
          socket.write(PAYLOAD.subarray(0, first));
          const finish = (): void => {
            if (socket.destroyed) return;
            if (how === 0) socket.end(PAYLOAD.subarray(first, size));
            else if (how === 1) socket.destroy();
            else if (how === 2) socket.resetAndDestroy();
            else if (how === 3) socket.write(PAYLOAD.subarray(first, size), () => socket.resetAndDestroy());
            else socket.end();
          };
          socket.once('end', () => socket.end());
          if (wait === 0) finish();
          else setTimeout(finish, wait * 3);
        };
        const server = await listen(act);
        const sluice = await startSluice(
          `limits: { slab: 8MiB, maxPipes: ${PIPES}, opaque: { idleTimeout: 2s } }
listeners:
  - { name: in, listen: "127.0.0.1:0", service: out, protocol: ${protocol}, detect: { timeout: 100ms } }
services:
  out: { endpoints: ["127.0.0.1:${server.port}"], breaker: { failures: 0 } }
`,
          io,
        );
        const descriptors = (): number => readdirSync(`/proc/${sluice.pid}/fd`).length;
        await sluice.metric('sluice_pipes_open');
        const before = descriptors();
        try {
          let started = 0;
          const one = async (): Promise<void> => {
            while (started < CONNECTIONS) {
              started++;
              let socket: Socket;
              try {
                socket = await dial(sluice.port('in'));
              } catch {
                continue;
              }
              const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
              act(socket);
              // A side that neither reads nor ends is let go by Sluice's idle timeout; the test has no time for that.
              const enough = setTimeout(() => socket.destroy(), 50);
              await closed;
              clearTimeout(enough);
            }
          };
          await Promise.all(Array.from({ length: AT_ONCE }, one));
          for (const socket of server.sockets) socket.destroy();

          await eventually(
            async () => (await sluice.metric('tcp_open_connections')) === 0,
            'every connection is closed',
            15_000,
          );
          assert.equal(await sluice.metric('tcp_open_total'), await sluice.metric('tcp_close_total'));
          assert.ok((await sluice.metric('tcp_open_total', { peer: 'src' })) > CONNECTIONS / 2);
          await eventually(async () => (await sluice.metric('sluice_worker_sockets')) === 0, 'every slot is free');
          await eventually(
            async () =>
              (await sluice.metric('sluice_slab_free_buffers')) === (await sluice.metric('sluice_slab_buffers')),
            'the slab is whole',
          );
          if (plainSockets) assert.ok((await sluice.metric('sluice_splice_starts_total')) > 0, 'some were spliced');
          assert.ok((await sluice.metric('sluice_pipes_open')) <= PIPES);
          await eventually(() => descriptors() <= before + 2 * PIPES + 2, 'no descriptor is left open');
        } finally {
          await sluice.stop();
          await server.close();
        }
      });
    });
  }
}
