// Downloads that nobody reads, on a connection of the pool that others use as well: only what they send is held.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, connect } from 'node:http2';
import type { Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { type Http2Endpoint, http2Endpoint } from '../support/http2.js';
import { availableExecutors, eventually, type Sluice, startSluice } from '../support/sluice.js';
import { dial, hangUp } from '../support/tcp.js';

const UNREAD = 30;
const LARGE = 16 * 1024 * 1024;

/** Sends a body of LARGE octets for every request, as fast as it is taken. */
async function downloads(): Promise<Http2Endpoint> {
  const endpoint = await http2Endpoint(null);
  endpoint.server.on('stream', (stream) => {
    stream.on('error', () => undefined);
    // Node.js resets a stream whose request was not read, and that may overtake the end of the response.
    stream.resume();
    stream.respond({ ':status': 200, 'content-length': LARGE });
    let left = LARGE;
    const block = Buffer.alloc(64 * 1024);
    const write = (): void => {
      while (left > 0) {
        left -= block.length;
        if (!stream.write(block)) {
          stream.once('drain', write);
          return;
        }
      }
      stream.end();
    };
    write();
  });
  return endpoint;
}

const session = (sluice: Sluice): ClientHttp2Session =>
  connect(`http://127.0.0.1:${sluice.port('in')}`).on('error', () => undefined);

/** Asks and leaves it unread. */
const CLIENTS = [
  [
    'HTTP/1',
    async (sluice: Sluice): Promise<() => void> => {
      const sockets: Socket[] = [];
      for (let i = 0; i < UNREAD; i++) {
        const socket = await dial(sluice.port('in'));
        socket.pause();
        socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
        sockets.push(socket);
      }
      return () => {
        for (const socket of sockets) socket.destroy();
      };
    },
  ],
  [
    'HTTP/2',
    async (sluice: Sluice): Promise<() => void> => {
      const sessions = Array.from({ length: 3 }, () => session(sluice));
      for (let i = 0; i < UNREAD; i++) {
        const stream = sessions[i % 3].request({ ':path': '/' });
        stream.on('error', () => undefined);
        await once(stream, 'response');
      }
      return () => {
        for (const one of sessions) one.destroy();
      };
    },
  ],
] as const;

for (const io of await availableExecutors()) {
  for (const [version, leaveUnread] of CLIENTS) {
    describe(`downloads that clients of ${version} leave unread on ${io}`, () => {
      let endpoint: Http2Endpoint;
      let sluice: Sluice;
      before(async () => {
        endpoint = await downloads();
        sluice = await startSluice(
          `workers: 1
limits: { http2: { connectionWindow: 1MiB, maxBuffered: 256KiB } }
listeners:
  - { name: in, listen: "127.0.0.1:0", service: out }
services:
  out: { endpoints: ["${endpoint.address}"], protocol: http2 }
`,
          io,
        );
      });
      after(async () => {
        hangUp();
        await sluice.stop();
        await endpoint.close();
      });

      test('do not stop the download of a stranger on the same connection, and others get another one', async () => {
        const stranger = session(sluice);
        const wanted = stranger.request({ ':path': '/' });
        await once(wanted, 'response');
        assert.equal(endpoint.connections, 1);
        const leave = await leaveUnread(sluice);
        await eventually(
          async () => (await sluice.metric('sluice_limit_total', { limit: 'h2-buffered' })) > 0,
          'much is held',
          30_000,
        );
        let got = 0;
        for await (const chunk of wanted) got += (chunk as Buffer).length;
        assert.equal(got, LARGE);
        const second = stranger.request({ ':path': '/' });
        got = 0;
        for await (const chunk of second) got += (chunk as Buffer).length;
        assert.equal(got, LARGE);
        assert.ok(endpoint.connections > 1, 'it is another connection');
        assert.equal(await sluice.metric('sluice_http2_resets_sent_total'), 0, 'and nobody is cut');
        leave();
        stranger.close();
      });
    });
  }
}
