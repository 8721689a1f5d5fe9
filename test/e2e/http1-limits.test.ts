// Every limit and timeout of HTTP/1: what the client gets, and the metric that says so.
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { type Gateway, settled, startEdge } from '../support/gateway.js';
import { answering, client, exchange, metrics, OK, type Upstream, upstream } from '../support/http.js';
import { availableExecutors, eventually, fewBuffers, type Sluice } from '../support/sluice.js';
import { fullListener } from '../support/tcp.js';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const REFUSING = '127.0.0.1:1';

for (const io of await availableExecutors()) {
  describe(`HTTP/1 limits on ${io}`, () => {
    const origins: Upstream[] = [];
    after(async () => {
      for (const origin of origins) await origin.close();
    });

    /** Runs `play` against a Sluice with these settings, and checks that it is whole afterwards. */
    async function against(
      setup: Gateway & { readonly endpoints?: readonly string[]; readonly origin?: Parameters<typeof upstream>[0] },
      play: (sluice: Sluice, origin: Upstream) => Promise<void>,
    ): Promise<void> {
      const origin = await upstream(setup.origin ?? answering(() => OK));
      origins.push(origin);
      const sluice = await startEdge(io, setup.endpoints ?? [origin.address], setup);
      try {
        await play(sluice, origin);
        await settled(sluice);
      } finally {
        await sluice.stop();
      }
    }

    const http1 = (limits: string): Gateway => ({ top: `limits: { http1: { ${limits} } }` });
    const fired = async (sluice: Sluice, limit: string, reason?: string): Promise<void> => {
      const value = await metrics(sluice);
      assert.ok(value('sluice_limit_total', `limit="${limit}"`) >= 1, `limit ${limit} counted`);
      if (reason !== undefined)
        assert.ok(value('sluice_proxy_response_total', `reason="${reason}"`) >= 1, `${reason} counted`);
    };

    it('maxHeaderBytes: 431', () =>
      against(http1('maxHeaderBytes: 512'), async (sluice, origin) => {
        const at = (length: number): string => {
          const frame = `GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n`;
          return frame.replace('X: ', `X: ${'x'.repeat(length - frame.length)}`);
        };
        assert.equal((await exchange(sluice.port('edge'), at(512))).status, 200);
        const before = origin.received;
        const response = await exchange(sluice.port('edge'), at(513));
        assert.equal(response.status, 431);
        assert.equal(response.field('sluice-error'), 'header-too-large');
        assert.equal(origin.received, before);
        await fired(sluice, 'header-bytes', 'header-too-large');
      }));

    it('maxHeaderBytes: 431 for a head that comes in pieces and never ends', () =>
      against({}, async (sluice) => {
        const wire = await client(sluice.port('edge'));
        wire.write('GET / HTTP/1.1\r\nHost: a\r\n');
        while (wire.total === 0 && wire.end === undefined) {
          await wire.sent(`X: ${'y'.repeat(1000)}\r\n`).catch(() => undefined);
          await new Promise((resolve) => setImmediate(resolve));
        }
        assert.equal((await wire.message()).status, 431);
        wire.destroy();
        await fired(sluice, 'header-bytes');
      }));

    it('maxHeaders: 431', () =>
      against(http1('maxHeaders: 4'), async (sluice) => {
        const fields = (n: number): string => `GET / HTTP/1.1\r\nHost: a\r\n${'A: b\r\n'.repeat(n - 1)}\r\n`;
        assert.equal((await exchange(sluice.port('edge'), fields(4))).status, 200);
        assert.equal((await exchange(sluice.port('edge'), fields(5))).status, 431);
        await fired(sluice, 'headers');
      }));

    it('maxTarget: 414', () =>
      against(http1('maxTarget: 64'), async (sluice) => {
        const target = (n: number): string => `GET /${'t'.repeat(n - 1)} HTTP/1.1\r\nHost: a\r\n\r\n`;
        assert.equal((await exchange(sluice.port('edge'), target(64))).status, 200);
        const response = await exchange(sluice.port('edge'), target(65));
        assert.equal(response.status, 414);
        assert.equal(response.field('sluice-error'), 'target-too-long');
        await fired(sluice, 'target-bytes', 'target-too-long');
      }));

    it('headerTimeout: 408, for the first head and a later one', () =>
      against(http1('headerTimeout: 100ms'), async (sluice) => {
        for (const before of ['', GET]) {
          const wire = await client(sluice.port('edge'));
          wire.write(`${before}GET / HTTP/1.1\r\nHo`);
          if (before !== '') assert.equal((await wire.message()).status, 200);
          const response = await wire.message();
          assert.equal(response.status, 408);
          assert.equal(response.field('sluice-error'), 'header-timeout');
          assert.equal(await wire.closed(), 'fin');
          wire.destroy();
        }
        await fired(sluice, 'header-time', 'header-timeout');
      }));

    it('bodyTimeout: 408 for a request body that stops, and the endpoint never takes it for whole', () =>
      against(http1('bodyTimeout: 100ms'), async (sluice, origin) => {
        for (const framing of ['Content-Length: 10\r\n\r\n12345', 'Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n']) {
          const wire = await client(sluice.port('edge'));
          wire.write(`POST / HTTP/1.1\r\nHost: a\r\n${framing}`);
          const response = await wire.message();
          assert.equal(response.status, 408);
          assert.equal(response.field('sluice-error'), 'body-timeout');
          wire.destroy();
        }
        await fired(sluice, 'body-time', 'body-timeout');
        for (const side of origin.connections) assert.doesNotMatch(side.text, /0\r\n\r\n$/);
      }));

    it('bodyTimeout: aborts a response body that stops', () =>
      against(
        {
          ...http1('bodyTimeout: 100ms'),
          origin: async (side) => {
            await side.message();
            side.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345');
          },
        },
        async (sluice) => {
          const wire = await client(sluice.port('edge'));
          wire.write(GET);
          assert.equal(await wire.closed(), 'reset');
          wire.destroy();
          await fired(sluice, 'body-time');
          assert.equal(await sluice.metric('sluice_endpoint_failures_total'), 1);
        },
      ));

    it('bodyTimeout: bounds the wait for a response whose client has ended its direction', () =>
      against({ ...http1('bodyTimeout: 100ms'), halfClose: true, origin: () => undefined }, async (sluice) => {
        const wire = await client(sluice.port('edge'));
        wire.socket.end(GET);
        assert.equal((await wire.message()).status, 504);
        wire.destroy();
        await fired(sluice, 'response-time', 'response-timeout');
      }));

    it('idleTimeout: closes a client connection between requests', () =>
      against(http1('idleTimeout: 100ms'), async (sluice) => {
        const silent = await client(sluice.port('edge'));
        const wire = await client(sluice.port('edge'));
        wire.write(GET);
        assert.equal((await wire.message()).status, 200);
        assert.equal(await wire.closed(), 'fin');
        assert.equal(await silent.closed(), 'fin');
        wire.destroy();
        silent.destroy();
        await fired(sluice, 'idle-time');
      }));

    it('maxRequests: the last response says close', () =>
      against(http1('maxRequests: 3'), async (sluice) => {
        const wire = await client(sluice.port('edge'));
        wire.write(GET.repeat(5));
        const said: (string | null)[] = [];
        for (let i = 0; i < 3; i++) said.push((await wire.message()).field('connection'));
        assert.deepEqual(said, [null, null, 'close']);
        assert.equal(await wire.closed(), 'fin');
        assert.equal(wire.bytes.length, 0);
        wire.destroy();
        await fired(sluice, 'requests');
      }));

    it('responseTimeout: 504, and the connection is not used again', () =>
      against(
        { service: '    responseTimeout: 100ms', origin: async (side) => void (await side.message()) },
        async (sluice, origin) => {
          const response = await exchange(sluice.port('edge'), GET);
          assert.equal(response.status, 504);
          assert.equal(response.field('sluice-error'), 'response-timeout');
          await (await origin.connection(0)).closed();
          await fired(sluice, 'response-time', 'response-timeout');
        },
      ));

    it('connectTimeout: 504 where nothing answers', async () => {
      const full = await fullListener();
      try {
        await against({ endpoints: [full.address], service: '    connectTimeout: 60ms' }, async (sluice) => {
          const response = await exchange(sluice.port('edge'), GET);
          assert.equal(response.status, 504);
          assert.equal(response.field('sluice-error'), 'connect-timeout');
          await fired(sluice, 'connect-time', 'connect-timeout');
        });
      } finally {
        full.close();
      }
    });

    it('breaker.dialInterval: 502 at once where the only endpoint is out and was dialled just before', () =>
      against(
        { endpoints: [REFUSING], service: '    breaker: { failures: 3, minBackoff: 60s, dialInterval: 60s }' },
        async (sluice) => {
          for (let i = 0; i < 3; i++) {
            const response = await exchange(sluice.port('edge'), GET);
            assert.equal(response.status, 502);
            assert.equal(response.field('sluice-error'), 'connect-failed');
          }
          assert.equal(await sluice.metric('sluice_endpoint_connect_failures_total'), 3);
          assert.ok((await sluice.metric('sluice_endpoint_dials_paced_total')) >= 2);
          assert.ok((await sluice.metric('sluice_service_panic_picks_total')) >= 2);
          assert.equal(await sluice.metric('sluice_endpoint_breaker_opened_total'), 1);
          assert.equal(await sluice.metric('sluice_service_no_endpoint_total'), 0);
        },
      ));

    it('pool.maxConnections: 503 while every connection is busy', () =>
      against(
        {
          service: '    pool: { maxConnections: 2 }',
          origin: async (side) => {
            for (;;) {
              const { target } = await side.message();
              if (target === '/hold') await new Promise((resolve) => setTimeout(resolve, 300));
              side.write(OK);
            }
          },
        },
        async (sluice, origin) => {
          const held = [0, 1].map(() => exchange(sluice.port('edge'), GET.replace('/ ', '/hold ')));
          await eventually(
            () => origin.connections.length === 2 && origin.connections.every(({ total }) => total > 0),
            'two requests',
          );
          const response = await exchange(sluice.port('edge'), GET);
          assert.equal(response.status, 503);
          assert.equal(response.field('sluice-error'), 'pool-exhausted');
          for (const { status } of await Promise.all(held)) assert.equal(status, 200);
          assert.equal((await exchange(sluice.port('edge'), GET)).status, 200);
          const value = await metrics(sluice);
          assert.equal(value('sluice_limit_total', 'limit="pool-connections"'), 1);
        },
      ));

    it('slab: answers 503 where buffers run out, goes on afterwards, and has them all back', { skip: fewBuffers }, () =>
      against({ top: 'limits: { slab: 1MiB }' }, async (sluice) => {
        // Heads that never end hold a buffer each, unless they are small.
        const holders = await Promise.all(Array.from({ length: 80 }, () => client(sluice.port('edge'))));
        for (const wire of holders) wire.write(`GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(1000)}`);
        await eventually(() => holders.some(({ total }) => total > 0), 'an answer');
        const refused = holders.find(({ total }) => total > 0);
        const response = await refused?.message();
        assert.equal(response?.status, 503);
        assert.equal(response?.field('sluice-error'), 'memory');
        // Whole requests are served all the while.
        assert.equal((await exchange(sluice.port('edge'), GET)).status, 200);
        await fired(sluice, 'slab', 'memory');
        for (const wire of holders) wire.destroy();
        await settled(sluice);
        const many = await Promise.all(Array.from({ length: 20 }, () => exchange(sluice.port('edge'), GET)));
        assert.ok(many.every(({ status }) => status === 200));
      }),
    );

    it('slab: carries large bodies through a small one', { skip: fewBuffers }, () => {
      const body = Buffer.alloc(700_000, 'x');
      return against(
        {
          top: 'limits: { slab: 1MiB, maxPipes: 0, maxBuffered: 64KiB }',
          origin: answering((request) =>
            Buffer.concat([
              Buffer.from(`HTTP/1.1 200 OK\r\ncontent-length: ${request.body.length}\r\n\r\n`),
              request.body,
            ]),
          ),
        },
        async (sluice) => {
          const head = Buffer.from(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`);
          await Promise.all(
            Array.from({ length: 4 }, async () => {
              const response = await exchange(sluice.port('edge'), Buffer.concat([head, body]));
              assert.equal(response.status, 200);
              assert.ok(response.body.equals(body));
            }),
          );
        },
      );
    });
  });
}
