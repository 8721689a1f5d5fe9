// What stalled readers cost their neighbours: the latency of busy connections alone, and beside 1,000 readers that have stopped reading while
// their server goes on publishing small messages. Both executors; fails where the 99th percentile is more than twice what it is alone.
//
// Measured is how it is once everything on the way to the readers is full: the publisher has a message for each of them that its kernel does
// not take. Until then publishing is work, of the publisher's on the same cores above all, which would be measured as well.
//
// The control is the same with readers that are connected to the publisher itself: what they cost then is the kernel's and this bench's.
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
import { cpuTime } from '../src/harness/cpu.js';

const READERS = 1000;
const BUSY = 64;
const FACTOR = 2;
/**
 * One reader after the other is filled up, with such a pause, ms. All at once would be a burst of a thousand, which costs the time of a
 * thousand; and the kernel would go on probing a thousand closed windows in the same milliseconds, for minutes.
 */
const APART_MS = 4;
const MESSAGE = Buffer.alloc(200, 'm');
/** Connections are made, and code that has been idle is compiled once more, before anything is measured: ms. */
const WARM_MS = 1500;
const TIMEOUT_MS = 5000;
/** Fills the kernel's buffers on the way, which small messages would take minutes for. */
const FLOOD = Buffer.alloc(160 * 1024, 'f');
const INSIDE = 'STALLED_INSIDE';
const HERE = fileURLToPath(import.meta.url);
const MAIN = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));
const STALLED_PORT = 9001;
const BUSY_PORT = 9002;
const BUFFERS = ['net.ipv4.tcp_wmem=4096 16384 65536', 'net.ipv4.tcp_rmem=4096 16384 65536'];

const port = (server: Server): number => (server.address() as AddressInfo).port;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A process of its own: answers the busy ones. */
async function serve(): Promise<void> {
  const web = createHttp((_, response) => response.end('ok'));
  await once(web.listen(0, '127.0.0.1', 4096), 'listening');
  process.send?.(port(web));
}

/** Another one: publishes to readers that never read. They are connected to the port that it is told, and are gone when it is told 0. */
async function publish(): Promise<void> {
  const subscribers = new Set<Socket>();
  const publisher = createServer((socket) => {
    socket.on('error', () => undefined).on('close', () => subscribers.delete(socket));
    subscribers.add(socket);
  });
  await once(publisher.listen(0, '127.0.0.1', 4096), 'listening');
  process.send?.(port(publisher));
  const readers = new Set<Socket>();
  process.on('message', async (to: number) => {
    if (to === 0) {
      for (const reader of readers) reader.resetAndDestroy();
      readers.clear();
      while (subscribers.size > 0) await pause(10);
      process.send?.('gone');
      return;
    }
    for (let i = 0; i < READERS; i++) {
      const reader = connect(to, '127.0.0.1').on('error', () => undefined);
      readers.add(reader.pause());
      await once(reader, 'connect');
    }
    while (subscribers.size < READERS) await pause(10);
    await fill(subscribers);
    process.send?.('full');
  });
}

async function fill(subscribers: ReadonlySet<Socket>): Promise<void> {
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
    const next = (error?: Error | null): unknown => error == null && subscriber.write(MESSAGE, next);
    next();
  }
}

/** No garbage that lives on: the pauses of this process are measured as well. */
function answered(socket: Socket): Promise<boolean> {
  return new Promise((resolve) => {
    const late = setTimeout(() => resolve(false), TIMEOUT_MS);
    socket.once('data', () => {
      clearTimeout(late);
      resolve(true);
    });
  });
}

interface Latency {
  /** 99th percentile, ms. */
  readonly p99: number;
  readonly failed: number;
  readonly count: number;
  /** CPU time of Sluice by request, µs. */
  readonly cpu: number;
  /** Probes of closed windows that the kernel has sent meanwhile. */
  readonly probes: number;
}

/** Requests over `BUSY` connections. */
async function busy(sluice: ChildProcess, seconds: number): Promise<Latency> {
  const times: number[] = [];
  let failed = 0;
  const begin = performance.now() + WARM_MS;
  const end = begin + seconds * 1000;
  const one = async (): Promise<void> => {
    const socket = connect({ port: BUSY_PORT, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    for (let began = performance.now(); began < end; began = performance.now()) {
      socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
      if (!(await answered(socket))) failed++;
      if (began >= begin) times.push(performance.now() - began);
      // Ten a second each: the figure is the latency, not the throughput.
      await pause(100 * Math.random());
    }
    socket.destroy();
  };
  const work = Promise.all(Array.from({ length: BUSY }, one));
  await pause(WARM_MS);
  const { pid = 0 } = sluice;
  const probes = windowProbes();
  const before = cpuTime(pid).total;
  await work;
  const count = times.length;
  times.sort((a, b) => a - b);
  const p99 = times[Math.floor(count * 0.99)] ?? Number.NaN;
  return { p99, failed, count, cpu: (cpuTime(pid).total - before) / count, probes: windowProbes() - probes };
}

async function start(io: string, ports: { publisher: number; web: number }, directory: string): Promise<ChildProcess> {
  const file = join(directory, 'sluice.yaml');
  writeFileSync(
    file,
    `admin: { listen: "127.0.0.1:9901" }
workers: 1
listeners:
  - { name: stalled, listen: "127.0.0.1:${STALLED_PORT}", service: publisher, protocol: opaque }
  - { name: busy, listen: "127.0.0.1:${BUSY_PORT}", service: web }
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

function report({ p99, failed, count, cpu, probes }: Latency, alone: Latency): string {
  const factor = (p99 / alone.p99).toFixed(2);
  return `${p99.toFixed(2)} ms, ${factor} ×, ${failed} of ${count} failed, ${cpu.toFixed(0)} µs CPU/request, ${probes} window probes`;
}

async function measure(io: string, seconds: number): Promise<boolean> {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-stalled-'));
  const publisher = fork(HERE, ['publish']);
  const web = fork(HERE, ['serve']);
  const [[published], [served]] = await Promise.all([once(publisher, 'message'), once(web, 'message')]);
  const ports = { publisher: Number(published), web: Number(served) };
  const sluice = await start(io, ports, directory);
  try {
    await busy(sluice, seconds / 4);
    const alone = await busy(sluice, seconds);
    publisher.send(ports.publisher);
    await said(publisher, 'full');
    const control = await busy(sluice, seconds);
    publisher.send(0);
    await said(publisher, 'gone');
    publisher.send(STALLED_PORT);
    await said(publisher, 'full');
    const queued = await metric('sluice_slab_queued_buffers');
    if (queued < READERS / 2) throw new Error(`${queued} buffers wait for ${READERS} readers: they have not stalled`);
    const beside = await busy(sluice, seconds);
    const free = await metric('sluice_slab_free_buffers');
    const good = beside.failed === 0 && beside.p99 <= FACTOR * alone.p99;
    console.log(`${io}: p99 ${alone.p99.toFixed(2)} ms alone (${alone.cpu.toFixed(0)} µs CPU/request)`);
    console.log(`  readers of the publisher: ${report(control, alone)}`);
    console.log(`  readers behind Sluice:    ${report(beside, alone)}, ${free} buffers free: ${good ? 'good' : 'BAD'}`);
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
  const seconds = Number(process.argv[2] ?? 10);
  let good = true;
  for (const io of ['uring', 'epoll']) good = (await measure(io, seconds)) && good;
  process.exitCode = good ? 0 : 1;
}
