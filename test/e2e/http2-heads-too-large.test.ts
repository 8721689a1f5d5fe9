// Header blocks of HTTP/2 beyond the limit, of any size: the message fails, and neither its connection nor anybody else's stream on it.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { END_HEADERS, END_STREAM, SETTINGS } from '../support/h2-frames.js';
import { type H2Peer, REQUEST } from '../support/h2-peer.js';
import { encodeBlock, indexed, literal, type Pair } from '../support/naive-hpack.js';
import { eventually } from '../support/sluice.js';
import { type Bench, type Exchange, onEachExecutor } from './http2-conformance-support.js';

const SIZES = [9000, 20_000, 70_000, 300_000, 900_000];
const OK = encodeBlock([[':status', '200']]);
/** Left in the table by a block that is too large. */
const KEPT: Pair = ['x-kept', 'in the table'];

const tooLarge = (begin: Buffer, size: number): Buffer =>
  Buffer.concat([begin, literal(...KEPT, 'incremental'), literal('x-large', 'v'.repeat(size))]);

/** Ten requests of others, under way on the connection to the endpoint on which `one` is. */
async function strangers(on: Bench, one: Exchange): Promise<Exchange[]> {
  const client = await on.client();
  const all: Exchange[] = [];
  for (let i = 0; i < 10; i++) all.push(await on.exchange({ client }));
  assert.ok(
    all.every(({ endpoint }) => endpoint === one.endpoint),
    'they share a connection',
  );
  return all;
}

/** All of them are answered, and the endpoint's table is what it says it is. */
async function served(all: readonly Exchange[]): Promise<void> {
  for (const { client, asked, endpoint, arrived } of all) {
    endpoint.frame('HEADERS', END_HEADERS, arrived, Buffer.concat([OK, indexed(62)]));
    endpoint.data(arrived, 'whole', END_STREAM);
    const { status, body, fields } = await client.response(asked);
    assert.equal(status, 200);
    assert.equal(body.toString(), 'whole');
    assert.equal(fields.find(({ name }) => name === KEPT[0])?.value, KEPT[1]);
  }
}

const reason = (fields: readonly { name: string; value: string }[]): string | undefined =>
  fields.find(({ name }) => name === 'sluice-error')?.value;

/** Sends a request of `size` octets in many frames, but for the last octet of its block. Returns that. */
function unfinished(client: H2Peer, size: number): Buffer {
  const octets = Buffer.concat([encodeBlock(REQUEST), literal('x-large', 'v'.repeat(size))]);
  client.skipTo(client.next + 2);
  for (let at = 0; at < octets.length - 1; at += 8000) {
    const piece = octets.subarray(at, Math.min(at + 8000, octets.length - 1));
    client.frame(at === 0 ? 'HEADERS' : 'CONTINUATION', at === 0 ? END_STREAM : 0, 1, piece);
  }
  return octets.subarray(-1);
}

const SMALL_SLAB = { limits: null, top: 'limits: { slab: 8MiB, http2: { maxHeaderBytes: 256KiB } }' };
await onEachExecutor('HTTP/2 heads that never end', SMALL_SLAB, (bench) => {
  it('leave room for the rest, and those for which there is none are 503', () =>
    bench().play(async () => {
      const on = bench();
      const slow: (readonly [H2Peer, Buffer])[] = [];
      for (let i = 0; i < 60; i++) {
        const client = await on.client();
        slow.push([client, unfinished(client, 200_000)]);
        await client.written(Buffer.alloc(0));
      }
      const bystander = await on.bystander();
      for (let i = 0; i < 20; i++)
        assert.equal((await bystander.response(bystander.request({ 'x-some': 'v'.repeat(10_000) }))).status, 200);
      const statuses = new Map<number, number>();
      for (const [client, last] of slow) {
        client.frame('CONTINUATION', END_HEADERS, 1, last);
        const { status } = await client.response(1);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
      assert.deepEqual([...statuses.keys()].sort(), [200, 503]);
    }));
});

const setup = { limits: 'maxHeaderBytes: 8KiB, maxContinuations: 128' };
await onEachExecutor('HTTP/2 heads that are too large', setup, (bench) => {
  for (const size of SIZES) {
    it(`a response of ${size} octets of fields is 502, and its neighbours are served`, () =>
      bench().play(async () => {
        const on = bench();
        const one = await on.exchange();
        const others = await strangers(on, one);
        one.endpoint.block(one.arrived, tooLarge(OK, size), END_STREAM);
        const { status, fields } = await one.client.response(one.asked);
        assert.deepEqual([status, reason(fields)], [502, 'header-too-large']);
        await served(others);
      }));

    it(`an interim response of ${size} octets likewise`, () =>
      bench().play(async () => {
        const on = bench();
        const one = await on.exchange();
        const others = await strangers(on, one);
        one.endpoint.block(one.arrived, tooLarge(encodeBlock([[':status', '103']]), size));
        assert.equal((await one.client.response(one.asked)).status, 502);
        await one.endpoint.expect('RST_STREAM', { stream: one.arrived });
        await served(others);
      }));

    it(`trailers of ${size} octets cut off their response alone`, () =>
      bench().play(async () => {
        const on = bench();
        const one = await on.exchange();
        const others = await strangers(on, one);
        one.endpoint.frame('HEADERS', END_HEADERS, one.arrived, OK);
        one.endpoint.data(one.arrived, 'some');
        await one.client.expect('DATA', { stream: one.asked });
        one.endpoint.block(one.arrived, tooLarge(Buffer.alloc(0), size), END_STREAM);
        const { reset } = await one.client.response(one.asked);
        assert.notEqual(reset, null);
        await served(others);
      }));

    it(`trailers of ${size} octets of a gRPC call are RESOURCE_EXHAUSTED`, () =>
      bench().play(async () => {
        const { client, asked, endpoint, arrived } = await bench().exchange({
          fields: { 'content-type': 'application/grpc', te: 'trailers' },
        });
        endpoint.frame('HEADERS', END_HEADERS, arrived, OK);
        endpoint.data(arrived, 'a message');
        await client.expect('DATA', { stream: asked });
        endpoint.block(arrived, tooLarge(encodeBlock([['grpc-status', '3']]), size), END_STREAM);
        const { trailers } = await client.response(asked);
        assert.equal(trailers.find(({ name }) => name === 'grpc-status')?.value, '8');
        await endpoint.expect('RST_STREAM', { stream: arrived });
      }));

    it(`a request of ${size} octets is 431, and those of its client go on`, () =>
      bench().play(async () => {
        const on = bench();
        const other = await on.exchange();
        const { client } = other;
        const id = client.next;
        client.skipTo(id + 2);
        client.block(id, tooLarge(encodeBlock(REQUEST), size), END_STREAM);
        const { status, fields } = await client.response(id);
        assert.deepEqual([status, reason(fields)], [431, 'header-too-large']);
        const next = client.next;
        client.skipTo(next + 2);
        client.frame('HEADERS', END_HEADERS | END_STREAM, next, Buffer.concat([encodeBlock(REQUEST), indexed(62)]));
        assert.equal((await client.response(next)).status, 200);
        other.endpoint.headers(other.arrived, { ':status': '200' }, END_STREAM);
        assert.equal((await client.response(other.asked)).status, 200);
      }));

    it(`trailers of a request of ${size} octets are 431`, () =>
      bench().play(async () => {
        const { client, asked, endpoint, arrived } = await bench().exchange({ body: 'open' });
        client.block(asked, tooLarge(Buffer.alloc(0), size), END_STREAM);
        assert.equal((await client.response(asked)).status, 431);
        await endpoint.expect('RST_STREAM', { stream: arrived });
      }));

    it(`a gRPC call of ${size} octets of metadata is RESOURCE_EXHAUSTED, either way`, () =>
      bench().play(async () => {
        const on = bench();
        const grpc = { 'content-type': 'application/grpc', te: 'trailers' };
        const one = await on.exchange({ fields: grpc });
        const { client } = one;
        one.endpoint.block(one.arrived, tooLarge(OK, size), END_STREAM);
        const id = client.next;
        client.skipTo(id + 2);
        const head: Pair[] = [
          [':method', 'POST'],
          [':path', '/a.B/C'],
          [':scheme', 'http'],
          [':authority', 'a'],
        ];
        client.block(id, tooLarge(encodeBlock([...head, ...Object.entries(grpc)]), size), END_STREAM);
        // As clients in JavaScript say it: the content type comes last. It is seen where the block is read piece by piece.
        const late = client.next;
        client.skipTo(late + 2);
        const begin = tooLarge(encodeBlock(head), size);
        client.block(late, Buffer.concat([begin, encodeBlock(Object.entries(grpc))]), END_STREAM);
        for (const stream of size > 9000 ? [one.asked, id, late] : [one.asked, id]) {
          const { status, fields } = await client.response(stream);
          assert.equal(status, 200);
          assert.equal(fields.find(({ name }) => name === 'grpc-status')?.value, '8');
        }
      }));
  }

  // As gRPC's Go server does, with INTERNAL_ERROR.
  it('an endpoint that keeps to the size it was told of has not been told of ours', () =>
    bench().play(async () => {
      const on = bench();
      for (const fields of [{}, { 'content-type': 'application/grpc', te: 'trailers' }]) {
        for (let i = 0; i < 10; i++) {
          const one = await on.exchange({ fields });
          const told = one.endpoint.theirs.get(SETTINGS.MAX_HEADER_LIST_SIZE) ?? Number.POSITIVE_INFINITY;
          if (300_000 > told) one.endpoint.reset(one.arrived, 'INTERNAL_ERROR');
          else one.endpoint.block(one.arrived, tooLarge(OK, 300_000), END_STREAM);
          const { field } = await one.client.response(one.asked);
          assert.equal(field('sluice-error'), 'header-too-large');
        }
      }
      assert.equal(await on.sluice.metric('sluice_endpoint_breaker_opened_total'), 0);
    }));

  it('endpoints are held responsible for none of it', () =>
    bench().play(async () => {
      await eventually(
        async () => (await bench().sluice.metric('sluice_endpoint_failures_total', { service: 'web' })) === 0,
        'no failure is counted',
      );
      await bench().serves();
    }));
});
