import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Wire } from '../support/http.js';
import { availableExecutors, eventually } from '../support/sluice.js';
import { basicConfig, httpOrigin, open } from './lifecycle-support.js';
import { type Host, startEngine } from './workers-support.js';

/** `name` of each worker. */
const perWorker = (host: Host, name: string, workers: number): Promise<number[]> =>
  Promise.all(Array.from({ length: workers }, (_, worker) => host.metric(name, { worker })));

for (const io of await availableExecutors()) {
  for (const workers of [2, 4]) {
    test(`${io}: long-lived connections are spread exactly over ${workers} workers, and served where they are`, async () => {
      const origin = await httpOrigin();
      const host = await startEngine(basicConfig(origin.port, `workers: ${workers}\n`), io);
      const connections: Wire[] = [];
      for (let i = 0; i < 8; i++) {
        const connection = await open(host.port);
        assert.equal((await connection.get()).status, 200);
        connections.push(connection);
      }
      const expected = Array.from({ length: workers }, () => 8 / workers);
      assert.deepEqual(await perWorker(host, 'sluice_worker_connections', workers), expected);

      // Half of them leave, all from the same workers or not: who comes next fills the gaps.
      for (const connection of connections.splice(0, 4)) connection.destroy();
      await eventually(async () => (await host.metric('sluice_worker_connections')) === 4, 'four are gone');
      for (let i = 0; i < 4; i++) {
        const connection = await open(host.port);
        await connection.get();
        connections.push(connection);
      }
      assert.deepEqual(await perWorker(host, 'sluice_worker_connections', workers), expected);
      for (const connection of connections) assert.equal((await connection.get()).status, 200);

      const over = await host.metric('sluice_handed_over_total');
      assert.equal(await host.metric('sluice_handed_in_total'), over);
      // With four it is next to impossible that the kernel alone has spread them like this.
      if (workers === 4) assert.ok(over > 0);
      assert.equal(await host.metric('sluice_accepted_total'), 12);
      for (const connection of connections) connection.destroy();
      assert.equal(await host.stop(), 0);
      await origin.close();
    });
  }

  test(`${io}: 10,000 short connections are spread over two workers within 5 %`, async () => {
    const origin = await httpOrigin();
    const host = await startEngine(basicConfig(origin.port, 'workers: 2\n'), io);
    let left = 10_000;
    const client = async (): Promise<void> => {
      while (left-- > 0) {
        const connection = await open(host.port);
        assert.equal((await connection.get('/', 'Connection: close\r\n')).status, 200);
        await connection.closed();
        connection.destroy();
      }
    };
    await Promise.all(Array.from({ length: 16 }, client));
    const accepted = await perWorker(host, 'sluice_accepted_total', 2);
    const over = await perWorker(host, 'sluice_handed_over_total', 2);
    const taken = await perWorker(host, 'sluice_handed_in_total', 2);
    const served = accepted.map((n, worker) => n - over[worker] + taken[worker]);
    assert.equal(served[0] + served[1], 10_000);
    assert.ok(Math.abs(served[0] - 5000) <= 250, `spread: ${served.join(', ')}`);
    await eventually(async () => (await host.metric('sluice_worker_connections')) === 0, 'all are closed');
    assert.equal(await host.stop(), 0);
    await origin.close();
  });
}
