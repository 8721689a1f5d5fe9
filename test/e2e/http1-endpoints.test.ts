// Endpoints that fail: stale pooled connections, retries, the breaker, balancing, and the counters that tell of them.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { settled, startEdge } from '../support/gateway.js';
import { answering, client, exchange, metrics, OK, type Upstream, upstream, type Wire } from '../support/http.js';
import { availableExecutors, eventually, plainSockets, type Sluice } from '../support/sluice.js';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const POST = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody';

for (const io of await availableExecutors()) {
  describe(`HTTP/1 stale connections on ${io}`, () => {
    let origin: Upstream;
    let sluice: Sluice;

    before(async () => {
      origin = await upstream();
      sluice = await startEdge(io, [origin.address], { service: '    breaker: { failures: 0 }' });
    });
    afterEach(async () => {
      await settled(sluice);
      for (const { socket } of origin.connections) socket.destroy();
      await eventually(async () => (await metrics(sluice))('sluice_endpoint_pool_idle') === 0, 'an empty pool');
    });
    after(async () => {
      assert.equal(await sluice.stop(), 0);
      await origin.close();
    });

    /** Answers the first request on its first connection; on the second request does `next`. Later connections just serve. */
    function servesOnce(next: (side: Wire) => void): void {
      const first = origin.connections.length;
      origin.script(async (side, index) => {
        await side.message();
        side.write(OK);
        if (index === first) {
          await side.until(() => side.bytes.length > 0, 'a second request');
          next(side);
        } else await answering(() => OK)(side);
      });
    }

    for (const how of ['fin', 'reset'] as const) {
      const end = (side: Wire): void => (how === 'fin' ? side.destroy() : side.reset());

      it(`sends a GET again, unseen, where the pooled connection ends by ${how} under it`, async () => {
        servesOnce(end);
        const before = await metrics(sluice);
        const wire = await client(sluice.port('edge'));
        for (let i = 0; i < 2; i++) {
          wire.write(GET);
          assert.equal((await wire.message()).status, 200);
        }
        wire.destroy();
        const value = await metrics(sluice);
        assert.equal(value('sluice_retries_total') - before('sluice_retries_total'), 1);
        assert.equal(value('sluice_service_requests_total') - before('sluice_service_requests_total'), 2);
        assert.equal(value('request_total') - before('request_total'), 3);
        assert.equal(value('sluice_endpoint_abandoned_total') - before('sluice_endpoint_abandoned_total'), 1);
      });

      it(`does not send a POST again once bytes were taken (${how}): 502`, async () => {
        servesOnce(end);
        const wire = await client(sluice.port('edge'));
        wire.write(GET);
        assert.equal((await wire.message()).status, 200);
        wire.write(POST);
        const response = await wire.message();
        assert.equal(response.status, 502);
        assert.equal(response.field('sluice-error'), 'upstream-reset');
        wire.destroy();
      });
    }

    for (const [order, endFirst] of [
      ['before', true],
      ['after', false],
    ] as const) {
      it(`sends a POST whose bytes were never taken: the connection ended just ${order} it came`, async () => {
        let served = 0;
        let posts = 0;
        origin.script(
          answering(({ method }) => {
            if (method === 'POST') posts++;
            return OK;
          }),
        );
        const count = 10;
        let wire = await client(sluice.port('edge'));
        for (let i = 0; i < count; i++) {
          wire.write(GET);
          assert.equal((await wire.message()).status, 200);
          const pooled = origin.connections.filter(({ end, socket }) => end === undefined && !socket.destroyed);
          // Both events wait for Sluice when it goes on, so that it sees them in one turn of its loop.
          sluice.child.kill('SIGSTOP');
          if (!endFirst) await wire.sent(POST);
          await Promise.all(
            pooled.map(({ socket }) => new Promise((resolve) => socket.once('close', resolve).destroy())),
          );
          if (endFirst) await wire.sent(POST);
          sluice.child.kill('SIGCONT');
          const response = await wire.message();
          if (response.status === 200) {
            served++;
            continue;
          }
          // An executor may report the request a turn before the end: then the kernel has taken bytes, and that is that.
          assert.equal(response.field('sluice-error'), 'upstream-reset');
          wire.destroy();
          wire = await client(sluice.port('edge'));
        }
        wire.destroy();
        assert.equal(posts, served, 'no POST is sent twice');
        // A transport may report the end a turn after the request.
        if (endFirst && plainSockets) assert.equal(served, count);
      });
    }

    it('retries no request on a new connection, and none whose response has begun', async () => {
      origin.script(async (side) => {
        await side.until(() => side.bytes.length > 0, 'a request');
        side.reset();
      });
      assert.equal((await exchange(sluice.port('edge'), GET)).status, 502);
      servesOnce((side) => {
        side.write('HTTP/1.1 2');
        side.fin();
      });
      const wire = await client(sluice.port('edge'));
      wire.write(GET);
      assert.equal((await wire.message()).status, 200);
      wire.write(GET);
      assert.equal((await wire.message()).status, 502);
      wire.destroy();
    });

    it('gives every request an answer while the endpoint closes idle connections at the wrong moment', async () => {
      // Each connection serves three requests and is closed at once after the third, without a word in the response.
      origin.script(async (side) => {
        for (let i = 0; i < 3; i++) {
          await side.message();
          side.write(OK);
        }
        side.fin();
      });
      await Promise.all(
        Array.from({ length: 8 }, async () => {
          const wire = await client(sluice.port('edge'));
          for (let i = 0; i < 60; i++) {
            wire.write(GET);
            assert.equal((await wire.message()).status, 200);
          }
          wire.destroy();
        }),
      );
    });

    it('stops retrying when the budget is used up', async () => {
      const small = await startEdge(io, [origin.address], {
        service: '    breaker: { failures: 0 }\n    retry: { budget: 0, minPerSecond: 0 }',
      });
      servesOnce((side) => side.destroy());
      const wire = await client(small.port('edge'));
      wire.write(GET);
      assert.equal((await wire.message()).status, 200);
      wire.write(GET);
      assert.equal((await wire.message()).status, 502);
      wire.destroy();
      assert.equal(await small.metric('sluice_retries_budget_exhausted_total'), 1);
      assert.equal(await small.metric('sluice_limit_total', { limit: 'retry-budget' }), 1);
      assert.equal(await small.metric('sluice_service_retries_denied_total'), 1);
      await settled(small);
      await small.stop();
    });
  });

  describe(`HTTP/1 balancing on ${io}`, () => {
    it('serves every request from the endpoints that work, and counts per endpoint', async () => {
      const good = await upstream(answering(() => OK));
      const bad = await upstream(answering(() => 'HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n'));
      const gone = await upstream();
      await gone.close();
      const sluice = await startEdge(io, [good.address, bad.address, gone.address], {
        service: '    balance: { policy: round-robin }\n    breaker: { failures: 3, minBackoff: 60s }',
      });
      const statuses = new Map<number, number>();
      const wire = await client(sluice.port('edge'));
      const count = 200;
      for (let i = 0; i < count; i++) {
        wire.write(i % 2 ? GET : POST);
        const { status } = await wire.message();
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
      wire.destroy();
      await settled(sluice);
      const value = await metrics(sluice);
      const at = (address: string): string => `target_addr="${address}"`;
      assert.deepEqual([...statuses.keys()].sort(), [200, 500]);
      assert.equal(value('response_total', 'status_code="200"', at(good.address)), statuses.get(200));
      assert.equal(value('response_total', 'status_code="500"', at(bad.address)), statuses.get(500));
      assert.equal(statuses.get(500), 3, 'the breaker opens after three failures');
      assert.equal(value('response_total', at(gone.address)), 0);
      assert.equal(value('sluice_endpoint_connect_failures_total', at(gone.address)), 3);
      assert.equal(value('sluice_endpoint_connect_failures_total', at(good.address)), 0);
      assert.equal(value('sluice_service_requests_total'), count);
      assert.equal(value('response_total'), count);
      assert.equal(value('response_latency_ms_count'), count);
      assert.equal(value('sluice_service_response_latency_seconds_count'), count);
      await eventually(
        async () => (await metrics(sluice))('sluice_endpoint_state', 'state="probation"') === 2,
        'two endpoints in probation',
      );
      assert.equal(await sluice.stop(), 0);
      await good.close();
      await bad.close();
    });

    it('sends what could not be connected to another endpoint, whatever the method and body', async () => {
      const good = await upstream(
        answering(({ body }) => `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body.toString('latin1')}`),
      );
      const gone = await upstream();
      await gone.close();
      const sluice = await startEdge(io, [gone.address, good.address], { service: '    breaker: { failures: 0 }' });
      const body = 'x'.repeat(600_000);
      await Promise.all(
        Array.from({ length: 20 }, async (_, i) => {
          const length = i % 2 === 0 ? body.length : 10_000;
          const framed =
            i % 4 < 2
              ? `Content-Length: ${length}\r\n\r\n${body.slice(0, length)}`
              : `Transfer-Encoding: chunked\r\n\r\n${length.toString(16)}\r\n${body.slice(0, length)}\r\n0\r\n\r\n`;
          const response = await exchange(sluice.port('edge'), `POST / HTTP/1.1\r\nHost: a\r\n${framed}`);
          assert.equal(response.status, 200);
          assert.equal(response.body.length, length);
        }),
      );
      await settled(sluice);
      assert.equal(await sluice.stop(), 0);
      await good.close();
    });
  });
}
