// Endpoints that end connections gracefully all the time, as servers with a maximum age do, and endpoints that are gone: no request is
// lost that was never processed, and gRPC's clients hear a status that they understand.
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { usual } from '../support/content.js';
import { startGateway, tearDown } from '../support/gateway.js';
import { http2Endpoint } from '../support/http2.js';
import { availableExecutors, eventually, type Sluice } from '../support/sluice.js';
import { lacking, peerClient, peerServer, stopPeers, type Tally } from './peers.js';

const SECONDS = 3;
const AGE_MS = 700;

after(tearDown);
after(stopPeers);

const nothingHeld = async (sluice: Sluice): Promise<void> => {
  for (const name of ['sluice_endpoint_breaker_opened_total', 'sluice_proxy_response_total'])
    assert.equal(await sluice.metric(name), 0, name);
};

for (const io of await availableExecutors()) {
  describe(`endings on ${io}`, { skip: lacking('go') }, () => {
    for (const count of [1, 3]) {
      it(`${count} servers of grpc-go with a maximum age lose no call`, async () => {
        const servers = await Promise.all(
          Array.from({ length: count }, () => peerServer('go', 'serve', 'grpc', '-age', `${AGE_MS}ms`, '-grace', '5s')),
        );
        const sluice = await startGateway(
          io,
          servers.map(({ address }) => address),
        );
        const seen = await peerClient<Tally>('go', 'unary', `127.0.0.1:${sluice.port('edge')}`, '-seconds', SECONDS);
        assert.deepEqual([Object.keys(seen.counts), seen.said], [['OK'], {}]);
        await nothingHeld(sluice);
        assert.equal(await sluice.stop(), 0);
        await Promise.all(servers.map((server) => server.stop()));
      });
    }

    for (const [version, ...option] of [['HTTP/1'], ['HTTP/2', '-http2']]) {
      it(`POSTs by ${version} to an HTTP/2 server that says GOAWAY every ${AGE_MS} ms are all answered`, async () => {
        const endpoint = await http2Endpoint(usual('hello'));
        const sluice = await startGateway(io, [endpoint.address]);
        const leaving = setInterval(() => {
          for (const session of endpoint.sessions) session.close();
        }, AGE_MS);
        const seen = await peerClient<Tally>(
          'go',
          'posts',
          `127.0.0.1:${sluice.port('edge')}`,
          '-seconds',
          SECONDS,
          ...option,
        );
        clearInterval(leaving);
        assert.deepEqual([Object.keys(seen.counts), seen.said], [['200'], {}]);
        await nothingHeld(sluice);
        assert.equal(await sluice.stop(), 0);
        await endpoint.close();
      });
    }

    it('a server that is killed under streams makes them UNAVAILABLE', async () => {
      const server = await peerServer('go', 'serve', 'grpc');
      const sluice = await startGateway(io, [server.address]);
      const seen = peerClient<Tally>('go', 'ticks', `127.0.0.1:${sluice.port('edge')}`, '-streams', 20, '-seconds', 8);
      await eventually(
        async () => (await sluice.metric('sluice_http2_open_streams', { role: 'client' })) === 20,
        'streams',
      );
      await server.stop();
      assert.deepEqual((await seen).counts, { Unavailable: 20 });
      assert.equal(await sluice.stop(), 0);
    });

    it('a server that is gone makes calls UNAVAILABLE', async () => {
      const endpoint = await http2Endpoint();
      const sluice = await startGateway(io, [endpoint.address]);
      await endpoint.close();
      const seen = await peerClient<Tally>('go', 'unary', `127.0.0.1:${sluice.port('edge')}`, '-seconds', 0.5);
      assert.deepEqual(Object.keys(seen.counts), ['Unavailable']);
      assert.equal(await sluice.stop(), 0);
    });
  });
}
