// A process that warms up before it is ready differs from one that does not in nothing that anybody can see, but for two metrics.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { answering, exchange, OK, upstream } from '../support/http.js';
import { availableExecutors, eventually, type Sluice, startSluice } from '../support/sluice.js';
import { basicConfig, httpOrigin } from './lifecycle-support.js';
import { startEngine } from './workers-support.js';

/** What is not the same in two processes that have done the same. */
const OWN = /^sluice_(warmup|loop|completions|worker_cpu|worker_rests)/;

/** Series of traffic that are not 0. */
async function counted(sluice: Sluice): Promise<string[]> {
  const lines = (await sluice.admin('/metrics')).split('\n');
  const series = lines.map((line) =>
    /^((?:sluice|tcp|request|response|inbound|outbound)_\S+(?:\{.*\})?) (\S+)$/.exec(line),
  );
  return series.flatMap((match) => (match === null || Number(match[2]) === 0 || OWN.test(match[1]) ? [] : [match[1]]));
}

const descriptors = ({ pid }: Sluice): number => readdirSync(`/proc/${pid}/fd`).length;

for (const io of await availableExecutors()) {
  test(`${io}: a warm-up leaves nothing behind but what it says of itself, and the proxy serves`, async (t) => {
    const endpoint = await upstream(answering(() => OK));
    t.after(() => endpoint.close());
    const yaml = `log: { access: true }
drain: { hold: 0s }
listeners: [{ name: edge, listen: "127.0.0.1:0", service: one }]
services: { one: { endpoints: ["${endpoint.address}"] } }
`;
    const [warm, cold] = await Promise.all([
      startSluice(yaml, io, { SLUICE_WARMUP: 'auto' }),
      startSluice(yaml, io, { SLUICE_WARMUP: 'off' }),
    ]);
    t.after(() => Promise.all([warm.stop(), cold.stop()]));
    assert.ok((await warm.metric('sluice_warmup_seconds')) > 0);
    assert.equal(await cold.metric('sluice_warmup_requests'), 0);
    assert.equal(await cold.metric('sluice_warmup_seconds'), 0);
    // Gauges are there with the first sample.
    await eventually(
      async () => (await counted(warm)).join('\n') === (await counted(cold)).join('\n'),
      'both have counted the same',
    );
    await eventually(() => descriptors(warm) === descriptors(cold), 'both have as many descriptors');
    assert.deepEqual(
      // Without any CPU for as long as it may take it says so.
      warm.log.map(({ message }) => message).filter((message) => !message.startsWith('the warm-up failed')),
      cold.log.map(({ message }) => message),
    );
    const answer = await exchange(warm.port('edge'), 'GET / HTTP/1.1\r\nhost: one\r\n\r\n');
    assert.equal(answer.status, 200);
    assert.equal(await warm.stop(), 0);
    assert.equal(await cold.stop(), 0);
  });
}

test('a worker that takes the place of one that has died does not warm up: clients wait for it', async (t) => {
  const [io] = await availableExecutors();
  const origin = await httpOrigin();
  const host = await startEngine(`warmup: auto\n${basicConfig(origin.port)}`, io);
  t.after(async () => {
    await host.stop();
    await origin.close();
  });
  assert.ok((await host.metric('sluice_warmup_seconds')) > 0);
  await host.engine.pool.terminate(0);
  await eventually(
    () => host.log.some(({ message }) => message === 'replacing the worker'),
    'a replacement is started',
  );
  await eventually(async () => (await host.metric('sluice_worker_ready')) === 1, 'it accepts');
  assert.equal(await host.metric('sluice_warmup_seconds'), 0);
});
