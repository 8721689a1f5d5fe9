// Endpoints that go away and come back: a service is never without one while any of them accepts, however long they were out.
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { tearDown } from '../support/gateway.js';
import { ask, Restartable, SPEAKS, type Speaks } from '../support/restartable.js';
import { availableExecutors, type Executor, eventually, type Sluice, startSluice } from '../support/sluice.js';
import { deadPort, fullListener } from '../support/tcp.js';

/** Longer than any test: nothing comes back by being probed. */
const NEVER = 'minBackoff: 10m, maxBackoff: 10m';

const start = (
  io: Executor,
  speaks: Speaks,
  endpoints: readonly { readonly address: string }[],
  service = '',
): Promise<Sluice> =>
  startSluice(
    [
      'drain: { hold: 0 }',
      'workers: 1',
      'listeners:',
      `  - { name: edge, listen: "127.0.0.1:0", service: web, protocol: ${speaks} }`,
      'services:',
      '  web:',
      `    protocol: ${speaks}`,
      `    endpoints: ${JSON.stringify(endpoints.map(({ address }) => address))}`,
      service,
      '',
    ].join('\n'),
    io,
  );

const ready = (sluice: Sluice): Promise<number> => sluice.metric('sluice_endpoint_state', { state: 'ready' });
const noEndpoint = (sluice: Sluice): Promise<number> => sluice.metric('sluice_service_no_endpoint_total');

async function during(
  speaks: Speaks,
  io: Executor,
  count: number,
  service: string,
  run: (sluice: Sluice, endpoints: readonly Restartable[]) => Promise<void>,
): Promise<void> {
  const endpoints = await Promise.all(Array.from({ length: count }, () => Restartable.start(speaks)));
  const sluice = await start(io, speaks, endpoints, service);
  try {
    await run(sluice, endpoints);
    assert.equal(await noEndpoint(sluice), 0);
  } finally {
    await sluice.stop();
    for (const endpoint of endpoints) await endpoint.stop();
  }
}

after(tearDown);

for (const io of await availableExecutors()) {
  describe(`endpoints that come back, on ${io}`, () => {
    for (const speaks of SPEAKS) {
      for (const count of [1, 2, 3]) {
        it(`${speaks}, ${count}: are used at once, however long they would still be out`, { timeout: 30_000 }, () =>
          during(speaks, io, count, `    breaker: { failures: 1, ${NEVER} }`, async (sluice, endpoints) => {
            const port = sluice.port('edge');
            assert.equal((await ask(speaks, port)).status, 200);
            for (const endpoint of endpoints) await endpoint.stop();
            await eventually(async () => {
              const { status, reason } = await ask(speaks, port);
              assert.deepEqual([status, reason], speaks === 'opaque' ? [0, null] : [502, reason]);
              assert.notEqual(reason, 'no-endpoint');
              return (await ready(sluice)) === 0;
            }, 'all are out');
            // One of them is enough.
            const [first] = endpoints;
            await first?.start();
            let asked = 0;
            await eventually(async () => {
              asked++;
              return (await ask(speaks, port)).status === 200;
            }, 'one is used again');
            assert.ok(asked <= 30, `${asked} were asked for nothing`);
            // From then on all is well.
            for (let i = 0; i < 5; i++) assert.equal((await ask(speaks, port)).status, 200);
            await eventually(async () => (await ready(sluice)) === 1, 'it is ready');
            const told = await sluice.logged(
              ({ message, endpoint }) => message.startsWith('an endpoint is out') && endpoint === first?.address,
            );
            assert.deepEqual(
              [told.level, told.service, told.reason, told.failures],
              ['warn', 'web', 'refused connects', 1],
            );
            await sluice.logged(
              ({ message, endpoint }) => message === 'an endpoint is back' && endpoint === first?.address,
            );
          }),
        );
      }

      for (const count of [2, 3]) {
        for (const pauseMs of [0, 30]) {
          it(
            `${speaks}, ${count}: restarted one after the other, ${pauseMs} ms between: nobody notices`,
            { timeout: 30_000 },
            () =>
              during(speaks, io, count, `    breaker: { failures: 2, ${NEVER} }`, async (sluice, endpoints) => {
                const port = sluice.port('edge');
                for (let round = 0; round < 2; round++) {
                  for (const endpoint of endpoints) {
                    await endpoint.stop();
                    // So many that it is out: those that meet it go to another.
                    for (let i = 0; i < 12; i++) assert.equal((await ask(speaks, port)).status, 200, `request ${i}`);
                    await endpoint.start();
                    await wait(pauseMs);
                  }
                }
              }),
          );
        }
      }
    }

    for (const [what, status, reason, address] of [
      [
        'refuse',
        502,
        'connect-failed',
        async () => ({ address: `127.0.0.1:${await deadPort()}`, close: () => undefined }),
      ],
      ['swallow', 504, 'connect-timeout', fullListener],
    ] as const) {
      it(`that ${what} connects are dialled at an interval; who need not wait hears why`, {
        timeout: 30_000,
      }, async () => {
        const endpoint = await address();
        const service = `    connectTimeout: 300ms\n    breaker: { failures: 1, ${NEVER}, dialInterval: 10m }`;
        const sluice = await start(io, 'http1', [endpoint], service);
        try {
          for (let i = 0; i < 5; i++) {
            const answer = await ask('http1', sluice.port('edge'));
            assert.deepEqual([answer.status, answer.reason], [status, reason]);
          }
          assert.equal(await sluice.metric('sluice_endpoint_connect_failures_total'), 1);
          assert.equal(await sluice.metric('sluice_endpoint_breaker_opened_total'), 1);
          assert.ok((await sluice.metric('sluice_endpoint_dials_paced_total')) >= 4);
          assert.ok((await sluice.metric('sluice_service_panic_picks_total')) >= 4);
          assert.equal(await noEndpoint(sluice), 0);
        } finally {
          await sluice.stop();
          endpoint.close();
        }
      });
    }
  });
}
