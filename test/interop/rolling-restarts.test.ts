// Endpoints are restarted one after the other, as a deployment does it, while clients go on asking: nobody notices.
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { availableExecutors, eventually, type Sluice, startSluice } from '../support/sluice.js';
import { asking, killAll, Restarting, type Spoken } from './restarting.js';

const SPOKEN: readonly Spoken[] = ['http1', 'http2', 'opaque'];
const LANES = 8;
const RESET = /upstream-reset|ECONNRESET/;

const started = new Set<Sluice>();
after(killAll);
after(() => {
  for (const { child } of started) child.kill('SIGKILL');
});

for (const io of await availableExecutors()) {
  /** Services of that many endpoints, one for each protocol. */
  const start = async (count: number): Promise<[Sluice, Record<Spoken, Restarting[]>]> => {
    const endpoints = { http1: [], http2: [], opaque: [] } as Record<Spoken, Restarting[]>;
    for (const spoken of SPOKEN) {
      endpoints[spoken] = Array.from({ length: count }, () => new Restarting(spoken));
      for (const endpoint of endpoints[spoken]) await endpoint.start();
    }
    const list = (spoken: Spoken): string => endpoints[spoken].map(({ address }) => `"${address}"`).join(', ');
    const sluice = await startSluice(
      [
        'drain: { hold: 0 }',
        'listeners:',
        ...SPOKEN.map((name) => `  - { name: ${name}, listen: "127.0.0.1:0", service: ${name} }`),
        'services:',
        ...SPOKEN.map((name) => `  ${name}: { protocol: ${name}, endpoints: [${list(name)}] }`),
        '',
      ].join('\n'),
      io,
    );
    started.add(sluice);
    return [sluice, endpoints];
  };

  describe(`rolling restarts on ${io}`, { concurrency: 2 }, () => {
    for (const [count, down, between, rounds] of [
      [2, 300, 50, 4],
      [2, 1000, 100, 2],
      [3, 500, 0, 2],
      [3, 200, 300, 2],
    ] as const) {
      it(`${count} endpoints, each away for ${down} ms, ${between} ms between`, async () => {
        const [sluice, endpoints] = await start(count);
        const asked = SPOKEN.map((spoken) => asking(sluice.port(spoken), spoken, LANES));
        await delay(200);
        for (let i = 0; i < rounds * count; i++) {
          await Promise.all(
            SPOKEN.map(async (spoken) => {
              const endpoint = endpoints[spoken][i % count];
              await endpoint?.stop();
              await delay(down);
              await endpoint?.start();
            }),
          );
          await delay(between);
        }
        await Promise.all(asked.map((one) => one.stop()));
        for (const [i, { failures, asked: total }] of asked.entries()) {
          assert.ok(total > 100, `${total} of ${SPOKEN[i]}`);
          // Connections that the kernel had made for an endpoint which never took them are reset as it stops accepting.
          const resets = await sluice.metric('tcp_close_total', {
            peer: 'dst',
            service: SPOKEN[i] ?? '',
            errno: 'reset',
          });
          for (const [said, times] of failures) if (RESET.test(said) && times <= resets) failures.delete(said);
          assert.deepEqual(Object.fromEntries(failures), {}, `${SPOKEN[i]}: of ${total}`);
        }
        assert.equal(await sluice.metric('sluice_proxy_response_total', { reason: 'no-endpoint' }), 0);
        assert.equal(await sluice.stop(), 0);
        await Promise.all(
          Object.values(endpoints)
            .flat()
            .map((endpoint) => endpoint.kill()),
        );
      });
    }

    it('an endpoint that is back is asked again, however long its absence was', async () => {
      const [sluice, endpoints] = await start(2);
      for (const spoken of SPOKEN) {
        for (const endpoint of endpoints[spoken]) await endpoint.kill();
      }
      const asked = SPOKEN.map((spoken) => asking(sluice.port(spoken), spoken, LANES));
      await delay(5000);
      // One endpoint of two is back; within a second everybody is served.
      await Promise.all(SPOKEN.map((spoken) => endpoints[spoken][0]?.start()));
      await eventually(
        () => SPOKEN.every((spoken) => (endpoints[spoken][0]?.served ?? 0) > 0),
        'each service is served',
        10_000,
      );
      await delay(1000);
      for (const one of asked) one.failures.clear();
      await delay(500);
      for (const [i, { failures }] of asked.entries()) assert.deepEqual(Object.fromEntries(failures), {}, SPOKEN[i]);
      await Promise.all(asked.map((one) => one.stop()));
      assert.equal(await sluice.stop(), 0);
      await Promise.all(
        Object.values(endpoints)
          .flat()
          .map((endpoint) => endpoint.kill()),
      );
    });
  });
}
