// What waits over HTTP/2 and is not forgotten: connections with a deadline, answers at a closed window, requests in line.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { END_STREAM, frame } from '../support/h2-frames.js';
import { H2Peer } from '../support/h2-peer.js';
import { onEachExecutor } from './http2-conformance-support.js';

await onEachExecutor(
  'what waits over HTTP/2',
  {
    limits: 'headerTimeout: 300ms',
    service: '    pool: { idleTimeout: 400ms, maxStreams: 1, http2Connections: 1 }\n    responseTimeout: 800ms',
  },
  (bench) => {
    it('an idle connection is let go, however often its endpoint has said SETTINGS', () =>
      bench().play(async () => {
        const client = await bench().client();
        await client.response(client.request());
        const endpoint = await bench().endpoint.connection(bench().endpoint.peers.length - 1);
        await endpoint.settings({ INITIAL_WINDOW_SIZE: 70_000 });
        await endpoint.settings({ INITIAL_WINDOW_SIZE: 80_000 });
        await endpoint.closed();
      }));

    it('a header block, and a frame, that never become whole end the connection', () =>
      bench().play(async () => {
        for (const octets of [
          frame('HEADERS', 0, 1, Buffer.from([0x82])),
          frame('HEADERS', 4, 1, Buffer.from([0x82]), 100),
          frame('PING', 0, 0, Buffer.alloc(3), 8),
        ]) {
          const client = await bench().client();
          // No longer under the deadline of the preface.
          await delay(400);
          client.write(octets);
          await client.expect('GOAWAY', { code: 'ENHANCE_YOUR_CALM' });
          await client.closed();
        }
      }));

    it('a request whose only endpoint hangs up is tried on the connection that is dialled next', () => {
      let first = true;
      return bench().greeting(
        (peer) => {
          if (first) peer.destroy();
          else void peer.settings().catch(() => undefined);
          first = false;
        },
        {},
        async () => {
          const client = await bench().client();
          assert.equal((await client.response(client.request())).status, 200);
          assert.equal(first, false);
        },
      );
    });

    it('an answer of our own that waits at a closed window goes on when it opens, and frees the client of its request', () =>
      bench().play(async () => {
        const client = await H2Peer.greeted(bench().port, { INITIAL_WINDOW_SIZE: 0 }, { credit: false });
        const path = bench().path();
        const asked = client.request({ ':method': 'POST', ':path': path }, 0);
        const { peer, stream } = await bench().endpoint.request(path);
        peer.reset(stream, 'INTERNAL_ERROR');
        await client.expect('HEADERS', { stream: asked });
        client.data(asked, 'not wanted any more');
        client.windowUpdate(asked, 100);
        await client.expect('DATA', { stream: asked, endStream: true });
        await client.expect('RST_STREAM', { stream: asked, code: 'NO_ERROR' });
        client.data(asked, 'what was under way');
        await client.sync();
        await client.bye();
      }));

    it('trailers of a request that was answered already are passed over', () =>
      bench().play(async () => {
        const client = await H2Peer.greeted(bench().port, { INITIAL_WINDOW_SIZE: 0 }, { credit: false });
        const path = bench().path();
        const asked = client.request({ ':method': 'POST', ':path': path }, 0);
        const { peer, stream } = await bench().endpoint.request(path);
        peer.reset(stream, 'INTERNAL_ERROR');
        await client.expect('HEADERS', { stream: asked });
        client.headers(asked, { 'x-sum': '1' }, END_STREAM);
        await client.sync();
        client.windowUpdate(asked, 100);
        await client.expect('DATA', { stream: asked, endStream: true });
        await client.bye();
      }));

    it('a request in line is served when the one before it has timed out', () =>
      bench().play(async () => {
        const client = await bench().client();
        const path = bench().path();
        const first = client.request({ ':path': path });
        await bench().endpoint.request(path);
        // Later, so that it has time left when the first has none.
        await delay(400);
        const second = client.request();
        assert.equal((await client.response(first)).status, 504);
        assert.equal((await client.response(second)).status, 200);
      }));
  },
);
