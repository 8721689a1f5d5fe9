import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { Wire } from '../support/http.js';
import { freePort } from '../support/servers.js';
import { availableExecutors, eventually, type Sluice, startSluice } from '../support/sluice.js';
import { refuses } from '../support/tcp.js';
import { dial, httpOrigin, listening, load, open } from './lifecycle-support.js';

const fds = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

/** Reloads and waits for the proxy's word on it. */
async function reload(
  sluice: Sluice,
  yaml: string,
  outcome: 'reloaded' | 'reload refused; the running configuration stays',
) {
  const seen = sluice.log.length;
  sluice.reload(yaml);
  return sluice.logged((line) => line.message === outcome && sluice.log.indexOf(line) >= seen);
}
const REFUSED = 'reload refused; the running configuration stays';

interface Shape {
  readonly endpoints: readonly number[];
  readonly listeners: Readonly<Record<string, number>>;
  readonly more?: string;
}

const yaml = ({ endpoints, listeners, more = '' }: Shape): string =>
  `workers: 2\nlisteners:\n${Object.entries(listeners)
    .map(([name, port]) => `  - { name: ${name}, listen: "127.0.0.1:${port}", service: web }\n`)
    .join(
      '',
    )}services:\n  web: { protocol: http1, endpoints: [${endpoints.map((port) => `"127.0.0.1:${port}"`).join(', ')}] }\n${more}`;

for (const io of await availableExecutors()) {
  test(`${io}: endpoints change under traffic, and no request fails`, async () => {
    const first = await httpOrigin((_, response) => response.end('first'));
    const second = await httpOrigin((_, response) => response.end('second'));
    const listeners = { edge: 0 };
    const sluice = await startSluice(yaml({ endpoints: [first.port], listeners }), io);
    const port = sluice.port('edge');
    const client = await open(port);
    assert.equal((await client.get()).body.toString(), 'first');
    const traffic = load(port, 6, true);
    await eventually(() => traffic.count() > 50, 'traffic flows');
    await reload(sluice, yaml({ endpoints: [second.port], listeners }), 'reloaded');
    await eventually(
      async () => (await client.get()).body.toString() === 'second',
      'requests of an old connection go to the new endpoint',
    );
    await reload(sluice, yaml({ endpoints: [first.port, second.port], listeners }), 'reloaded');
    const seen = traffic.count();
    await eventually(() => traffic.count() > seen + 50, 'traffic goes on');
    // Another service altogether, for connections that are open too; the old one is gone.
    await reload(sluice, yaml({ endpoints: [second.port], listeners }).replaceAll('web', 'shop'), 'reloaded');
    await eventually(async () => (await client.get()).body.toString() === 'second', 'requests go to the new service');
    for (let i = 0; i < 20; i++) assert.equal((await client.get()).body.toString(), 'second');
    await traffic.stop();
    assert.deepEqual(traffic.failures, []);
    client.destroy();
    assert.equal(await sluice.stop(), 0);
    await Promise.all([first.close(), second.close()]);
  });

  test(`${io}: what a listener adds to messages changes, for open connections too`, async () => {
    const seen: (string | undefined)[] = [];
    const origin = await httpOrigin((request, response) => {
      seen.push(request.headers.via);
      response.sendDate = false;
      response.end('ok');
    });
    const adding = (more: string): string =>
      yaml({ endpoints: [origin.port], listeners: { edge: 0 } }).replace('service: web', `service: web${more}`);
    const sluice = await startSluice(adding(''), io);
    const client = await open(sluice.port('edge'));
    const added = async (via: string | null, dated: boolean): Promise<void> => {
      const answer = await client.get();
      assert.deepEqual([answer.field('via'), answer.field('date') !== null], [via, dated]);
      assert.equal(seen.at(-1), via ?? undefined);
    };
    await added(null, false);
    await reload(sluice, adding(', via: edge, date: true'), 'reloaded');
    await eventually(async () => (await client.get()).field('via') !== null, 'the worker knows of it');
    await added('1.1 edge', true);
    await reload(sluice, adding(', via: other'), 'reloaded');
    await eventually(async () => (await client.get()).field('via') === '1.1 other', 'the worker knows of it');
    await added('1.1 other', false);
    await reload(sluice, adding(', via: off'), 'reloaded');
    await eventually(async () => (await client.get()).field('via') === null, 'the worker knows of it');
    await added(null, false);
    client.destroy();
    assert.equal(await sluice.stop(), 0);
    await origin.close();
  });

  test(`${io}: a listener is added, moved to another port and removed; others do not notice`, async () => {
    const origin = await httpOrigin();
    const endpoints = [origin.port];
    const sluice = await startSluice(yaml({ endpoints, listeners: { edge: 0 } }), io);
    const traffic = load(sluice.port('edge'), 4, false);
    const kept = load(sluice.port('edge'), 4, true);
    const [here, there] = [await freePort(), await freePort()];

    await reload(sluice, yaml({ endpoints, listeners: { edge: 0, extra: here } }), 'reloaded');
    const stays = new Wire(await dial(here));
    assert.equal((await stays.get()).status, 200);

    await reload(sluice, yaml({ endpoints, listeners: { edge: 0, extra: there } }), 'reloaded');
    const moved = new Wire(await dial(there));
    assert.equal((await moved.get()).status, 200);
    await eventually(() => refuses(here), 'the old port is closed');
    assert.equal((await stays.get()).status, 200, 'a connection through the old port goes on');

    await reload(sluice, yaml({ endpoints, listeners: { edge: 0 } }), 'reloaded');
    await eventually(() => refuses(there), 'the removed port is closed');
    assert.equal((await moved.get()).status, 200);

    // Back again, on the port that it had.
    await reload(sluice, yaml({ endpoints, listeners: { edge: 0, extra: there } }), 'reloaded');
    const again = new Wire(await dial(there));
    assert.equal((await again.get()).status, 200);

    for (const connection of [stays, moved, again]) connection.destroy();
    await Promise.all([traffic.stop(), kept.stop()]);
    assert.deepEqual([...traffic.failures, ...kept.failures], []);
    assert.equal(await sluice.stop(), 0);
    await origin.close();
  });

  test(`${io}: a listener goes away under load: every connection that it has accepted is served`, async () => {
    const origin = await httpOrigin();
    const endpoints = [origin.port];
    const extra = await freePort();
    const with_ = yaml({ endpoints, listeners: { edge: 0, extra } });
    const without = yaml({ endpoints, listeners: { edge: 0 } });
    const sluice = await startSluice(with_, io);
    const traffic = load(extra, 8, false);
    for (let round = 0; round < 3; round++) {
      const seen = traffic.count();
      await eventually(() => traffic.count() > seen + 100, 'traffic flows');
      await reload(sluice, without, 'reloaded');
      await eventually(() => refuses(extra), 'the port is closed');
      await reload(sluice, with_, 'reloaded');
    }
    await traffic.stop();
    assert.deepEqual(traffic.failures, []);
    assert.equal(await sluice.stop(), 0);
    await origin.close();
  });

  test(`${io}: a long transfer, limits and opaque ports: a reload takes effect for what comes after`, async () => {
    const size = 64 << 20;
    const origin = await httpOrigin((request, response) => {
      if (request.url !== '/large') return response.end('small');
      response.setHeader('Content-Length', size);
      const chunk = Buffer.alloc(1 << 20, 'x');
      let left = size;
      const more = (): void => {
        while (left > 0) {
          left -= chunk.length;
          if (!response.write(chunk)) return void response.once('drain', more);
        }
        response.end();
      };
      return more();
    });
    const extra = await freePort();
    const shape = { endpoints: [origin.port], listeners: { edge: extra } };
    const sluice = await startSluice(yaml(shape), io);
    const reader = connect(extra, '127.0.0.1');
    let received = 0;
    let paused = false;
    let head = -1;
    reader.on('data', (chunk: Buffer) => {
      if (head < 0) head = chunk.indexOf('\r\n\r\n') + 4;
      received += chunk.length;
      // In the middle of it the transfer stands still until the reload is done.
      if (received > size / 4 && !paused) {
        paused = true;
        reader.pause();
      }
    });
    reader.write('GET /large HTTP/1.1\r\nHost: test\r\n\r\n');
    await eventually(() => paused, 'the transfer is under way');

    await reload(
      sluice,
      yaml({ ...shape, more: `limits: { http1: { maxTarget: 16, maxHeaderBytes: 1000 } }\nopaquePorts: []\n` }),
      'reloaded',
    );
    const client = await open(extra);
    assert.equal((await client.get(`/${'long'.repeat(20)}`)).status, 414);
    client.destroy();
    const trailing = await open(extra);
    const trailers = `x-trailer: ${'t'.repeat(2000)}\r\n`;
    trailing.write(`POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n${trailers}\r\n`);
    assert.equal((await trailing.message()).status, 431);
    trailing.destroy();

    await reload(sluice, yaml({ ...shape, more: `opaquePorts: { add: [${extra}] }\n` }), 'reloaded');
    // Opaque: what HTTP/1 would refuse reaches the server, which answers for itself.
    const raw = await open(extra);
    raw.write('GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n');
    await raw.message();
    assert.equal(await sluice.metric('sluice_verdict_total', { reason: 'annotation' }), 1);
    raw.destroy();

    reader.resume();
    await eventually(() => head > 0 && received >= size + head, 'the long transfer ends');
    assert.equal(received, size + head);
    reader.destroy();
    assert.equal(await sluice.stop(), 0);
    await origin.close();
  });

  test(`${io}: what can't be is refused, and everything stays as it was`, async () => {
    const origin = await httpOrigin();
    const endpoints = [origin.port];
    const taken = createServer();
    const takenPort = await listening(taken);
    const free = await freePort();
    const sluice = await startSluice(yaml({ endpoints, listeners: { edge: 0 } }), io);
    const client = await open(sluice.port('edge'));
    assert.equal((await client.get()).status, 200);

    await reload(sluice, 'listeners: [\n', REFUSED);
    await reload(sluice, yaml({ endpoints, listeners: {} }), REFUSED);
    const busy = await reload(sluice, yaml({ endpoints, listeners: { edge: 0, free, other: takenPort } }), REFUSED);
    assert.match(String(busy.reason), new RegExp(`127.0.0.1:${takenPort} is in use`));
    assert.equal(await refuses(free), true, 'the listener that could be bound is not left open');
    assert.equal((await client.get()).status, 200);
    assert.equal((await (await open(sluice.port('edge'))).get('/', 'Connection: close\r\n')).status, 200);
    client.destroy();
    assert.equal(await sluice.stop(), 0);
    taken.close();
    await origin.close();
  });

  test(`${io}: many reloads leave no descriptor and no slot behind`, async () => {
    const origin = await httpOrigin();
    const other = await httpOrigin();
    const extra = await freePort();
    const small = yaml({ endpoints: [origin.port], listeners: { edge: 0 } });
    const large = yaml({ endpoints: [origin.port, other.port], listeners: { edge: 0, extra } });
    const sluice = await startSluice(small, io);
    const round = async (): Promise<void> => {
      await reload(sluice, large, 'reloaded');
      const client = await open(extra);
      assert.equal((await client.get('/', 'Connection: close\r\n')).status, 200);
      await client.closed();
      await reload(sluice, small, 'reloaded');
      await eventually(() => refuses(extra), 'the port is closed');
    };
    await round();
    const before = fds(sluice.pid);
    for (let i = 0; i < 10; i++) await round();
    await eventually(() => fds(sluice.pid) <= before, `descriptors come back to ${before}`);
    assert.equal(await sluice.metric('sluice_metrics_overflow_total'), 0);
    assert.equal(await sluice.stop(), 0);
    await Promise.all([origin.close(), other.close()]);
  });
}
