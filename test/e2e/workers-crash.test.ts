import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { Wire } from '../support/http.js';
import { availableExecutors, eventually } from '../support/sluice.js';
import { basicConfig, dial, httpOrigin, listening, load, open } from './lifecycle-support.js';
import { type Host, openFiles, startEngine } from './workers-support.js';

const REPLACING = 'replacing the worker';
const deaths = (host: Host): number => host.log.filter(({ message }) => message === REPLACING).length;
const ready = async (host: Host): Promise<boolean> =>
  (await fetch(`http://127.0.0.1:${host.engine.adminPort}/ready`, { headers: { connection: 'close' } })).status === 200;

/** Waits until a worker has been replaced for the `n`th time and all accept again. */
async function recovered(host: Host, n: number): Promise<void> {
  await eventually(() => deaths(host) >= n, 'a replacement is started');
  await eventually(() => ready(host), 'it accepts');
}

for (const io of await availableExecutors()) {
  test(`${io}: a worker that is killed takes only its own connections along, and is replaced`, async () => {
    const origin = await httpOrigin();
    const host = await startEngine(basicConfig(origin.port, 'workers: 2\n'), io);
    const connections: Wire[] = [];
    for (let i = 0; i < 8; i++) {
      const connection = await open(host.port);
      await connection.get();
      connections.push(connection);
    }
    await host.engine.pool.terminate(0);
    await eventually(
      () => connections.filter(({ end }) => end !== undefined).length === 4,
      'its four connections are closed',
    );
    await recovered(host, 1);
    const rest = connections.filter(({ end }) => end === undefined);
    assert.equal(rest.length, 4);
    for (const connection of rest) assert.equal((await connection.get()).status, 200);

    // Whatever it counted stays counted, and what was open has ended by a crash.
    assert.equal(await host.metric('tcp_open_total', { peer: 'src' }), 8);
    assert.equal(await host.metric('tcp_close_total', { peer: 'src', errno: 'worker_crash' }), 4);
    assert.equal(await host.metric('tcp_open_connections', { peer: 'src' }), 4);
    assert.equal(await host.metric('sluice_listener_requests_total'), 12);

    // The replacement takes its share of what comes next.
    for (let i = 0; i < 4; i++) {
      const connection = await open(host.port);
      await connection.get();
      rest.push(connection);
    }
    assert.equal(await host.metric('sluice_worker_connections', { worker: 0 }), 4);
    assert.equal(await host.metric('sluice_worker_connections', { worker: 1 }), 4);
    for (const connection of rest) connection.destroy();
    assert.equal(await host.stop(), 0);
    await origin.close();
  });

  test(`${io}: workers that die under load leave no descriptor behind, and the sums come out`, async () => {
    const origin = await httpOrigin();
    const host = await startEngine(
      `workers: 2\nlisteners:\n  - { name: edge, listen: "127.0.0.1:0", protocol: http1, service: web }\n` +
        `services:\n  web: { endpoints: ["127.0.0.1:${origin.port}"], pool: { idleTimeout: 200ms } }\n`,
      io,
    );
    const closed = async (): Promise<boolean> => (await host.metric('sluice_worker_sockets')) === 0;
    const round = async (n: number): Promise<void> => {
      const traffic = [load(host.port, 6, true), load(host.port, 6, false)];
      await eventually(() => traffic.every(({ count }) => count() > 50), 'traffic flows');
      await host.engine.pool.terminate(n % 2);
      await recovered(host, n);
      const seen = traffic.map(({ count }) => count());
      await eventually(() => traffic.every(({ count }, i) => count() > seen[i] + 50), 'traffic goes on');
      await Promise.all(traffic.map(({ stop }) => stop()));
      await eventually(closed, 'everything is closed');
    };
    await round(1);
    const before = openFiles();
    for (let n = 2; n <= 4; n++) await round(n);
    await eventually(() => openFiles() <= before, `descriptors: ${openFiles()}, and ${before} before`);
    const opened = await host.metric('tcp_open_total', { peer: 'src' });
    await eventually(
      async () => (await host.metric('tcp_close_total', { peer: 'src' })) === opened,
      'opened and closed are equal',
    );
    assert.equal(await host.metric('tcp_open_connections'), 0);
    assert.equal(
      await host.metric('tcp_open_total', { peer: 'dst' }),
      await host.metric('tcp_close_total', { peer: 'dst' }),
    );
    assert.equal(await host.stop(), 0);
    await origin.close();
  });

  test(`${io}: a connection that waits in the queue of a dead worker is served by its replacement`, async () => {
    const origin = await httpOrigin();
    const host = await startEngine(basicConfig(origin.port), io);
    const early = await open(host.port);
    await early.get();
    await host.engine.pool.terminate(0);
    // Nobody accepts now: the kernel completes the handshake.
    const waiting = new Wire(await dial(host.port));
    assert.equal((await waiting.get()).status, 200);
    assert.notEqual(early.end, undefined);
    waiting.destroy();
    assert.equal(await host.stop(), 0);
    await origin.close();
  });

  test(`${io}: an exception that nobody caught costs one worker, is logged and counted`, async () => {
    const origin = await httpOrigin();
    const host = await startEngine(basicConfig(origin.port, 'workers: 2\n'), io);
    // Not a message that the supervisor would ever send.
    host.engine.pool.send(1, { kind: 'endpoints', service: 1, endpoints: null } as never);
    await recovered(host, 1);
    const line = host.log.find(({ message }) => message.startsWith('a worker died'));
    assert.equal(line?.worker, 1);
    assert.match(String(line?.reason), /null/);
    const client = await open(host.port);
    assert.equal((await client.get()).status, 200);
    client.destroy();
    assert.equal(await host.stop(), 0);
    await origin.close();
  });

  test(`${io}: workers that die again and again are replaced ever more slowly`, async () => {
    const origin = await httpOrigin();
    const host = await startEngine(basicConfig(origin.port), io);
    for (let n = 1; n <= 6; n++) {
      await host.engine.pool.terminate(0);
      await recovered(host, n);
    }
    const pauses = host.log.filter(({ message }) => message === REPLACING).map(({ pauseMs }) => pauseMs);
    assert.deepEqual(pauses, [50, 100, 200, 400, 800, 800]);
    assert.equal(await host.stop(), 0);
    await origin.close();
  });

  test(`${io}: a worker that dies during a drain does not hold it up`, async () => {
    const echo = createServer((socket) => socket.pipe(socket).on('error', () => undefined));
    const host = await startEngine(
      `workers: 2\nlisteners:\n  - { name: edge, listen: "127.0.0.1:0", protocol: opaque, service: echo }\n` +
        `services:\n  echo: { protocol: opaque, endpoints: ["127.0.0.1:${await listening(echo)}"] }\n` +
        'drain: { grace: 20s }\n',
      io,
    );
    const tunnels = [await open(host.port), await open(host.port)];
    await eventually(
      async () => (await host.metric('tcp_open_connections', { peer: 'dst' })) === 2,
      'both tunnels stand',
    );
    const stopped = host.stop();
    await eventually(() => host.log.some(({ message }) => message.startsWith('drain: listeners closed')), 'the drain');
    await host.engine.pool.terminate(0);
    await eventually(() => tunnels.some(({ end }) => end !== undefined), 'one tunnel is gone');
    for (const tunnel of tunnels) tunnel.destroy();
    assert.equal(await stopped, 0);
    echo.close();
  });

  test(`${io}: timers and messages of a worker run while it is saturated`, async () => {
    const origin = await httpOrigin();
    const host = await startEngine(basicConfig(origin.port), io);
    const traffic = load(host.port, 32, true);
    await eventually(() => traffic.count() > 500, 'traffic flows');
    // The worker's sampler is a timer of Node's: the turns that it reports move on.
    const turns = await host.metric('sluice_loop_turns_total');
    for (let i = 0; i < 50; i++) await host.engine.pool.ping(0);
    await eventually(async () => (await host.metric('sluice_loop_turns_total')) > turns, 'a sample is taken');
    await traffic.stop();
    assert.deepEqual(traffic.failures, []);
    assert.equal(await host.stop(), 0);
    await origin.close();
  });

  test(`${io}: an idle worker sleeps`, async () => {
    const origin = await httpOrigin();
    const host = await startEngine(basicConfig(origin.port), io);
    const client = await open(host.port);
    await client.get();
    const turns = (): Promise<number> => host.metric('sluice_loop_turns_total');
    // Samples of the worker's, four a second: that they are taken shows that it lives. What comes before the first one is not idleness
    // but the start, which takes hundreds of turns on a busy machine.
    const seen = new Set<number>([await turns()]);
    await eventually(async () => seen.add(await turns()).size >= 10, 'samples are taken');
    const [, first, ...later] = [...seen];
    const most = Math.max(...later) - first;
    assert.ok(most < 200, `${most} turns in two idle seconds`);
    client.destroy();
    assert.equal(await host.stop(), 0);
    await origin.close();
  });
}
