// Interim responses without end, towards an HTTP/1 client that does not read: what waits for it is bounded.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { H2Endpoint } from '../support/h2-endpoint.js';
import { END_HEADERS, frame } from '../support/h2-frames.js';
import { client, metrics, type Upstream, upstream } from '../support/http.js';
import { encodeBlock } from '../support/naive-hpack.js';
import { availableExecutors, eventually, type Sluice, startSluice } from '../support/sluice.js';

const LONG = 'l'.repeat(8000);
const INTERIM = `HTTP/1.1 103 Early Hints\r\nx: ${LONG}\r\n\r\n`;
/** 32 MiB, twice what the slab has. */
const COUNT = 4000;

for (const io of await availableExecutors()) {
  describe(`interim responses to HTTP/1 clients on ${io}`, () => {
    let origin: Upstream;
    let endpoint: H2Endpoint;
    let sluice: Sluice;

    before(async () => {
      origin = await upstream(async (wire) => {
        await wire.message();
        for (let i = 0; i < COUNT; i++) await wire.sent(INTERIM);
        wire.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
      });
      endpoint = await H2Endpoint.listen();
      sluice = await startSluice(
        `drain: { hold: 0 }
limits: { slab: 16MiB }
listeners:
  - { name: one, listen: "127.0.0.1:0", service: one, protocol: http1 }
  - { name: two, listen: "127.0.0.1:0", service: two, protocol: http1 }
services:
  one: { protocol: http1, endpoints: ["${origin.address}"] }
  two: { protocol: http2, endpoints: ["${endpoint.address}"] }
`,
        io,
      );
    });
    after(async () => {
      await sluice.stop();
      await origin.close();
      await endpoint.close();
    });

    const used = async (): Promise<number> => {
      const value = await metrics(sluice);
      const all = value('sluice_slab_buffers');
      return all === 0 ? 0 : 1 - value('sluice_slab_free_buffers') / all;
    };

    /** Asks, and reads nothing until the response is on its way. */
    async function unread(listener: string, answer: () => Promise<void>): Promise<void> {
      const wire = await client(sluice.port(listener));
      wire.socket.pause();
      wire.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      await answer();
      assert.ok((await used()) < 0.25, `${await used()} of the slab in use`);
      // What it has missed is lost, what it asked for is not.
      wire.socket.resume();
      for (;;) {
        const { status } = await wire.message();
        if (status === 200) break;
        assert.equal(status, 103);
      }
      wire.destroy();
    }

    it('from an HTTP/1 endpoint', () =>
      unread('one', async () => {
        const { socket } = await origin.connection(0);
        await eventually(() => socket.bytesWritten > COUNT * LONG.length, 'all of them taken');
      }));

    it('from an HTTP/2 endpoint', () =>
      unread('two', async () => {
        const { peer, stream } = await endpoint.request();
        const block = encodeBlock([
          [':status', '103'],
          ['x', LONG],
        ]);
        for (let i = 0; i < COUNT; i++) await peer.written(frame('HEADERS', END_HEADERS, stream, block));
        await peer.sync();
        peer.headers(stream, { ':status': '200', 'content-length': '0' });
        peer.data(stream, '', 1);
      }));
  });
}
