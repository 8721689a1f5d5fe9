import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import type { Wire } from '../support/http.js';
import { availableExecutors, eventually, startSluice } from '../support/sluice.js';
import { basicConfig, httpOrigin, open } from './lifecycle-support.js';

for (const io of await availableExecutors()) {
  test(`${io}: past maxConnections a connection is reset and counted; when one leaves, the next is served`, async () => {
    const origin = await httpOrigin();
    const sluice = await startSluice(basicConfig(origin.port, 'limits: { maxConnections: 3 }\n'), io);
    const port = sluice.port('edge');
    const held: Wire[] = [];
    for (let i = 0; i < 3; i++) {
      const connection = await open(port);
      await connection.get();
      held.push(connection);
    }
    // The reset may come so soon that it is the connect that fails.
    await assert.rejects(async () => (await open(port)).get(), /ECONNRESET|reset before the end of a message/);
    assert.equal(await sluice.metric('sluice_limit_total', { limit: 'connections' }), 1);
    for (const connection of held) assert.equal((await connection.get()).status, 200);

    held.pop()?.destroy();
    await eventually(async () => (await sluice.metric('sluice_worker_connections')) === 2, 'one has left');
    const next = await open(port);
    assert.equal((await next.get()).status, 200);
    for (const connection of [...held, next]) connection.destroy();
    assert.equal(await sluice.stop(), 0);
    await origin.close();
  });

  test(`${io}: out of descriptors: what is open goes on, accepting backs off, and recovers`, async () => {
    const origin = await httpOrigin();
    const sluice = await startSluice(basicConfig(origin.port), io, {}, ['prlimit', '--nofile=64']);
    const port = sluice.port('edge');
    const early = await open(port);
    assert.equal((await early.get()).status, 200);
    // More than there is room for; the kernel takes the rest into the queue.
    const crowd: Socket[] = [];
    let connected = 0;
    for (let i = 0; i < 200; i++) {
      const socket = connect(port, '127.0.0.1', () => connected++);
      socket.on('error', () => undefined);
      crowd.push(socket);
    }
    await eventually(() => connected === crowd.length, 'the kernel has taken them all');
    // What is kept for endpoints and the admin port is not given to clients.
    await eventually(async () => (await sluice.metric('sluice_accept_pauses_total')) > 0, 'accepting pauses');
    assert.ok(readdirSync(`/proc/${sluice.pid}/fd`).length < 64);
    for (let i = 0; i < 20; i++) assert.equal((await early.get()).status, 200);
    for (const socket of crowd) socket.destroy();
    // Accepting begins again by itself.
    await eventually(
      async () => (await sluice.metric('sluice_limit_total', { limit: 'file-descriptors' })) > 0,
      'it is counted',
    );
    const late = await open(port);
    assert.equal((await late.get()).status, 200);
    // A few retries, not a loop that spins.
    assert.ok((await sluice.metric('sluice_accept_errors_total')) < 50);
    early.destroy();
    late.destroy();
    assert.equal(await sluice.stop(), 0);
    await origin.close();
  });
}
