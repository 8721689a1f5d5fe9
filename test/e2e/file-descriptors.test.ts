// Few file descriptors: whoever is accepted is served, the others wait, and the log says why.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { type ClientHttp2Session, connect } from 'node:http2';
import { after, test } from 'node:test';
import { client, type Wire } from '../support/http.js';
import { availableExecutors, eventually, type Sluice, startSluice } from '../support/sluice.js';
import { listening } from './lifecycle-support.js';

const LIMIT = 256;
const CLIENTS = 400;
const started: Sluice[] = [];

function ask(session: ClientHttp2Session): Promise<number> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':path': '/' }).on('error', reject).resume();
    stream.on('response', (headers) => resolve(Number(headers[':status'])));
  });
}
after(() => {
  for (const { child } of started) child.kill('SIGKILL');
});

const yaml = (port: number): string => `
drain: { hold: 0 }
workers: 2
listeners:
  - { name: edge, listen: "127.0.0.1:0", protocol: http1, service: web }
services:
  web: { protocol: http1, endpoints: ["127.0.0.1:${port}"] }
`;

for (const io of await availableExecutors()) {
  test(`${io}: ${CLIENTS} clients at ${LIMIT} descriptors are all served, in turns`, async () => {
    // Slow, so that all want a connection of their own at once.
    const origin = createServer((_, response) => setTimeout(() => response.end('ok'), 30));
    const port = await listening(origin);
    const sluice = await startSluice(yaml(port), io, {}, ['prlimit', `--nofile=${LIMIT}:${LIMIT}`, '--']);
    started.push(sluice);
    const warning = sluice.log.find(({ message }) => /limits\.maxConnections is more than/.test(message));
    assert.equal(warning?.limit, LIMIT);
    assert.ok(Number(warning?.clients) >= 50 && Number(warning?.clients) < LIMIT / 2);
    assert.ok(Number(warning?.needed) > 200_000);
    assert.match(String(warning?.help), /ulimit -n \d+/);
    const wires: Wire[] = [];
    const ask = async (i: number): Promise<number> => {
      const wire = await client(sluice.port('edge'));
      wires.push(wire);
      // Some stay, as clients with pools do, and are asked to leave for those who wait.
      wire.write(`GET /${i} HTTP/1.1\r\nHost: a\r\n\r\n`);
      const { status } = await wire.message();
      if (i % 4 !== 0) wire.destroy();
      return status;
    };
    const statuses = await Promise.all(Array.from({ length: CLIENTS }, (_, i) => ask(i)));
    assert.deepEqual([...new Set(statuses)], [200]);
    assert.ok((await sluice.metric('sluice_accept_pauses_total')) > 0);
    assert.ok((await sluice.metric('sluice_limit_total', { limit: 'file-descriptors' })) > 0);
    const refused = await sluice.logged(
      ({ message, reason }) => message === 'refused' && reason === 'file-descriptors',
    );
    assert.equal(refused.level, 'warn');
    for (const wire of wires) wire.destroy();
    await eventually(async () => (await sluice.metric('sluice_worker_connections')) === 0, 'all have left');
    assert.equal(await ask(1), 200);
    assert.equal(await sluice.stop(), 0);
    origin.closeAllConnections();
    origin.close();
  });

  test(`${io}: idle HTTP/2 clients have to leave as well, whichever worker has them`, async () => {
    const origin = createServer((_, response) => response.end('ok'));
    const port = await listening(origin);
    const config = yaml(port).replace('protocol: http1, service', 'service');
    const sluice = await startSluice(config, io, {}, ['prlimit', `--nofile=${LIMIT}:${LIMIT}`, '--']);
    started.push(sluice);
    const warning = sluice.log.find(({ message }) => /limits\.maxConnections is more than/.test(message));
    const most = Number(warning?.clients);
    const sessions: ClientHttp2Session[] = [];
    let leaving = 0;
    for (let i = 0; i < most; i++) {
      const session = connect(`http://127.0.0.1:${sluice.port('edge')}`);
      session.on('error', () => undefined).on('goaway', () => leaving++);
      sessions.push(session);
      if (i < most - 1) assert.equal(await ask(session), 200);
    }
    await eventually(() => leaving > 0, 'idle clients are asked to leave');
    const last = sessions.at(-1);
    assert.ok(last !== undefined);
    assert.equal(await ask(last), 200);
    assert.ok(leaving < most / 2, `${leaving} of ${most} were asked to leave`);
    const named = await sluice.logged(({ reason }) => reason === 'idle-closed');
    assert.match(String(named.client), /^127\.0\.0\.1:\d+$/);
    for (const session of sessions) session.destroy();
    assert.equal(await sluice.stop(), 0);
    origin.closeAllConnections();
    origin.close();
  });

  test(`${io}: a worker's idle clients make room for those that its sibling would accept`, async () => {
    const origin = createServer((_, response) => response.end('ok'));
    const port = await listening(origin);
    const sluice = await startSluice(yaml(port), io, {}, ['prlimit', `--nofile=${LIMIT}:${LIMIT}`, '--']);
    started.push(sluice);
    const warning = sluice.log.find(({ message }) => /limits\.maxConnections is more than/.test(message));
    const wires: Wire[] = [];
    for (let i = 0; i < Number(warning?.clients) - 1; i++) {
      const wire = await client(sluice.port('edge'));
      wires.push(wire);
      wire.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      assert.equal((await wire.message()).status, 200);
    }
    wires.push(await client(sluice.port('edge')));
    const pauses = async (worker: string): Promise<number> => sluice.metric('sluice_accept_pauses_total', { worker });
    await eventually(async () => (await pauses('0')) > 0 && (await pauses('1')) > 0, 'both have paused');
    const leaving = () => sluice.metric('tcp_close_total', { peer: 'src', errno: 'limit' });
    await eventually(async () => (await leaving()) > 0, 'idle clients leave');
    for (const wire of wires) wire.destroy();
    assert.equal(await sluice.stop(), 0);
    origin.closeAllConnections();
    origin.close();
  });

  test(`${io}: for one client too many, a few idle ones have to leave`, async () => {
    const origin = createServer((_, response) => response.end('ok'));
    const port = await listening(origin);
    const config = yaml(port).replace('workers: 2', 'workers: 1');
    const sluice = await startSluice(config, io, {}, ['prlimit', `--nofile=${LIMIT}:${LIMIT}`, '--']);
    started.push(sluice);
    const warning = sluice.log.find(({ message }) => /limits\.maxConnections is more than/.test(message));
    const most = Number(warning?.clients);
    const idle = await Promise.all(
      Array.from({ length: most - 1 }, async () => {
        const wire = await client(sluice.port('edge'));
        wire.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
        assert.equal((await wire.message()).status, 200);
        return wire;
      }),
    );
    // Long enough that each of them may be asked to leave.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const wires: Wire[] = [];
    for (let i = 0; i < 2; i++) {
      const wire = await client(sluice.port('edge'));
      wires.push(wire);
      wire.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      assert.equal((await wire.message()).status, 200);
    }
    const closed = await sluice.metric('tcp_close_total', { peer: 'src', errno: 'limit' });
    assert.ok(closed >= 1 && closed <= most / 4, `${closed} of ${most} were closed`);
    const counted = await sluice.metric('sluice_limit_total', { limit: 'file-descriptors' });
    assert.ok(counted > closed, `${counted} times the limit took effect, ${closed} times for an idle client`);
    const named = await sluice.logged(({ reason }) => reason === 'idle-closed');
    assert.equal(named.listener, 'edge');
    assert.match(String(named.client), /^127\.0\.0\.1:\d+$/);
    for (const wire of [...idle, ...wires]) wire.destroy();
    assert.equal(await sluice.stop(), 0);
    origin.closeAllConnections();
    origin.close();
  });
}
