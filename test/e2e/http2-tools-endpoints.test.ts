// HTTP/2 servers that nobody here wrote, as endpoints: bodies both ways, HEAD, and h2load at several shapes.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { content, type Digest, digestOf, sha1 } from '../support/content.js';
import { quiet, startGateway, tearDown } from '../support/gateway.js';
import { type Endpoint, Http2Client, hangUp, http1Endpoint, http2Endpoint } from '../support/http2.js';
import {
  h2load,
  orMissing,
  startHaproxy,
  startNghttpd,
  startNghttpx,
  startNginx,
  startPythonH2,
  stopServers,
} from '../support/http2-peers.js';
import { type RealServer, which } from '../support/servers.js';
import { availableExecutors, type Sluice } from '../support/sluice.js';

const LARGE = 64 << 20;
const SIZES = [0, 1, 16_384, 65_535, 65_536, 1_000_003];
/** Clients, streams on each, requests. */
const SHAPES = [
  [10, 32, 6400],
  [100, 10, 4000],
  [1, 100, 2000],
  [64, 1, 1280],
] as const;

interface Kind {
  readonly name: string;
  readonly start: (origin: Endpoint) => Promise<RealServer>;
  /** A small answer. */
  readonly small: string;
  /** Where 64 MiB come from, and their SHA-1 where it is not of `content`. */
  readonly large: string;
  /** Says of large bodies what came, rather than to send them back. */
  readonly digests: boolean;
}

const node = async (): Promise<RealServer> => {
  const endpoint = await http2Endpoint();
  return { port: endpoint.port, directory: '', stop: () => endpoint.close() };
};
const files = { small: Buffer.from('small'), large: content(LARGE) };

const KINDS: readonly Kind[] = [
  { name: 'Node http2', start: node, small: '/', large: `/bytes/${LARGE}`, digests: true },
  {
    name: 'nginx',
    start: ({ port }) => startNginx(port, files),
    small: '/',
    large: '/files/large',
    digests: true,
  },
  { name: 'nghttpd', start: () => startNghttpd(files), small: '/small', large: '/large', digests: false },
  {
    name: 'nghttpx',
    start: ({ port }) => startNghttpx(port, 'http/1.1'),
    small: '/',
    large: `/bytes/${LARGE}`,
    digests: true,
  },
  {
    name: 'HAProxy',
    start: ({ port }) => startHaproxy('h2', port, 'h1'),
    small: '/',
    large: `/bytes/${LARGE}`,
    digests: true,
  },
  { name: 'Python h2', start: startPythonH2, small: '/bytes/5', large: `/bytes/${LARGE}`, digests: false },
];

afterEach(hangUp);
after(tearDown);
after(stopServers);

for (const io of await availableExecutors()) {
  describe(`HTTP/2 endpoints on ${io}`, () => {
    let origin: Endpoint;

    before(async () => {
      origin = await http1Endpoint();
    });
    after(() => origin.close());

    for (const { name, start, small, large, digests } of KINDS) {
      describe(name, () => {
        let server: RealServer | string;
        let sluice: Sluice;

        before(async () => {
          server = await orMissing(start(origin));
          if (typeof server !== 'string') sluice = await startGateway(io, [`127.0.0.1:${server.port}`]);
        });
        after(async () => {
          if (typeof server === 'string') return;
          await quiet(sluice);
          assert.equal(await sluice.stop(), 0);
          await server.stop();
        });

        it('answers many small requests of one connection, and HEAD', async (t) => {
          if (typeof server === 'string') return t.skip(server);
          const client = await Http2Client.open(sluice.port('edge'));
          for (let round = 0; round < 3; round++) {
            const replies = await Promise.all(Array.from({ length: 60 }, () => client.ask({ ':path': small })));
            for (const { status, body } of replies) assert.deepEqual([status, body.length > 0], [200, true]);
          }
          const head = await client.ask({ ':path': small, ':method': 'HEAD' });
          assert.deepEqual([head.status, head.body.length], [200, 0]);
          client.close();
        });

        it('gets bodies of 0 B to 64 MiB, and they come back as they were', async (t) => {
          if (typeof server === 'string') return t.skip(server);
          const client = await Http2Client.open(sluice.port('edge'), { settings: { initialWindowSize: 1 << 20 } });
          const post = (path: string, body: Buffer) => client.ask({ ':path': path, ':method': 'POST' }, { body });
          for (const size of SIZES) {
            const body = content(size);
            const answer = await post('/echo', body);
            assert.equal(answer.status, 200);
            assert.deepEqual(digestOf(answer.body), digestOf(body), `${size} bytes`);
          }
          const several = await Promise.all(SIZES.map((size) => post('/echo', content(size))));
          assert.deepEqual(
            several.map(({ body }) => sha1(body)),
            SIZES.map((size) => sha1(content(size))),
          );
          const body = content(LARGE);
          const answer = await post(digests ? '/digest' : '/echo', body);
          assert.equal(answer.status, 200);
          assert.deepEqual(digests ? JSON.parse(answer.text) : digestOf(answer.body), digestOf(body));
          client.close();
        });

        it('sends 64 MiB', async (t) => {
          if (typeof server === 'string') return t.skip(server);
          const client = await Http2Client.open(sluice.port('edge'));
          const { status, headers, body } = await client.ask({ ':path': large });
          assert.equal(status, 200);
          const expected: Digest = digestOf(content(LARGE));
          assert.equal(body.length, LARGE);
          assert.equal(sha1(body), headers['x-sha1'] ?? expected.sha1);
          client.close();
        });

        it('loses none of the requests of h2load, whatever its shape', {
          skip: which('h2load') === null && 'h2load is not installed',
        }, async (t) => {
          if (typeof server === 'string') return t.skip(server);
          for (const [clients, streams, requests] of SHAPES) {
            // A Python server takes its time.
            const count = name === 'Python h2' ? Math.max(clients, requests / 10) : requests;
            const { succeeded, statuses, text } = await h2load(sluice.port('edge'), clients, streams, count, [], small);
            assert.deepEqual(
              { succeeded, ok: statuses.ok, shape: `${clients} x ${streams}` },
              { succeeded: count, ok: count, shape: `${clients} x ${streams}` },
              text,
            );
          }
        });
      });
    }
  });
}
