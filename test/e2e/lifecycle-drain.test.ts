import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { Wire } from '../support/http.js';
import { availableExecutors, type Executor, eventually, startSluice } from '../support/sluice.js';
import { basicConfig, dial, httpOrigin, listening, load, open } from './lifecycle-support.js';

const ready = async (port: number): Promise<number> =>
  (await fetch(`http://127.0.0.1:${port}/ready`, { headers: { connection: 'close' } })).status;

/** An origin that answers /slow when told to, and a test's proxy before it. */
async function harness(io: Executor, more: string) {
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  let waiting = false;
  const origin = await httpOrigin((request, response) => {
    if (request.url !== '/slow') return response.end('hello');
    waiting = true;
    return released.then(() => response.end('slow'));
  });
  const sluice = await startSluice(basicConfig(origin.port, more), io);
  return { origin, sluice, release, waiting: () => waiting, port: sluice.port('edge') };
}

for (const io of await availableExecutors()) {
  test(`${io}: SIGTERM: not ready at once, accepting during the hold, closing answers, busy requests end, exit 0`, async () => {
    const { origin, sluice, release, waiting, port } = await harness(io, 'drain: { hold: 700ms, grace: 10s }\n');
    assert.equal(await ready(sluice.adminPort), 200);
    const idle = await open(port);
    await idle.get();
    const busy = await open(port);
    const slow = busy.get('/slow');
    await eventually(waiting, 'the slow request has reached its server');

    sluice.child.kill('SIGTERM');
    await sluice.logged((line) => line.message === 'drain: no longer ready');
    assert.equal(await ready(sluice.adminPort), 503);
    const late = await open(port);
    const answer = await late.get();
    assert.equal(answer.status, 200);
    assert.equal(answer.field('connection'), 'close');
    await late.closed();

    await idle.closed();
    await sluice.logged((line) => line.message === 'drain: listeners closed; waiting for what is open');
    release();
    const last = await slow;
    assert.equal(last.body.toString(), 'slow');
    assert.equal(last.field('connection'), 'close');
    assert.equal(await sluice.exited, 0);
    await origin.close();
  });

  test(`${io}: a tunnel gets the grace period, then it is cut off and the exit code is 1`, async () => {
    const echo = createServer((socket) => socket.pipe(socket).on('error', () => undefined));
    const sluice = await startSluice(
      `listeners:\n  - { name: raw, listen: "127.0.0.1:0", protocol: opaque, service: echo }\n` +
        `services:\n  echo: { protocol: opaque, endpoints: ["127.0.0.1:${await listening(echo)}"] }\n` +
        'drain: { hold: 0, grace: 600ms }\n',
      io,
    );
    const stream = new Wire(await dial(sluice.port('raw')));
    stream.write('before');
    await stream.until(() => stream.text === 'before', 'the echo');
    sluice.child.kill('SIGTERM');
    await sluice.logged((line) => line.message === 'drain: listeners closed; waiting for what is open');
    stream.write(' and during');
    await stream.until(() => stream.text === 'before and during', 'the echo during the drain');
    assert.equal(await sluice.exited, 1);
    await stream.closed();
    assert.ok(sluice.log.some((line) => line.message === 'drain: grace is over; closing what is left'));
    echo.close();
  });

  test(`${io}: a tunnel that ends within the grace period costs nothing`, async () => {
    const sockets = new Set<Socket>();
    const echo = createServer((socket) => {
      sockets.add(socket);
      socket.pipe(socket);
    });
    const sluice = await startSluice(
      `listeners:\n  - { name: raw, listen: "127.0.0.1:0", protocol: opaque, service: echo }\n` +
        `services:\n  echo: { protocol: opaque, endpoints: ["127.0.0.1:${await listening(echo)}"] }\n` +
        'drain: { hold: 0, grace: 20s }\n',
      io,
    );
    const stream = await open(sluice.port('raw'));
    await eventually(() => sockets.size === 1, 'the tunnel stands');
    sluice.child.kill('SIGTERM');
    await sluice.logged((line) => line.message === 'drain: listeners closed; waiting for what is open');
    stream.socket.end('bye');
    assert.equal(await sluice.exited, 0);
    echo.close();
  });

  test(`${io}: a second signal ends everything at once with code 1`, async () => {
    const { origin, sluice, port, waiting } = await harness(io, 'drain: { hold: 1m, grace: 1m }\n');
    const busy = await open(port);
    const cut = assert.rejects(busy.get('/slow'));
    await eventually(waiting, 'the slow request has reached its server');
    sluice.child.kill('SIGTERM');
    await sluice.logged((line) => line.message === 'drain: no longer ready');
    sluice.child.kill('SIGTERM');
    assert.equal(await sluice.exited, 1);
    await cut;
    await origin.close();
  });

  test(`${io}: SIGINT drains without the hold`, async () => {
    const { origin, sluice, port } = await harness(io, 'drain: { hold: 1m, grace: 10s }\n');
    const idle = await open(port);
    await idle.get();
    sluice.child.kill('SIGINT');
    assert.equal(await sluice.exited, 0);
    await idle.closed();
    await origin.close();
  });

  test(`${io}: a silent client does not hold up a drain`, async () => {
    const origin = await httpOrigin();
    const sluice = await startSluice(
      `listeners:\n  - { name: edge, listen: "127.0.0.1:0", services: { http1: web }, detect: { timeout: 0 } }\n` +
        `services:\n  web: { protocol: http1, endpoints: ["127.0.0.1:${origin.port}"] }\n` +
        'drain: { hold: 0, grace: 20s }\n',
      io,
    );
    const silent = await open(sluice.port('edge'));
    await eventually(async () => (await sluice.metric('tcp_open_total', { peer: 'src' })) === 1, 'it is accepted');
    sluice.child.kill('SIGTERM');
    assert.equal(await sluice.exited, 0);
    await silent.closed();
    await origin.close();
  });

  for (const workers of [1, 2]) {
    test(`${io}, ${workers} workers: no request fails while a loaded proxy drains`, async () => {
      const origin = await httpOrigin();
      const sluice = await startSluice(
        basicConfig(origin.port, `workers: ${workers}\ndrain: { hold: 300ms, grace: 20s }\n`),
        io,
      );
      const port = sluice.port('edge');
      const loads = [load(port, 8, true), load(port, 8, false)];
      await eventually(() => loads.every(({ count }) => count() > 200), 'both kinds of clients are served');
      sluice.child.kill('SIGTERM');
      const code = await sluice.exited;
      // From here on the port refuses, which the clients put up with until they are told to stop.
      const successor = await startSluice(basicConfig(origin.port).replace('127.0.0.1:0', `127.0.0.1:${port}`), io);
      await Promise.all(loads.map(({ stop }) => stop()));
      assert.deepEqual(
        loads.flatMap(({ failures }) => failures),
        [],
      );
      assert.equal(code, 0);
      assert.equal(await successor.stop(), 0);
      await origin.close();
    });

    test(`${io}, ${workers} workers: no request fails during a rolling restart on one port`, async () => {
      const origin = await httpOrigin();
      const config = basicConfig(origin.port, `workers: ${workers}\ndrain: { hold: 100ms, grace: 20s }\n`);
      let current = await startSluice(config, io);
      const port = current.port('edge');
      const loads = [load(port, 8, true), load(port, 8, false)];
      for (let round = 0; round < 3; round++) {
        const before = loads.map(({ count }) => count());
        await eventually(() => loads.every(({ count }, i) => count() > before[i] + 100), 'the clients are served');
        const successor = config.replace('listen: "127.0.0.1:0"', `shared: true, listen: "127.0.0.1:${port}"`);
        const next = await startSluice(successor, io);
        current.child.kill('SIGTERM');
        assert.equal(await current.exited, 0);
        current = next;
      }
      await Promise.all(loads.map(({ stop }) => stop()));
      assert.deepEqual(
        loads.flatMap(({ failures }) => failures),
        [],
      );
      assert.equal(await current.stop(), 0);
      await origin.close();
    });
  }
}
