// The official gRPC client and server with Sluice between them: calls of all four kinds, and what comes with them.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Metadata, type StatusObject, status } from '@grpc/grpc-js';
import { content, digestOf } from '../support/content.js';
import { quiet, startGateway, tearDown } from '../support/gateway.js';
import { DEFAULT_HANDLERS, GrpcClient, type GrpcEndpoint, grpcEndpoint, type Outcome, send } from '../support/grpc.js';
import { Http2Client, http2Endpoint } from '../support/http2.js';
import { availableExecutors, type Sluice } from '../support/sluice.js';

const SIZES = [0, 1, 5, 16_379, 16_380, 65_530, 65_536, 1_000_003, 4 << 20];
/** Octets that base64, HPACK and C strings could trip over. */
const BINARY = [Buffer.from([0, 1, 255, 254, 10, 13]), Buffer.alloc(1), Buffer.from('ÿ€')];

function sampleMetadata(): Metadata {
  const metadata = new Metadata();
  metadata.add('x-one', 'one');
  metadata.add('x-many', 'first');
  metadata.add('x-many', 'second');
  metadata.add('x-text', '!"#$%&\'()*+-./:;<=>?@[]^_`{|}~');
  for (const value of BINARY) metadata.add('x-raw-bin', value);
  metadata.add('x-large-bin', content(3000));
  return metadata;
}

function checkMetadata({ metadata, status: { metadata: trailers } }: Outcome): void {
  const sent = sampleMetadata();
  // Joined or not, in order: both are one list of values (RFC 9110 section 5.3).
  const values = (from: Metadata, key: string): string =>
    from
      .get(key)
      .map((value) => (typeof value === 'string' ? value.trim() : value.toString('hex')))
      .join(', ');
  for (const key of ['x-one', 'x-many', 'x-text', 'x-raw-bin', 'x-large-bin']) {
    const late = key.endsWith('-bin') ? `${key.slice(0, -4)}-trailing-bin` : `${key}-trailing`;
    assert.equal(values(metadata, key), values(sent, key), `${key} at the beginning`);
    assert.equal(values(trailers, late), values(sent, key), `${late} at the end`);
  }
}

const codes = Object.values(status).filter((code): code is status => typeof code === 'number' && code !== status.OK);

after(tearDown);

for (const io of await availableExecutors()) {
  describe(`gRPC calls on ${io}`, () => {
    let endpoint: GrpcEndpoint;
    let sluice: Sluice;
    let client: GrpcClient;

    before(async () => {
      endpoint = await grpcEndpoint({
        unary: (call, answer) => {
          const [wanted] = call.metadata.get('fail');
          if (wanted === undefined) return DEFAULT_HANDLERS.unary(call, answer);
          const late = new Metadata();
          late.set('x-why', 'because');
          if (call.metadata.get('early').length > 0) call.sendMetadata(new Metadata());
          return answer({ code: Number(wanted), details: `Grund: "100 %" – ${wanted}\n`, metadata: late });
        },
        expand: (call) => {
          const [wanted] = call.metadata.get('fail');
          if (wanted === undefined) return DEFAULT_HANDLERS.expand(call);
          for (const byte of call.request) call.write(Buffer.of(byte));
          const failure: Partial<StatusObject> = { code: Number(wanted), details: 'half way' };
          return call.emit('error', failure);
        },
      });
      sluice = await startGateway(io, [endpoint.address]);
      client = new GrpcClient(sluice.port('edge'));
    });
    after(async () => {
      client.close();
      await quiet(sluice);
      assert.equal(await sluice.stop(), 0);
      endpoint.close();
    });

    it('passes unary calls, messages of 0 B to 4 MiB', async () => {
      for (const size of SIZES) {
        const { messages, status: end } = await client.unary(content(size));
        assert.equal(end.code, status.OK, end.details);
        assert.deepEqual(
          messages.map((message) => digestOf(message)),
          [digestOf(content(size))],
        );
      }
      const many = await Promise.all(SIZES.map((size) => client.unary(content(size))));
      assert.deepEqual(
        many.map(({ messages: [message] }) => message?.length),
        SIZES,
      );
    });

    it('passes streams of messages in both directions', async () => {
      const { call, outcome } = client.collect();
      for (const size of SIZES) await send(call, content(size));
      call.end();
      const collected = await outcome;
      assert.equal(collected.status.code, status.OK, collected.status.details);
      assert.deepEqual(
        collected.messages.map((message) => digestOf(message)),
        [digestOf(Buffer.concat(SIZES.map(content)))],
      );

      const expanded = await client.expand(content(2000)).outcome;
      assert.equal(expanded.status.code, status.OK);
      assert.deepEqual(Buffer.concat(expanded.messages), content(2000));
      assert.equal(expanded.messages.length, 2000);

      const chat = client.chat();
      for (const size of SIZES) await send(chat.call, content(size));
      chat.call.end();
      const chatted = await chat.outcome;
      assert.equal(chatted.status.code, status.OK, chatted.status.details);
      assert.deepEqual(
        chatted.messages.map((message) => digestOf(message)),
        SIZES.map((size) => digestOf(content(size))),
      );
    });

    it('delivers each message of a conversation when it is sent', async () => {
      const { call, outcome } = client.chat(new Metadata(), {}, false);
      for (let i = 0; i < 50; i++) {
        call.write(Buffer.from(`message ${i}`));
        const [echo] = (await new Promise((resolve) => call.once('data', (...data) => resolve(data)))) as [Buffer];
        assert.equal(echo.toString(), `message ${i}`);
      }
      call.end();
      assert.equal((await outcome).status.code, status.OK);
    });

    it('passes metadata both ways, binary too, and trailers', async () => {
      checkMetadata(await client.unary(content(10), sampleMetadata()));
      const collect = client.collect(sampleMetadata());
      collect.call.end(content(10));
      checkMetadata(await collect.outcome);
      checkMetadata(await client.expand(content(10), sampleMetadata()).outcome);
      const chat = client.chat(sampleMetadata());
      chat.call.end(content(10));
      checkMetadata(await chat.outcome);
    });

    it('passes 50 KB of metadata and of trailers', async () => {
      const metadata = new Metadata();
      // The official client and server take 64 KiB of it.
      metadata.set('x-large', 'l'.repeat(25_000));
      metadata.set('x-bytes-bin', content(18_000));
      for (let i = 0; i < 3; i++) {
        const { status: end, metadata: early } = await client.unary(content(10), metadata);
        assert.equal(end.code, status.OK);
        assert.deepEqual(early.get('x-large'), metadata.get('x-large'));
        assert.deepEqual(end.metadata.get('x-large-trailing'), metadata.get('x-large'));
        assert.deepEqual(end.metadata.get('x-bytes-trailing-bin'), metadata.get('x-bytes-bin'));
      }
    });

    it('passes every status, its message and its trailers, before and after the headers', async () => {
      for (const code of codes) {
        for (const early of [false, true]) {
          const metadata = new Metadata();
          metadata.set('fail', String(code));
          if (early) metadata.set('early', 'yes');
          const { status: end, messages } = await client.unary(content(10), metadata);
          assert.deepEqual(
            { code: end.code, details: end.details, why: end.metadata.get('x-why'), messages },
            { code, details: `Grund: "100 %" – ${code}\n`, why: ['because'], messages: [] },
          );
        }
      }
    });

    it('passes an error behind messages', async () => {
      const metadata = new Metadata();
      metadata.set('fail', String(status.DATA_LOSS));
      const { status: end, messages } = await client.expand(content(20), metadata).outcome;
      assert.deepEqual({ code: end.code, details: end.details }, { code: status.DATA_LOSS, details: 'half way' });
      assert.deepEqual(Buffer.concat(messages), content(20));
    });

    it('answers a method that is not there as the server does', async () => {
      const end = await new Promise<StatusObject>((resolve) => {
        const same = (bytes: Buffer): Buffer => bytes;
        client.client
          .makeUnaryRequest('/peers.Peers/Nothing', same, same, content(1), () => undefined)
          .once('status', resolve);
      });
      assert.equal(end.code, status.UNIMPLEMENTED);
    });

    it('passes on a response that is trailers only as one block that ends the stream', async () => {
      const raw = await Http2Client.open(sluice.port('edge'));
      const stream = raw.start({
        ':method': 'POST',
        ':path': '/peers.Peers/Unary',
        'content-type': 'application/grpc',
        te: 'trailers',
        fail: '5',
      });
      stream.end(Buffer.from([0, 0, 0, 0, 0]));
      const [headers, flags] = await new Promise<[Record<string, unknown>, number]>((resolve) =>
        stream.once('response', (fields, bits) => resolve([fields, bits])),
      );
      assert.deepEqual([headers[':status'], headers['grpc-status'], flags & 1], [200, '5', 1]);
      raw.close();
    });

    it('counts calls by their status', async () => {
      const before = await sluice.metric('response_total', { grpc_status: '5' });
      const ok = await sluice.metric('response_total', { grpc_status: '0' });
      const metadata = new Metadata();
      metadata.set('fail', '5');
      for (let i = 0; i < 3; i++) await client.unary(content(1), metadata);
      for (let i = 0; i < 4; i++) await client.unary(content(1));
      assert.equal(await sluice.metric('response_total', { grpc_status: '5' }), before + 3);
      assert.equal(await sluice.metric('response_total', { grpc_status: '0' }), ok + 4);
    });
  });

  describe(`gRPC responses that lack their end on ${io}`, () => {
    it('are errors for the client and are counted as such', async () => {
      const endpoint = await http2Endpoint(null);
      endpoint.server.on('stream', (stream) => {
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
        stream.end(Buffer.from([0, 0, 0, 0, 1, 65]));
      });
      const sluice = await startGateway(io, [endpoint.address]);
      const client = new GrpcClient(sluice.port('edge'));
      const { status: end } = await client.unary(content(1));
      assert.notEqual(end.code, status.OK);
      client.close();
      await quiet(sluice);
      assert.equal(await sluice.metric('sluice_grpc_responses_total', { grpc_status: 'missing' }), 1);
      assert.equal(await sluice.stop(), 0);
      await endpoint.close();
    });
  });
}
