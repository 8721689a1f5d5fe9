// Peers that take nothing: windows that stay shut, sockets that are not read. What waits for them is bounded, and not for ever.
import assert from 'node:assert/strict';
import { END_HEADERS, END_STREAM, frame, settingsPayload, u32 } from '../support/h2-frames.js';
import { REQUEST } from '../support/h2-peer.js';
import { encodeBlock, type Pair } from '../support/naive-hpack.js';
import { eventually } from '../support/sluice.js';
import type { Bench } from './http2-conformance-support.js';
import { type Attack, declareAttacks, floodUntilCalm, SLAB } from './http2-hostile-support.js';

const WIDE = 2 ** 31 - 1;
const CHUNK = Buffer.alloc(16_384, 'r');

/** Part of the slab that is in use. */
async function used({ sluice }: Bench): Promise<number> {
  const free = await sluice.metric('sluice_slab_free_buffers');
  const all = await sluice.metric('sluice_slab_buffers');
  return 1 - free / all;
}

/** Answers `count` requests with as much content as Sluice takes, until the streams are reset. */
async function pourFor(on: Bench, paths: readonly string[]): Promise<void> {
  await Promise.all(
    paths.map(async (path) => {
      const { peer, stream } = await on.endpoint.request(path);
      peer.headers(stream, { ':status': '200' });
      try {
        for (;;) {
          await peer.when(
            () => peer.room(stream) >= CHUNK.length || peer.arrived('RST_STREAM', stream).length > 0,
            'room or RST_STREAM',
          );
          if (peer.arrived('RST_STREAM', stream).length > 0) return;
          peer.data(stream, CHUNK);
        }
      } catch {
        // The connection is over.
      }
    }),
  );
}

const ATTACKS: readonly Attack[] = [
  {
    name: 'a client that opens no window',
    limit: 'h2-stalled',
    play: async (on) => {
      const client = await on.client({ credit: false }, { INITIAL_WINDOW_SIZE: 0 });
      const paths = Array.from({ length: 20 }, () => on.path());
      const streams = paths.map((path) => client.request({ ':path': path }));
      const pouring = pourFor(on, paths);
      for (const stream of streams) await client.expect('HEADERS', { stream });
      for (const stream of streams) await client.expect('RST_STREAM', { stream });
      await pouring;
      await client.sync();
    },
  },
  {
    name: "a client that does not open the connection's window",
    limit: 'h2-stalled',
    play: async (on) => {
      const client = await on.client({ credit: false }, { INITIAL_WINDOW_SIZE: WIDE });
      const paths = Array.from({ length: 20 }, () => on.path());
      const streams = paths.map((path) => client.request({ ':path': path }));
      const pouring = pourFor(on, paths);
      for (const stream of streams)
        await client.when(() => client.arrived('RST_STREAM', stream).length > 0, `${stream}`);
      await pouring;
      await client.sync();
    },
  },
  {
    name: 'a client that opens its window an octet at a time',
    limit: 'h2-tiny-data',
    play: async (on) => {
      const client = await on.client({ credit: false }, { INITIAL_WINDOW_SIZE: 0 });
      const { asked, endpoint, arrived } = await on.exchange({ client });
      endpoint.headers(arrived, { ':status': '200' });
      await client.expect('HEADERS', { stream: asked });
      await endpoint.pour(arrived, Buffer.alloc(endpoint.room(arrived)));
      const octets = Buffer.concat(Array.from({ length: 100 }, () => frame('WINDOW_UPDATE', 0, asked, u32(1))));
      await floodUntilCalm(client, () => {
        client.credited(asked, 100);
        client.inbox.frames = client.inbox.frames.filter(({ type }) => type !== 'DATA');
        return octets;
      });
      await endpoint.expect('RST_STREAM', { stream: arrived });
    },
  },
  {
    name: 'an endpoint that opens no window',
    limit: 'h2-stalled',
    play: async (on) => {
      await on.endpoint.quiet();
      const { greet } = on.endpoint;
      on.endpoint.greet = (peer) => void peer.settings({ INITIAL_WINDOW_SIZE: 0 });
      try {
        const { client, asked, endpoint, arrived } = await on.exchange({ body: 'open' });
        await client.sync();
        await client.pour(asked, Buffer.alloc(client.room(asked)));
        await endpoint.expect('RST_STREAM', { stream: arrived });
        const { status, reset } = await client.response(asked);
        assert.ok(reset !== null || status >= 500, `${status}`);
        await client.sync();
      } finally {
        on.endpoint.greet = greet;
      }
    },
  },
  {
    name: 'a client that never reads, while its windows are wide',
    limit: null,
    play: async (on) => {
      const client = await on.client({ credit: false }, { INITIAL_WINDOW_SIZE: WIDE });
      client.windowUpdate(0, WIDE - 65_535);
      await client.sync();
      client.socket.pause();
      const paths = Array.from({ length: 20 }, () => on.path());
      for (const path of paths) client.request({ ':path': path });
      const pouring = pourFor(on, paths);
      const pressed = (): Promise<number> => on.sluice.metric('sluice_backpressure_total');
      await eventually(async () => (await pressed()) > 0, 'backpressure');
      assert.ok((await used(on)) < 0.75, `${await used(on)} of the slab in use`);
      client.destroy();
      await pouring;
    },
  },
  {
    name: 'a client that never reads, and asks for answers to PING',
    limit: 'h2-control-frames',
    play: async (on) => {
      const client = await on.client();
      client.socket.pause();
      const pings = Buffer.concat(Array.from({ length: 500 }, () => frame('PING', 0, 0, Buffer.alloc(8))));
      for (let i = 0; i < 10 && client.end === null; i++) await client.written(pings);
      const limited = (): Promise<number> => on.sluice.metric('sluice_limit_total', { limit: 'h2-control-frames' });
      await eventually(async () => (await limited()) > 0, 'the limit');
      client.destroy();
    },
  },
  {
    name: 'a client that never reads, and asks again and again',
    limit: null,
    play: async (on) => {
      const client = await on.client();
      client.socket.pause();
      const head = encodeBlock(REQUEST.map(([name, value]): Pair => [name, value]));
      let most = 0;
      for (let i = 0; i < 200 && client.end === null; i++) {
        const batch = Array.from({ length: 50 }, () => {
          const id = client.next;
          client.skipTo(id + 2);
          return frame('HEADERS', END_HEADERS | END_STREAM, id, head);
        });
        // Sluice may stop reading, so that this does not wait for the kernel.
        client.write(Buffer.concat(batch));
        if (i % 20 === 0) most = Math.max(most, await used(on));
      }
      assert.ok(most < 0.75, `${most} of the slab in use`);
      client.destroy();
    },
  },
  {
    name: 'interim responses without end, towards a client that never reads',
    limit: null,
    play: async (on) => {
      const { client, endpoint, arrived } = await on.exchange();
      client.socket.pause();
      const interim = frame(
        'HEADERS',
        END_HEADERS,
        arrived,
        encodeBlock([
          [':status', '103'],
          ['x-long', 'l'.repeat(8000)],
        ]),
      );
      let most = 0;
      for (let i = 0; i < 4000 && endpoint.end === null && endpoint.arrived('RST_STREAM').length === 0; i++) {
        endpoint.write(interim);
        if (i % 100 === 0) most = Math.max(most, await used(on));
      }
      assert.ok(most < 0.75, `${most} of the slab in use`);
      client.destroy();
    },
  },
  {
    name: 'content without end for an endpoint that never reads',
    limit: null,
    play: async (on) => {
      await on.endpoint.quiet();
      const { greet } = on.endpoint;
      on.endpoint.greet = (peer) => {
        void peer.settings({ INITIAL_WINDOW_SIZE: WIDE });
        peer.windowUpdate(0, WIDE - 65_535);
      };
      try {
        const { client, asked, endpoint } = await on.exchange({ body: 'open' });
        endpoint.socket.pause();
        const pressed = (): Promise<number> => on.sluice.metric('sluice_backpressure_total');
        const before = await pressed();
        let over = false;
        const pouring = (async () => {
          while (!over) {
            await client
              .when(() => over || client.end !== null || client.room(asked) >= CHUNK.length, 'room')
              .catch(() => undefined);
            if (!over && client.room(asked) >= CHUNK.length) client.data(asked, CHUNK);
          }
        })();
        await eventually(async () => (await pressed()) > before, 'backpressure');
        assert.ok((await used(on)) < 0.75, `${await used(on)} of the slab in use`);
        over = true;
        client.reset(asked);
        // Wakes who waits for room.
        await client.sync();
        await pouring;
        endpoint.destroy();
      } finally {
        on.endpoint.greet = greet;
      }
    },
  },
  {
    name: 'windows that are shut and opened again and again',
    limit: null,
    play: async (on) => {
      const client = await on.client({}, { INITIAL_WINDOW_SIZE: 1000 });
      const paths = Array.from({ length: 20 }, () => on.path());
      const streams = paths.map((path) => client.request({ ':path': path }));
      for (const path of paths) {
        const { peer, stream } = await on.endpoint.request(path);
        peer.headers(stream, { ':status': '200' });
        peer.data(stream, Buffer.alloc(4000), END_STREAM);
      }
      for (let i = 0; i < 200; i++) {
        client.frame('SETTINGS', 0, 0, settingsPayload({ INITIAL_WINDOW_SIZE: i % 2 === 0 ? 0 : 1000 }));
      }
      await client.settings({ INITIAL_WINDOW_SIZE: 4000 });
      for (const stream of streams) assert.equal((await client.response(stream)).body.length, 4000);
    },
  },
];

await declareAttacks(`HTTP/2 stalls in ${SLAB}`, { limits: 'stallTimeout: 500ms' }, ATTACKS);
