// The access log: one line of JSON a request, whatever bytes the request was made of.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { settled, startEdge } from '../support/gateway.js';
import { answering, client, exchange, upstream } from '../support/http.js';
import { availableExecutors, eventually, type LogLine } from '../support/sluice.js';

for (const io of await availableExecutors()) {
  describe(`HTTP/1 access log on ${io}`, () => {
    it('has a line of JSON for each request, answered by an endpoint, by the proxy, or not to its end', async () => {
      const origin = await upstream(
        answering(({ target }) =>
          target === '/cut'
            ? 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\n'
            : 'HTTP/1.1 201 OK\r\ncontent-length: 0\r\n\r\n',
        ),
      );
      const sluice = await startEdge(io, [origin.address], { top: 'log: { access: true }' });
      const hostile = `/"},{"\\\\"'\`$\{x}%00%0a${'"'.repeat(50)}`;
      const port = sluice.port('edge');
      await exchange(port, `GET ${hostile} HTTP/1.1\r\nHost: example.test:8\r\n\r\n`);
      await exchange(port, `P"T / HTTP/1.1\r\nHost: a\r\n\r\n`);
      await exchange(port, `we're-odd / HTTP/1.1\r\nHost: a\r\n\r\n`);
      const wire = await client(port);
      wire.write('GET /cut HTTP/1.1\r\nHost: a\r\n\r\n');
      await wire.until(() => wire.total > 0, 'a head');
      wire.reset();
      await settled(sluice);
      const requests = (): LogLine[] => sluice.log.filter(({ message }) => message === 'request');
      await eventually(() => requests().length === 4, 'four lines');
      assert.deepEqual(
        sluice.log.filter(({ level }) => level === 'raw'),
        [],
      );
      const [first, bad, odd, cut] = requests();
      assert.equal(first?.method, 'GET');
      assert.equal(first?.target, hostile);
      assert.equal(first?.host, 'example.test:8');
      assert.equal(first?.status, 201);
      assert.equal(first?.upstream, origin.address);
      assert.match(String(first?.client), /^127\.0\.0\.1:\d+$/);
      assert.ok(Number(first?.ms) >= 0 && Number(first?.ms) < 60_000);
      assert.equal(bad?.status, 400);
      assert.equal(bad?.upstream, '');
      assert.equal(odd?.method, "we're-odd");
      assert.equal(cut?.target, '/cut');
      assert.equal(cut?.unanswered, true);
      assert.equal(await sluice.stop(), 0);
      await origin.close();
    });

    it('keeps lines whole and in order under load', async () => {
      const origin = await upstream(answering(() => 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'));
      const sluice = await startEdge(io, [origin.address], { top: 'log: { access: true }' });
      const wire = await client(sluice.port('edge'));
      const count = 3000;
      wire.write(Array.from({ length: count }, (_, i) => `GET /${i} HTTP/1.1\r\nHost: a\r\n\r\n`).join(''));
      for (let i = 0; i < count; i++) await wire.message();
      wire.destroy();
      const requests = (): LogLine[] => sluice.log.filter(({ message }) => message === 'request');
      await eventually(() => requests().length >= count, 'all lines');
      assert.deepEqual(
        requests().map(({ target }) => target),
        Array.from({ length: count }, (_, i) => `/${i}`),
      );
      assert.equal(await sluice.metric('sluice_access_log_dropped_total'), 0);
      await settled(sluice);
      assert.equal(await sluice.stop(), 0);
      await origin.close();
    });
  });
}
