// Limits and deadlines of HTTP/2 connections, each with its counter. What floods is in the http2-hostile files.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { END_STREAM } from '../support/h2-frames.js';
import { eventually } from '../support/sluice.js';
import { type Bench, onEachExecutor } from './http2-conformance-support.js';

const limited = (bench: Bench, limit: string): Promise<number> => bench.sluice.metric('sluice_limit_total', { limit });

await onEachExecutor(
  'silence over HTTP/2',
  { limits: 'keepAlive: 200ms, keepAliveTimeout: 300ms, idleTimeout: 600ms' },
  (bench) => {
    it('a client that owes us something and does not answer a PING is given up, its request taken back', () =>
      bench().play(async () => {
        const client = await bench().client({ ackPings: false });
        const { asked, endpoint, arrived } = await bench().exchange({ client });
        assert.equal(asked, 1);
        await client.expect('PING');
        await client.closed();
        await endpoint.expect('RST_STREAM', { stream: arrived, code: 'CANCEL' });
        assert.ok((await limited(bench(), 'h2-keepalive')) > 0);
      }));

    it('a client that answers is asked again, and keeps its request', () =>
      bench().play(async () => {
        const { client, asked, endpoint, arrived } = await bench().exchange({});
        for (let i = 0; i < 3; i++) await client.expect('PING');
        endpoint.headers(arrived, { ':status': '200' }, END_STREAM);
        assert.equal((await client.response(asked)).status, 200);
      }));

    it('a client without a stream is let go in two steps', () =>
      bench().play(async () => {
        const client = await bench().client();
        await client.response(client.request());
        await client.expect('GOAWAY', { code: 'NO_ERROR', lastStream: 2 ** 31 - 1 });
        await client.expect('GOAWAY', { code: 'NO_ERROR', lastStream: 1 });
        await client.closed();
        assert.ok((await limited(bench(), 'h2-idle-time')) > 0);
      }));
  },
);

await onEachExecutor('age over HTTP/2', { limits: 'maxAge: 400ms, ageGrace: 400ms' }, (bench) => {
  it('a client of that age is told to go, what it asked before is answered', () =>
    bench().play(async () => {
      const { client, asked, endpoint, arrived } = await bench().exchange({});
      await client.expect('GOAWAY', { code: 'NO_ERROR', lastStream: 2 ** 31 - 1 });
      await client.expect('GOAWAY', { code: 'NO_ERROR', lastStream: asked });
      endpoint.headers(arrived, { ':status': '200' }, END_STREAM);
      assert.equal((await client.response(asked)).status, 200);
      await client.closed();
      assert.ok((await limited(bench(), 'h2-connection-age')) > 0);
    }));

  it('what is still open after the grace is cut', () =>
    bench().play(async () => {
      const { client, endpoint, arrived } = await bench().exchange({});
      await client.closed();
      await endpoint.expect('RST_STREAM', { stream: arrived, code: 'CANCEL' });
    }));
});

await onEachExecutor(
  'memory over HTTP/2',
  { limits: 'maxBuffered: 96KiB, maxReplay: 64KiB', service: '    retry: { replayBytes: 64KiB }' },
  (bench) => {
    it('a connection whose data waits gets no more window than there may wait, and all of it later', () =>
      bench().greeting(
        (peer) => void peer.settings({ INITIAL_WINDOW_SIZE: 0 }),
        {},
        async () => {
          const client = await bench().client();
          const uploads = [];
          for (let i = 0; i < 3; i++) {
            const path = bench().path();
            const asked = client.request({ ':method': 'POST', ':path': path }, 0);
            const { peer, stream } = await bench().endpoint.request(path);
            client.data(asked, Buffer.alloc(16_384));
            client.data(asked, Buffer.alloc(16_384));
            client.data(asked, Buffer.alloc(16_384), END_STREAM);
            uploads.push({ asked, peer, stream });
          }
          await eventually(async () => (await limited(bench(), 'h2-buffered')) > 0, 'the limit');
          for (const { asked, peer, stream } of uploads) {
            peer.windowUpdate(stream, 65_536);
            let got = 0;
            for (let end = false; !end; ) {
              const frame = await peer.expect('DATA', { stream });
              got += frame.payload.length;
              end = frame.endStream;
            }
            assert.equal(got, 3 * 16_384);
            peer.headers(stream, { ':status': '200' }, END_STREAM);
            assert.equal((await client.response(asked)).status, 200);
          }
        },
      ));

    it('bodies beyond what may be kept go on without a copy, and are not sent again', () =>
      bench().play(async () => {
        const client = await bench().client();
        const uploads = [];
        for (let i = 0; i < 2; i++) {
          const path = bench().path();
          const asked = client.request({ ':method': 'POST', ':path': path }, 0);
          const { peer, stream } = await bench().endpoint.request(path);
          for (let piece = 0; piece < 3; piece++) client.data(asked, Buffer.alloc(15_000));
          for (let got = 0; got < 45_000; ) got += (await peer.expect('DATA', { stream })).payload.length;
          uploads.push({ asked, peer, stream });
        }
        await eventually(async () => (await limited(bench(), 'h2-replay')) > 0, 'the limit');
        const requests = bench().endpoint.requests;
        const last = uploads[1];
        assert.ok(last !== undefined);
        last.peer.reset(last.stream, 'REFUSED_STREAM');
        // The client has it still, and may send it again.
        const { status, reset } = await client.response(last.asked);
        assert.deepEqual([status, reset], [0, 'REFUSED_STREAM']);
        assert.equal(bench().endpoint.requests, requests);
        for (const { asked } of uploads.slice(0, 1)) client.reset(asked);
        await client.sync();
      }));
  },
);

await onEachExecutor(
  "the pool's limits over HTTP/2",
  {
    service:
      '    pool: { maxStreams: 1, http2Connections: 1, idleTimeout: 300ms }\n    connectTimeout: 400ms\n    responseTimeout: 30s',
  },
  (bench) => {
    it('a request that no connection takes is answered, and says why', () =>
      bench().play(async () => {
        const { client, asked, endpoint, arrived } = await bench().exchange({});
        const second = client.request();
        const { status, fields } = await client.response(second);
        assert.equal(status, 503);
        assert.equal(fields.find(({ name }) => name === 'sluice-error')?.value, 'pool-exhausted');
        assert.ok((await limited(bench(), 'pool-connections')) > 0);
        endpoint.headers(arrived, { ':status': '200' }, END_STREAM);
        assert.equal((await client.response(asked)).status, 200);
      }));
  },
);

await onEachExecutor('spare connections', { service: '    pool: { spares: 2, idleTimeout: 200ms }' }, (bench) => {
  it('are made ahead of need, and outlive the idle timeout', () =>
    bench().play(async () => {
      const open = (): Promise<number> =>
        bench().sluice.metric('sluice_endpoint_http2_connections', { service: 'web' });
      const client = await bench().client();
      await client.response(client.request());
      await eventually(async () => (await open()) === 2, 'two connections');
      const { peers } = bench().endpoint;
      const before = peers.filter(({ end }) => end === null);
      // Long enough for the idle timeout to have passed: requests on another connection tell the time.
      for (let i = 0; i < 5; i++) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        await client.response(client.request());
      }
      assert.ok(before.every(({ end }) => end === null));
      assert.equal(await open(), 2);
    }));
});
