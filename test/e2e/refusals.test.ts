// What is refused is logged with its reason: the true one, and a line a second at most.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, test } from 'node:test';
import { answering, client, exchange, upstream } from '../support/http.js';
import {
  availableExecutors,
  type Executor,
  eventually,
  type LogLine,
  type Sluice,
  startSluice,
} from '../support/sluice.js';

const started: Sluice[] = [];
after(() => {
  for (const { child } of started) child.kill('SIGKILL');
});

const CONFIG = (endpoint: string): string => `
drain: { hold: 0 }
workers: 1
listeners:
  - { name: full, listen: "127.0.0.1:0", protocol: http1, service: full }
  - { name: dead, listen: "127.0.0.1:0", protocol: http1, service: dead }
  - { name: bytes, listen: "127.0.0.1:0", protocol: opaque, service: dead }
  - { name: http-only, listen: "127.0.0.1:0", services: { http1: full, http2: full } }
services:
  full: { protocol: http1, endpoints: ["${endpoint}"], pool: { maxConnections: 1 } }
  dead: { protocol: http1, endpoints: ["127.0.0.1:9"] }
`;

async function start(io: Executor, yaml: string): Promise<Sluice> {
  const sluice = await startSluice(yaml, io);
  started.push(sluice);
  return sluice;
}

const refused = (sluice: Sluice, reason: string): LogLine[] =>
  sluice.log.filter((line) => line.message === 'refused' && line.reason === reason);

for (const io of await availableExecutors()) {
  test(`${io}: each reason is true, and its line says who and how often`, async () => {
    const origin = await upstream(answering(() => 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n'));
    const sluice = await start(io, CONFIG(origin.address));
    const holder = await client(sluice.port('full'));
    holder.write('GET /held HTTP/1.1\r\nHost: a\r\n\r\n');
    await holder.until(() => holder.total > 0, 'the only connection is in use');
    const count = 40;
    for (let i = 0; i < count; i++) {
      const { body } = await exchange(sluice.port('full'), 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      assert.match(String(body), /pool-exhausted/);
    }
    const told = (reason: string): number => refused(sluice, reason).reduce((sum, line) => sum + Number(line.count), 0);
    await eventually(() => told('pool-exhausted') === count, 'all of them are told of');
    const lines = refused(sluice, 'pool-exhausted');
    assert.equal(lines[0].level, 'warn');
    assert.equal(lines[0].service, 'full');
    assert.equal(lines[0].listener, 'full');
    assert.match(String(lines[0].client), /^127\.0\.0\.1:\d+$/);
    for (let i = 1; i < lines.length; i++)
      assert.ok(Date.parse(lines[i].time) - Date.parse(lines[i - 1].time) > 900, 'a line a second');
    assert.equal(told('no-endpoint'), 0);

    await exchange(sluice.port('dead'), 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await exchange(sluice.port('full'), 'G@T / HTTP/1.1\r\nHost: a\r\n\r\n');
    for (const name of ['bytes', 'http-only']) {
      const socket = connect(sluice.port(name), '127.0.0.1');
      socket.on('error', () => undefined);
      socket.end('\0\0no http\r\n\r\n');
    }
    await eventually(() => told('connect-failed') === 2, 'the dead endpoint is told of, by requests and bytes');
    assert.equal(refused(sluice, 'connect-failed')[0].endpoint, '127.0.0.1:9');
    await eventually(() => told('bad-request') === 1, 'a bad request');
    assert.equal(refused(sluice, 'bad-request')[0].level, 'info');
    await eventually(() => told('no-service') === 1, 'what the listener has no service for');
    holder.destroy();
    await sluice.stop();
    await origin.close();
  });
}
