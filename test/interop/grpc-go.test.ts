// grpc-go on both sides: it pings to measure the bandwidth whenever data arrives, sends a frame for each small message, and cancels
// streams that it has heard enough of. None of it is an attack.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startGateway, tearDown } from '../support/gateway.js';
import type { RealServer } from '../support/servers.js';
import { availableExecutors, type Sluice } from '../support/sluice.js';
import { lacking, peerClient, peerServer, stopPeers, type Tally } from './peers.js';

/** More than any allowance would be without regard to what the connection is used for. */
const MANY_PINGS = 1000;

after(tearDown);
after(stopPeers);

for (const [which, io] of (await availableExecutors()).entries()) {
  // Allowances lie above the executors: long enough to use them up on one.
  const seconds = which === 0 ? 4 : 1;
  describe(`grpc-go on ${io}`, { skip: lacking('go') }, () => {
    let server: RealServer & { readonly address: string };
    let sluice: Sluice;
    const ask = <T>(command: string, ...args: readonly (string | number)[]): Promise<T> =>
      peerClient<T>('go', command, `127.0.0.1:${sluice.port('edge')}`, ...args);

    before(async () => {
      server = await peerServer('go', 'serve', 'grpc');
      sluice = await startGateway(io, [server.address], { speaks: 'auto' });
    });
    after(async () => {
      assert.equal(await sluice.stop(), 0);
      await server.stop();
    });

    it('may measure the bandwidth as client and as server', async () => {
      for (const [role, ...direction] of [['server'], ['client', '-up']] as const) {
        const seen = await ask<Tally>(
          'pour',
          '-streams',
          8,
          '-size',
          2000,
          '-pause',
          1,
          '-seconds',
          seconds,
          ...direction,
        );
        assert.deepEqual([seen.counts, seen.said], [{ lived: 8 }, {}]);
        const pings = await sluice.metric('sluice_http2_pings_received_total', { role });
        assert.ok(which > 0 || pings > MANY_PINGS, `${pings} pings`);
      }
    });

    it('may pour as fast as it can', async () => {
      for (const direction of [[], ['-up']]) {
        const seen = await ask<Tally>('pour', '-streams', 8, '-size', 100_000, '-seconds', seconds / 2, ...direction);
        assert.deepEqual([seen.counts, seen.said], [{ lived: 8 }, {}]);
      }
    });

    it('may say a few octets on many streams, often', async () => {
      const seen = await ask<Tally>('ticks', '-streams', 60, '-every', 33, '-size', 7, '-seconds', seconds);
      assert.deepEqual([seen.counts, seen.said], [{ lived: 60 }, {}]);
    });

    it('may cancel 70 streams a second once they were answered, beside others on its connection', async () => {
      const seen = await ask<Record<'strangers' | 'cancelled' | 'calls', Tally>>(
        'cancels',
        '-rate',
        70,
        '-seconds',
        seconds,
      );
      assert.deepEqual([seen.strangers.counts, seen.strangers.said], [{ lived: 10 }, {}]);
      for (const { counts, said } of [seen.cancelled, seen.calls])
        assert.deepEqual([Object.keys(counts), said], [['OK'], {}]);
    });

    it('loses nothing of messages of 20 to 400 KB', async () => {
      const { counts, said } = await ask<Tally>('unary', '-seconds', seconds / 2);
      assert.deepEqual([Object.keys(counts), said], [['OK'], {}]);
    });

    it('was never told to calm down', async () => {
      assert.equal(await sluice.metric('sluice_http2_goaways_sent_total', { code: 'ENHANCE_YOUR_CALM' }), 0);
    });
  });
}
