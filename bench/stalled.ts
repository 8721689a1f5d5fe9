// What stalled readers cost their neighbours: the latency of busy connections alone, and beside 1,000 readers that have stopped reading while
// their server goes on publishing small messages. Both executors; fails where the 99th percentile is more than twice what it is alone.
//
// Measured is how it is once everything on the way to the readers is full: the publisher has a message for each of them that its kernel does
// not take. Until then publishing is work, of the publisher's on the same cores above all, which would be measured as well.
//
//   node dist/bench/stalled.js [seconds]
//
// It needs root: in a network namespace of its own, sockets have small buffers, so that a thousand of them don't fill the kernel's memory first.
import { type ChildProcess, fork, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cpuTime } from './cpu.js';

const READERS = 1000;
const BUSY = 64;
const FACTOR = 2;
/**
 * One reader after the other is filled up, with such a pause, ms. All at once would be a burst of a thousand, which costs the time of a
 * thousand; and the kernel would go on probing a thousand closed windows in the same milliseconds, for minutes.
 */
const APART_MS = 4;
const MESSAGE = Buffer.alloc(200, 'm');
/** Fills the kernel's buffers on the way, which small messages would take minutes for. */
const FLOOD = Buffer.alloc(160 * 1024, 'f');
const INSIDE = 'STALLED_INSIDE';
const HERE = fileURLToPath(import.meta.url);
const MAIN = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));
const BUFFERS = ['net.ipv4.tcp_wmem=4096 16384 65536', 'net.ipv4.tcp_rmem=4096 16384 65536'];

const port = (server: Server): number => (server.address() as AddressInfo).port;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A process of its own: answers the busy ones. */
async function serve(): Promise<void> {
  const web = createHttp((_, response) => response.end('ok'));
  await once(web.listen(0, '127.0.0.1', 4096), 'listening');
  process.send?.(port(web));
}

/** Another one: publishes to readers that never read. */
async function publish(): Promise<void> {
  const subscribers: Socket[] = [];
  const publisher = createServer((socket) => {
    socket.on('error', () => undefined);
    subscribers.push(socket);
  });
  await once(publisher.listen(0, '127.0.0.1', 4096), 'listening');
  process.send?.(port(publisher));
  const readers: Socket[] = [];
  process.on('message', async (listener: number) => {
    for (let i = 0; i < READERS; i++) {
      const reader = connect(listener, '127.0.0.1').on('error', () => undefined);
      readers.push(reader.pause());
      await once(reader, 'connect');
    }
    while (subscribers.length < READERS) await pause(10);
    process.send?.('subscribed');
    for (let taken = true, flood = true; taken; flood = false) {
      taken = flood;
      for (const subscriber of subscribers) {
        if (flood) subscriber.write(FLOOD);
        else {
          for (let i = 0; subscriber.writableLength === 0 && i < READERS; i++) {
            subscriber.write(MESSAGE);
            taken = true;
          }
        }
        await pause(APART_MS);
      }
    }
    // From here on each message is followed by another one as soon as it is taken.
    for (const subscriber of subscribers) {
      const next = (): unknown => subscriber.write(MESSAGE, next);
      next();
    }
    process.send?.('full');
  });
}

/** 99th percentile of requests over `BUSY` connections, ms. */
async function busy(listener: number, seconds: number): Promise<{ p99: number; failed: number; count: number }> {
  const times: number[] = [];
  let failed = 0;
  const end = performance.now() + seconds * 1000;
  const one = async (): Promise<void> => {
    const socket = connect({ port: listener, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    while (performance.now() < end) {
      const began = performance.now();
      socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
      const answer = await Promise.race([once(socket, 'data'), pause(5000)]);
      if (answer === undefined) failed++;
      times.push(performance.now() - began);
      // Ten a second each: the figure is the latency, not the throughput.
      await pause(100 * Math.random());
    }
    socket.destroy();
  };
  await Promise.all(Array.from({ length: BUSY }, one));
  times.sort((a, b) => a - b);
  return { p99: times[Math.floor(times.length * 0.99)] ?? Number.NaN, failed, count: times.length };
}

async function start(io: string, ports: { publisher: number; web: number }, directory: string): Promise<ChildProcess> {
  const file = join(directory, 'sluice.yaml');
  writeFileSync(
    file,
    `admin: { listen: "127.0.0.1:9901" }
workers: 1
listeners:
  - { name: stalled, listen: "127.0.0.1:9001", service: publisher, protocol: opaque }
  - { name: busy, listen: "127.0.0.1:9002", service: web }
services:
  publisher: { endpoints: ["127.0.0.1:${ports.publisher}"], pool: { maxConnections: 2000 } }
  web: { endpoints: ["127.0.0.1:${ports.web}"] }
`,
  );
  const child = spawn(process.execPath, [MAIN, 'run', '-c', file, '--io', io], {
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  let said = '';
  await new Promise<void>((resolve, reject) => {
    child.stderr?.on('data', (chunk: Buffer) => {
      said += String(chunk);
      if (said.includes('"accepting"')) resolve();
    });
    child.once('exit', () => reject(new Error(said)));
  });
  return child;
}

/** With the CPU time of Sluice by request, µs. */
async function timed<T extends { count: number }>({ pid = 0 }: ChildProcess, run: () => Promise<T>) {
  const before = cpuTime(pid).total;
  const result = await run();
  return { ...result, cpu: (cpuTime(pid).total - before) / result.count };
}

/** Probes of closed windows that were sent in this network namespace. */
function windowProbes(): number {
  const [names = [], values = []] = readFileSync('/proc/net/netstat', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('TcpExt:'))
    .map((line) => line.split(' '));
  return Number(values[names.indexOf('TCPWinProbe')]);
}

async function said(child: ChildProcess, what: string): Promise<void> {
  for (;;) {
    const [message] = await once(child, 'message');
    if (message === what) return;
  }
}

async function metric(name: string): Promise<number> {
  const page = await (await fetch('http://127.0.0.1:9901/metrics')).text();
  return Number(new RegExp(`^${name}\\{[^}]*\\} (\\S+)`, 'm').exec(page)?.[1]);
}

async function measure(io: string, seconds: number): Promise<boolean> {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-stalled-'));
  const publisher = fork(HERE, ['publish']);
  const web = fork(HERE, ['serve']);
  const [[published], [served]] = await Promise.all([once(publisher, 'message'), once(web, 'message')]);
  const ports = { publisher: Number(published), web: Number(served) };
  const sluice = await start(io, ports, directory);
  try {
    await busy(9002, seconds);
    const alone = await timed(sluice, () => busy(9002, seconds));
    publisher.send(9001);
    await said(publisher, 'full');
    const queued = await metric('sluice_slab_queued_buffers');
    if (queued < READERS / 2) throw new Error(`${queued} buffers wait for ${READERS} readers: they have not stalled`);
    const probes = windowProbes();
    const beside = await timed(sluice, () => busy(9002, seconds));
    const free = await metric('sluice_slab_free_buffers');
    const good = beside.failed === 0 && beside.p99 <= FACTOR * alone.p99;
    console.log(
      `${io}: p99 ${alone.p99.toFixed(2)} ms alone, ${beside.p99.toFixed(2)} ms beside ${READERS} stalled readers ` +
        `(${(beside.p99 / alone.p99).toFixed(2)} ×, ${beside.failed} of ${beside.count} failed, ${free} buffers free, ${windowProbes() - probes} window probes; ` +
        `${alone.cpu.toFixed(0)} and ${beside.cpu.toFixed(0)} µs CPU/request): ${good ? 'good' : 'BAD'}`,
    );
    return good;
  } finally {
    sluice.kill('SIGKILL');
    publisher.kill('SIGKILL');
    web.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  }
}

if (process.argv[2] === 'publish') await publish();
else if (process.argv[2] === 'serve') await serve();
else if (process.env[INSIDE] === undefined) {
  const set = BUFFERS.map((line) => `sysctl -qw "${line}"`).join(' && ');
  const script = `ip link set lo up && ${set} && exec "$0" "$@"`;
  const { status } = spawnSync(
    'unshare',
    ['-n', 'sh', '-c', script, process.execPath, HERE, ...process.argv.slice(2)],
    {
      stdio: 'inherit',
      env: { ...process.env, [INSIDE]: '1' },
    },
  );
  process.exitCode = status ?? 1;
} else {
  const seconds = Number(process.argv[2] ?? 5);
  let good = true;
  for (const io of ['uring', 'epoll']) good = (await measure(io, seconds)) && good;
  process.exitCode = good ? 0 : 1;
}
