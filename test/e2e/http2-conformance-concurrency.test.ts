// RFC 9113 sections 5.1.2 and 6.8: how many streams there may be, and how a connection says farewell.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { ACK, END_STREAM, u32 } from '../support/h2-frames.js';
import { type Bench, onEachExecutor } from './http2-conformance-support.js';

await onEachExecutor(
  'HTTP/2 concurrency',
  { limits: 'maxStreams: 4', service: '    pool: { http2Connections: 1 }' },
  (bench) => {
    const test = (name: string, play: (bench: Bench) => Promise<void>): void => {
      it(name, () => bench().play(() => play(bench())));
    };

    test('5.1.2 a client is told how many streams it may open, and one more is refused', async (on) => {
      const { client, asked, endpoint, arrived } = await on.exchange();
      assert.equal(client.theirs.get(3), 4);
      for (let i = 0; i < 3; i++) await on.exchange({ client });
      const before = on.endpoint.requests;
      const refused = client.request();
      const { code } = await client.expect('RST_STREAM', {
        stream: refused,
        code: ['REFUSED_STREAM', 'PROTOCOL_ERROR'],
      });
      assert.equal(code, 'REFUSED_STREAM');
      assert.equal(on.endpoint.requests, before);
      endpoint.headers(arrived, { ':status': '200' }, END_STREAM);
      await client.response(asked);
      assert.equal((await client.response(client.request())).status, 200);
      assert.ok((await on.sluice.metric('sluice_limit_total', { limit: 'h2-streams' })) >= 1);
    });

    it("5.1.2 an endpoint's SETTINGS_MAX_CONCURRENT_STREAMS is kept", () =>
      bench().greeting(
        (peer) => void peer.settings({ MAX_CONCURRENT_STREAMS: 1 }),
        {},
        async () => {
          const on = bench();
          const first = await on.exchange();
          await first.endpoint.sync();
          const path = on.path();
          const second = first.client.request({ ':method': 'POST', ':path': path });
          await first.client.sync();
          await first.endpoint.sync();
          assert.equal(on.endpoint.peers.filter(({ end }) => end === null).length, 1);
          assert.equal(first.endpoint.counts.get('HEADERS'), 1);
          first.endpoint.headers(first.arrived, { ':status': '200' }, END_STREAM);
          await first.client.response(first.asked);
          const { peer, stream } = await on.endpoint.request(path);
          peer.headers(stream, { ':status': '200' }, END_STREAM);
          assert.equal((await first.client.response(second)).status, 200);
        },
      ));

    it('5.1.2 none are opened where an endpoint allows none, until it does', () =>
      bench().greeting(
        (peer) => void peer.settings({ MAX_CONCURRENT_STREAMS: 1 }),
        {},
        async () => {
          const on = bench();
          const first = await on.exchange();
          first.endpoint.headers(first.arrived, { ':status': '200' }, END_STREAM);
          await first.client.response(first.asked);
          await first.endpoint.settings({ MAX_CONCURRENT_STREAMS: 0 });
          const path = on.path();
          const second = first.client.request({ ':method': 'POST', ':path': path });
          await first.client.sync();
          await first.endpoint.sync();
          assert.equal(first.endpoint.counts.get('HEADERS'), 1);
          await first.endpoint.settings({ MAX_CONCURRENT_STREAMS: 1 });
          const { peer, stream } = await on.endpoint.request(path);
          peer.headers(stream, { ':status': '200' }, END_STREAM);
          assert.equal((await first.client.response(second)).status, 200);
        },
      ));

    test('6.5.2 a lower SETTINGS_MAX_CONCURRENT_STREAMS ends nothing that is open', async (on) => {
      const first = await on.exchange();
      const second = await on.exchange({ client: first.client });
      await first.endpoint.settings({ MAX_CONCURRENT_STREAMS: 0 });
      for (const { endpoint, arrived, client, asked } of [first, second]) {
        endpoint.headers(arrived, { ':status': '200' }, END_STREAM);
        assert.equal((await client.response(asked)).status, 200);
      }
      await first.endpoint.settings({ MAX_CONCURRENT_STREAMS: 100 });
    });

    test('afterwards serves others', (on) => on.serves());
  },
);

await onEachExecutor('HTTP/2 farewell', { limits: 'maxAge: 100ms' }, (bench) => {
  it('6.8 a connection that is old is ended in two steps, and what is under way ends well', () =>
    bench().play(async () => {
      const client = await bench().client({ ackPings: false });
      const { asked, endpoint, arrived } = await bench().exchange({ client });
      await client.expect('GOAWAY', { code: 'NO_ERROR', lastStream: 2 ** 31 - 1 });
      // Requests that cross the first step are still taken; the PING tells when all that did have come.
      assert.equal((await client.response(client.request())).status, 200);
      const { payload } = await client.expect('PING', { ack: false });
      client.frame('PING', ACK, 0, payload);
      endpoint.headers(arrived, { ':status': '200' });
      endpoint.data(arrived, 'whole', END_STREAM);
      const { body } = await client.response(asked);
      assert.equal(body.toString(), 'whole');
      await client.closed();
      const last = client.arrived('GOAWAY').at(-1);
      assert.equal(last?.code, 'NO_ERROR');
      assert.ok((last?.lastStream ?? 0) < client.next);
    }));

  it('6.8 what a client opens after the last step is ignored, with its content, and harms nothing that is under way', () =>
    bench().play(async () => {
      const { client, asked, endpoint, arrived } = await bench().exchange();
      await client.expect('GOAWAY', { lastStream: 2 ** 31 - 1 });
      await client.expect('GOAWAY', { lastStream: asked });
      const before = bench().endpoint.requests;
      const late = client.request({ ':method': 'POST' }, 0);
      client.data(late, 'content');
      client.headers(late, { 'x-end': 'yes' }, END_STREAM);
      client.reset(late);
      client.frame('WINDOW_UPDATE', 0, late, u32(1));
      await client.sync();
      endpoint.headers(arrived, { ':status': '200' });
      endpoint.data(arrived, 'whole', END_STREAM);
      assert.equal((await client.response(asked)).body.toString(), 'whole');
      assert.equal(bench().endpoint.requests, before);
      await client.closed();
    }));
});
