// The access log of HTTP/1 and of what is no HTTP: one line of JSON a request or connection, whatever bytes it was made of.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { describe, it } from 'node:test';
import { settled, startEdge } from '../support/gateway.js';
import { answering, client, exchange, upstream } from '../support/http.js';
import { availableExecutors, eventually, type LogLine, startSluice } from '../support/sluice.js';
import { listening } from './lifecycle-support.js';

for (const io of await availableExecutors()) {
  describe(`HTTP/1 access log on ${io}`, () => {
    it('is written though nothing else happens', async () => {
      const origin = await upstream(answering(() => 'HTTP/1.1 201 OK\r\ncontent-length: 0\r\n\r\n'));
      const sluice = await startEdge(io, [origin.address], { top: 'log: { access: true }' });
      const wire = await client(sluice.port('edge'));
      // Twice, as what comes with the first connection may wake the worker up once more.
      for (const path of ['/first', '/second']) {
        wire.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
        await eventually(() => sluice.log.some(({ message, path: of }) => message === 'request' && of === path), path);
      }
      wire.reset();
      assert.equal(await sluice.stop(), 0);
      await origin.close();
    });

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
      assert.equal(first?.path, hostile);
      assert.equal(first?.authority, 'example.test:8');
      assert.equal(first?.status, 201);
      assert.equal(first?.endpoint, origin.address);
      assert.match(String(first?.client), /^127\.0\.0\.1:\d+$/);
      assert.ok(Number(first?.durationMs) >= 0 && Number(first?.durationMs) < 60_000);
      assert.equal(first?.listener, 'edge');
      assert.equal(first?.service, 'web');
      assert.equal(bad?.status, 400);
      assert.equal(bad?.reason, 'bad-request');
      assert.equal(bad?.listener, 'edge');
      assert.match(String(bad?.client), /^127\.0\.0\.1:\d+$/);
      assert.equal(bad?.endpoint, '');
      assert.equal(odd?.method, "we're-odd");
      assert.equal(cut?.path, '/cut');
      assert.equal(cut?.unanswered, true);
      assert.equal(cut?.status, 200);
      assert.equal(cut?.endpoint, origin.address);
      assert.match(String(cut?.client), /^127\.0\.0\.1:\d+$/, 'of a client that has reset its connection too');
      assert.equal(await sluice.stop(), 0);
      await origin.close();
    });

    it('bounds each text, so that a record is one write to a pipe, and keeps its fields', async () => {
      const origin = await upstream(answering(() => 'HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc'));
      const sluice = await startEdge(io, [origin.address], { top: 'log: { access: true }' });
      const characters = ['a', '"', '\\', '\xff', '\xc3\xa9', '~'];
      for (const character of characters) {
        const long = character.repeat(2000);
        const path = character > '~' ? '' : long;
        await exchange(
          sluice.port('edge'),
          `POST /${path} HTTP/1.1\r\nHost: a\r\nUSER-agent: agent ${long}\r\nX-Request-Id: ${long}\r\nContent-Length: 5\r\n\r\n12345`,
        );
      }
      const requests = (): LogLine[] => sluice.log.filter(({ message }) => message === 'request');
      await eventually(() => requests().length === characters.length, 'a line for each');
      for (const line of requests()) {
        assert.ok(Buffer.byteLength(JSON.stringify(line)) < 4096, JSON.stringify(line));
        assert.deepEqual([line.status, line.received, line.sent], [200, 5, 3]);
        assert.match(String(line.userAgent), /^agent.*…$/);
      }
      assert.deepEqual(
        sluice.log.filter(({ level }) => level === 'raw'),
        [],
      );
      assert.equal(await sluice.stop(), 0);
      await origin.close();
    });

    it('has a record of each relayed connection, with both sides and how it ended', async () => {
      const servers = {
        echo: createServer((socket) => socket.pipe(socket)),
        rude: createServer((socket) => socket.once('data', () => socket.resetAndDestroy())),
      };
      const ports = { echo: await listening(servers.echo), rude: await listening(servers.rude), none: 9 };
      const names = ['echo', 'rude', 'none'] as const;
      const listener = (name: string) =>
        `{ name: to-${name}, listen: "127.0.0.1:0", protocol: opaque, service: ${name} }`;
      const sluice = await startSluice(
        `log: { access: true }\ndrain: { hold: 0 }\nlisteners: [${names.map(listener).join(', ')}]\nservices:\n` +
          names.map((name) => `  ${name}: { endpoints: ["127.0.0.1:${ports[name]}"] }\n`).join(''),
        io,
      );
      const closed = { echo: 'ok', rude: 'reset', none: 'no-endpoint' };
      for (const name of names) {
        const socket = connect(sluice.port(`to-${name}`), '127.0.0.1');
        socket.on('error', () => undefined);
        const ended = new Promise((resolve) => socket.once('close', resolve));
        let client = '';
        socket.once('connect', () => {
          client = `127.0.0.1:${socket.localPort}`;
        });
        socket.write('hello');
        if (name === 'echo') {
          await once(socket, 'data');
          socket.end();
        }
        await ended;
        const line = await sluice.logged(
          (candidate) => candidate.message === 'connection' && candidate.listener === `to-${name}`,
        );
        // Reset at once, it may never have been connected for the client.
        if (client !== '') assert.equal(line.client, client);
        assert.equal(line.closed, closed[name]);
        assert.equal(line.reason, name === 'none' ? 'connect-failed' : undefined);
        assert.equal(line.service, name);
        assert.equal(line.endpoint, `127.0.0.1:${ports[name]}`);
        if (name === 'echo') assert.deepEqual([line.received, line.sent], [5, 5]);
      }
      assert.equal(await sluice.stop(), 0);
      servers.echo.close();
      servers.rude.close();
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
        requests().map(({ path }) => path),
        Array.from({ length: count }, (_, i) => `/${i}`),
      );
      assert.equal(await sluice.metric('sluice_access_log_dropped_total'), 0);
      await settled(sluice);
      assert.equal(await sluice.stop(), 0);
      await origin.close();
    });
  });
}
