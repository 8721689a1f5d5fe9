// SETTINGS_MAX_HEADER_LIST_SIZE of endpoints and clients: what is larger than they take is not sent to them, as many end the connection over it.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { settled, startGateway } from '../support/gateway.js';
import { H2Endpoint } from '../support/h2-endpoint.js';
import { END_STREAM } from '../support/h2-frames.js';
import { H2Peer } from '../support/h2-peer.js';
import { answering, exchange, type Upstream, upstream } from '../support/http.js';
import { availableExecutors, type Executor, type Sluice } from '../support/sluice.js';
import { type Bench, onEachExecutor } from './http2-conformance-support.js';

const LIMIT = 8192;
const large = (length: number): Record<string, string> => ({ 'x-large': 'v'.repeat(length) });
const GRPC = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' };
const TOO_LARGE = 'header-too-large';

async function answer(client: H2Peer, stream: number): Promise<readonly [number, string | null]> {
  const { status, field } = await client.response(stream);
  return [status, field('sluice-error')];
}

await onEachExecutor('limits of HTTP/2 peers', {}, (bench) => {
  /** Plays a test before an endpoint that takes no more than LIMIT. */
  const narrow = (test: (on: Bench) => Promise<void>): Promise<void> =>
    bench().greeting(
      (peer) => void peer.settings({ MAX_HEADER_LIST_SIZE: LIMIT }),
      {},
      async () => {
        await test(bench());
        assert.equal(await bench().sluice.metric('sluice_endpoint_failures_total', { service: 'web' }), 0);
      },
    );

  it('a request is 431 where no endpoint takes it, whether it has waited for a connection or not', () =>
    narrow(async (on) => {
      const client = await on.client();
      const before = on.endpoint.requests;
      const first = client.request({ ':path': '/waits', ...large(9000) });
      assert.deepEqual(await answer(client, first), [431, TOO_LARGE]);
      const others = [await on.exchange({ client }), await on.exchange({ client })];
      for (let i = 0; i < 10; i++) {
        assert.deepEqual(await answer(client, client.request({ ':path': '/asks', ...large(9000) })), [431, TOO_LARGE]);
      }
      assert.equal(on.endpoint.requests, before + 2);
      for (const { endpoint, arrived, asked } of others) {
        endpoint.headers(arrived, { ':status': '200' }, END_STREAM);
        assert.equal((await client.response(asked)).status, 200);
      }
      assert.ok((await on.sluice.metric('sluice_limit_total', { limit: 'h2-peer-header-bytes' })) >= 11);
    }));

  it('one of gRPC is RESOURCE_EXHAUSTED', () =>
    narrow(async (on) => {
      const client = await on.client();
      for (let i = 0; i < 2; i++) {
        const { status, field } = await client.response(client.request({ ...GRPC, ...large(12_000) }));
        assert.deepEqual([status, field('grpc-status'), field('sluice-error')], [200, '8', TOO_LARGE]);
      }
    }));

  it('the limit holds to the octet', () =>
    narrow(async (on) => {
      const client = await on.client();
      const path = on.path();
      const fields = { ':method': 'POST', ':path': path, ':scheme': 'http', ':authority': 'a', 'x-large': '' };
      const size = Object.entries(fields).reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0);
      const fitting = client.request({ ...fields, ...large(LIMIT - size) });
      const { peer, stream } = await on.endpoint.request(path);
      peer.headers(stream, { ':status': '200' }, END_STREAM);
      assert.equal((await client.response(fitting)).status, 200);
      assert.equal((await client.response(client.request({ ...fields, ...large(LIMIT - size + 1) }))).status, 431);
    }));

  it('trailers end their request alone', () =>
    narrow(async (on) => {
      const other = await on.exchange();
      const { client, asked, arrived, endpoint } = await on.exchange({ body: 'open' });
      assert.equal(endpoint, other.endpoint);
      client.headers(asked, large(9000), END_STREAM);
      assert.deepEqual(await answer(client, asked), [431, TOO_LARGE]);
      await endpoint.expect('RST_STREAM', { stream: arrived });
      endpoint.headers(other.arrived, { ':status': '200' }, END_STREAM);
      assert.equal((await other.client.response(other.asked)).status, 200);
    }));

  it('a client gets no more than it takes', () =>
    bench().play(async () => {
      const on = bench();
      const client = await on.client({}, { MAX_HEADER_LIST_SIZE: LIMIT });
      const head = await on.exchange({ client });
      head.endpoint.headers(head.arrived, { ':status': '103', ...large(9000) });
      head.endpoint.headers(head.arrived, { ':status': '200', ...large(9000) }, END_STREAM);
      assert.deepEqual(await answer(client, head.asked), [502, TOO_LARGE]);
      assert.equal(client.arrived('HEADERS', head.asked).length, 0, 'no interim response');
      const call = await on.exchange({ client, fields: GRPC });
      call.endpoint.headers(call.arrived, { ':status': '200', ...large(9000) });
      assert.equal((await client.response(call.asked)).field('grpc-status'), '8');
      const trailers = await on.exchange({ client });
      trailers.endpoint.headers(trailers.arrived, { ':status': '200' });
      trailers.endpoint.data(trailers.arrived, 'some');
      trailers.endpoint.headers(trailers.arrived, large(9000), END_STREAM);
      assert.notEqual((await client.response(trailers.asked)).reset, null);
      assert.equal((await client.response(client.request({ ':path': '/ok' }))).status, 200);
      assert.equal(await on.sluice.metric('sluice_endpoint_failures_total', { service: 'web' }), 0);
    }));
});

/** Two endpoints, of which one takes little; and one that speaks HTTP/1. */
class Edges {
  private constructor(
    readonly sluice: Sluice,
    readonly narrow: H2Endpoint,
    readonly wide: H2Endpoint,
    readonly old: Upstream,
    private readonly oldSluice: Sluice,
  ) {}

  static async start(io: Executor): Promise<Edges> {
    const narrow = await H2Endpoint.listen();
    narrow.greet = (peer) => void peer.settings({ MAX_HEADER_LIST_SIZE: LIMIT });
    const wide = await H2Endpoint.listen();
    const long = Object.entries(large(9000)).map(([name, value]) => `${name}: ${value}\r\n`);
    const old = await upstream(answering(() => `HTTP/1.1 200 OK\r\n${long.join('')}content-length: 0\r\n\r\n`));
    const sluice = await startGateway(io, [narrow.address, wide.address]);
    return new Edges(sluice, narrow, wide, old, await startGateway(io, [old.address], { speaks: 'http1' }));
  }

  get oldPort(): number {
    return this.oldSluice.port('edge');
  }

  async stop(): Promise<void> {
    await this.narrow.quiet();
    await this.wide.quiet();
    for (const sluice of [this.sluice, this.oldSluice]) {
      await settled(sluice);
      await sluice.stop();
    }
    await this.narrow.close();
    await this.wide.close();
    await this.old.close();
  }
}

for (const io of await availableExecutors()) {
  describe(`limits of HTTP/2 peers, and others, on ${io}`, () => {
    let edges: Edges;
    before(async () => {
      edges = await Edges.start(io);
    });
    after(() => edges.stop());

    it('another endpoint is asked, whoever asks', async () => {
      const client = await H2Peer.greeted(edges.sluice.port('edge'));
      // So that both are known.
      for (let i = 0; i < 20; i++) await client.response(client.request({ ':path': '/ok' }));
      const before = edges.wide.requests;
      const field = Object.entries(large(9000)).map(([name, value]) => `${name}: ${value}\r\n`);
      for (let i = 0; i < 10; i++) {
        assert.equal((await client.response(client.request({ ':path': '/ok', ...large(9000) }))).status, 200);
        const request = `GET /ok HTTP/1.1\r\nHost: a\r\n${field.join('')}\r\n`;
        assert.equal((await exchange(edges.sluice.port('edge'), request)).status, 200);
      }
      assert.equal(edges.wide.requests, before + 20);
      await client.bye();
    });

    it('a response in HTTP/1 is measured, too', async () => {
      const client = await H2Peer.greeted(edges.oldPort, { MAX_HEADER_LIST_SIZE: LIMIT });
      assert.deepEqual(await answer(client, client.request()), [502, TOO_LARGE]);
      await client.bye();
      const other = await H2Peer.greeted(edges.oldPort);
      assert.equal((await other.response(other.request())).status, 200);
      await other.bye();
    });
  });
}
