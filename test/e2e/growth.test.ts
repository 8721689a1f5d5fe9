// Thousands of services: what they cost, and that they work like few.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { availableExecutors, eventually, type Sluice, startSluice } from '../support/sluice.js';
import { httpOrigin, open } from './lifecycle-support.js';

const SERVICES = 5000;
const ENDPOINTS = 10;
const MIB = 1024;

/** Listeners `first` and `last` for the services of these names, which have the origin as their endpoint; then the services of nobody. */
function yaml(origin: number, count: number, prefix = 's'): string {
  let text = 'listeners:\n';
  for (const name of ['first', 'last']) text += `  - { name: ${name}, listen: "127.0.0.1:0", service: ${name} }\n`;
  text += `services:\n  first: { endpoints: ["127.0.0.1:${origin}"] }\n`;
  for (let i = 0; i < count; i++) {
    text += `  ${prefix}${i}:\n    endpoints:\n`;
    for (let j = 0; j < ENDPOINTS; j++) {
      const number = i * ENDPOINTS + j;
      text += `      - "10.${number >> 16}.${(number >> 8) & 255}.${number & 255}:8080"\n`;
    }
  }
  return `${text}  last: { endpoints: ["127.0.0.1:${origin}"] }\n`;
}

/** Memory of the process that is its own, KiB. */
const memory = ({ pid }: Sluice): number =>
  Number(/^Anonymous: +(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1]);

async function ask(sluice: Sluice, listener: string): Promise<string> {
  const client = await open(sluice.port(listener));
  const { body } = await client.get();
  client.socket.destroy();
  return body.toString();
}

for (const io of await availableExecutors()) {
  test(`${io}: ${SERVICES} services with ${SERVICES * ENDPOINTS} endpoints start, serve, and cost little`, async () => {
    const origin = await httpOrigin();
    const empty = await startSluice(yaml(origin.port, 0), io);
    const full = await startSluice(yaml(origin.port, SERVICES), io);
    try {
      for (const sluice of [empty, full]) {
        await eventually(async () => (await sluice.admin('/ready')).startsWith('ready'), 'ready');
        assert.equal(await ask(sluice, 'first'), 'hello');
        assert.equal(await ask(sluice, 'last'), 'hello');
      }
      const more = (): number => memory(full) - memory(empty);
      // Of some 110 MiB. What is idle for ten seconds gives back 15 MiB that its start has taken, which a large one goes on to use.
      await eventually(() => more() < 75 * MIB, `less than 75 MiB more (${more()} KiB at first)`, 60_000);

      const page = await full.admin('/metrics');
      assert.ok(page.split('\n').length < 5000, `${page.split('\n').length} lines`);
      assert.ok(page.includes('service="first"'));
      assert.ok(!page.includes('service="last"'), 'it comes after what has series of its own');
      assert.equal(await full.metric('sluice_service_requests_total', { service: 'overflow' }), 1);
      assert.equal(await full.metric('request_total', { service: 'overflow' }), 1);
      assert.equal(await full.metric('tcp_open_total', { peer: 'dst', service: 'overflow' }), 1);
      assert.equal(await full.metric('sluice_series_overflow', { table: 'service' }), SERVICES + 2 - 128);
      assert.equal(await full.metric('sluice_series_overflow', { table: 'endpoint' }), SERVICES * ENDPOINTS + 2 - 512);
      assert.equal(await empty.metric('sluice_series_overflow'), 0);

      full.reload(yaml(origin.port, 3000, 'other'));
      await full.logged(({ message }) => message === 'reloaded');
      assert.equal(await ask(full, 'first'), 'hello');
      assert.equal(await ask(full, 'last'), 'hello');
    } finally {
      await Promise.all([empty.stop(), full.stop(), origin.close()]);
    }
  });

  test(`${io}: endpoints that share a series are limited one by one`, async () => {
    const waiting: ServerResponse[] = [];
    const hold = (_: unknown, response: ServerResponse) => void waiting.push(response);
    const origins = [await httpOrigin(hold), await httpOrigin(hold), await httpOrigin(hold)];
    const sluice = await startSluice(
      `metrics: { maxEndpoints: 1 }\nlisteners: [{ name: edge, listen: "127.0.0.1:0", protocol: http1, service: web }]\n` +
        `services: { web: { protocol: http1, pool: { maxConnections: 1, maxIdle: 1 }, endpoints: [${origins.map(({ port }) => `"127.0.0.1:${port}"`).join(', ')}] } }\n`,
      io,
    );
    try {
      const clients = await Promise.all(origins.map(() => open(sluice.port('edge'))));
      for (let round = 0; round < 2; round++) {
        const answers = clients.map((client) => client.get());
        await eventually(() => waiting.length === 3, 'each endpoint has one request');
        assert.equal(await sluice.metric('tcp_open_connections', { peer: 'dst', target_addr: 'overflow' }), 2);
        assert.equal(await sluice.metric('sluice_endpoint_in_flight', { target_addr: 'overflow' }), 2);
        for (const response of waiting.splice(0)) response.end('done');
        assert.deepEqual(
          (await Promise.all(answers)).map(({ status }) => status),
          [200, 200, 200],
        );
        await eventually(
          async () => (await sluice.metric('sluice_endpoint_pool_idle', { target_addr: 'overflow' })) === 2,
          'each endpoint has an idle connection',
        );
      }
      assert.equal(await sluice.metric('tcp_open_total', { peer: 'dst' }), 3, 'the second round used the pools');
      for (const client of clients) client.socket.destroy();
    } finally {
      await sluice.stop();
      for (const origin of origins) await origin.close();
    }
  });

  test(`${io}: a service takes over the address of one that is gone`, async () => {
    const origin = await httpOrigin();
    const config = (name: string) =>
      `listeners: [{ name: edge, listen: "127.0.0.1:0", service: ${name} }]\nservices: { ${name}: { endpoints: ["127.0.0.1:${origin.port}"] } }\nmetrics: { maxServices: 7 }\n`;
    const sluice = await startSluice(config('old'), io);
    try {
      assert.equal(await ask(sluice, 'edge'), 'hello');
      sluice.reload(config('new').replace('maxServices: 7', 'maxServices: 8'));
      await sluice.logged(({ message, key }) => message.startsWith('this change needs a restart') && key === 'metrics');
      await sluice.logged(({ message }) => message === 'reloaded');
      assert.equal(await ask(sluice, 'edge'), 'hello');
      await eventually(
        async () => (await sluice.metric('request_total', { service: 'new' })) === 1,
        'the new service is counted',
      );
      await eventually(
        async () => (await sluice.metric('tcp_open_connections', { peer: 'dst', service: 'old' })) === 0,
        'the idle connection of the service that is gone is closed',
      );
    } finally {
      await sluice.stop();
      await origin.close();
    }
  });
}
