// What a controller costs in a large cluster, and how quickly a change comes to the sidecars that it concerns. The API server is a process
// that knows lists and watches only; 1,000 sidecars are another one. Fails where a bar is missed.
//
//   node dist/bench/controller.js [--services N] [--sidecars N] [--rate N] [--seconds N] [--profile]
import { type ChildProcess, execFileSync, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cpuTime } from '../src/harness/cpu.js';
import type { ApiServerMessage, ApiServerOrder, ChangeOrder } from './controller/api-server.js';
import type { SidecarsMessage, SidecarsOrder } from './controller/sidecars.js';

const BARS = { cores: 0.5, mebibytes: 600, p99Ms: 500 };
const ENDPOINTS = 10;
const DESTINATIONS = 20;
const POPULAR = 20;
const OF_POPULAR = 4;
const SETTLE_MS = 3000;
const TIMEOUT_MS = 120_000;
const MAIN = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));
const SERVER = 'sluice-destination.sluice.serviceaccount.identity.sluice.cluster.local';

interface Asked {
  readonly services: number;
  readonly sidecars: number;
  readonly rate: number;
  readonly seconds: number;
  readonly profile: boolean;
}

function asked(): Asked {
  const text = { type: 'string' } as const;
  const options = { services: text, sidecars: text, rate: text, seconds: text, profile: { type: 'boolean' } } as const;
  const { values } = parseArgs({ options });
  const number = (value: string | undefined, usual: number): number => (value === undefined ? usual : Number(value));
  return {
    services: number(values.services, 5000),
    sidecars: number(values.sidecars, 1000),
    rate: number(values.rate, 100),
    seconds: number(values.seconds, 60),
    profile: values.profile === true,
  };
}

/** The first message of a kind. */
function told<T extends { readonly kind: string }, K extends T['kind']>(
  child: ChildProcess,
  kind: K,
): Promise<T & { kind: K }> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`${kind} did not come`)), TIMEOUT_MS);
    const take = (message: T): void => {
      if (message.kind !== kind) return;
      clearTimeout(late);
      child.off('message', take);
      resolve(message as T & { kind: K });
    };
    child.on('message', take);
    child.once('exit', (code) => reject(new Error(`a process ended with ${code}`)));
  });
}

const child = (file: string): ChildProcess => fork(fileURLToPath(new URL(`./controller/${file}.js`, import.meta.url)));

interface Mesh {
  readonly directory: string;
  pem(name: string): string;
}

function makeMesh(): Mesh {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-bench-'));
  execFileSync(process.execPath, [MAIN, 'identity', 'dev', join(directory, 'made'), '--names', 'team/web,localhost']);
  writeFileSync(join(directory, 'token'), 'bench');
  return { directory, pem: (name) => readFileSync(join(directory, 'made', `${name}.pem`), 'utf8') };
}

interface Controller {
  readonly pid: number;
  readonly port: number;
  readonly child: ChildProcess;
  page(path: string): Promise<Response>;
}

async function startController(mesh: Mesh, apiPort: number, profile: boolean): Promise<Controller> {
  const made = (name: string): string => join(mesh.directory, 'made', name);
  const issuer = [
    '--issuer-certificate',
    made('issuer.pem'),
    '--issuer-key',
    made('issuer-key.pem'),
    '--anchors',
    made('anchors.pem'),
  ];
  const api = ['--api-token', join(mesh.directory, 'token'), '--api-ca', made('anchors.pem')];
  const places = ['identity', 'destination', 'injector'].flatMap((name) => [`--${name}-listen`, '127.0.0.1:0']);
  const node = profile ? ['--cpu-prof', '--cpu-prof-dir', '.bench/controller'] : [];
  const args = [
    ...node,
    MAIN,
    'controller',
    ...issuer,
    ...api,
    ...places,
    '--admin',
    '127.0.0.1:0',
    '--tokens',
    made('tokens'),
  ];
  // As the manifest of its Deployment has it: less memory that is nobody's.
  const memory = { NODE_OPTIONS: '--max-semi-space-size=4', MALLOC_ARENA_MAX: '1' };
  const env = {
    ...process.env,
    ...memory,
    KUBERNETES_SERVICE_HOST: 'localhost',
    KUBERNETES_SERVICE_PORT: String(apiPort),
  };
  const controller = spawn(process.execPath, args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
  const lines: { message?: string; port?: number; adminPort?: number }[] = [];
  let rest = '';
  controller.stderr.setEncoding('utf8').on('data', (piece: string) => {
    const parts = (rest + piece).split('\n');
    rest = parts.pop() ?? '';
    for (const part of parts) {
      if (part.startsWith('{')) lines.push(JSON.parse(part));
      if (!part.includes('"info"')) process.stderr.write(`${part}\n`);
    }
  });
  const line = async (message: string): Promise<(typeof lines)[number]> => {
    for (;;) {
      const found = lines.find((each) => each.message === message);
      if (found !== undefined) return found;
      if (controller.exitCode !== null) throw new Error('the controller did not start');
      await once(controller.stderr, 'data');
    }
  };
  const { adminPort } = await line('controller started');
  const { port = 0 } = await line('destination service started');
  return {
    pid: controller.pid ?? 0,
    port,
    child: controller,
    page: (path) => fetch(`http://127.0.0.1:${adminPort}${path}`),
  };
}

const memory = (pid: number, field: string): number => {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1]) / 1024;
};

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function ready(controller: Controller): Promise<number> {
  const began = performance.now();
  while (!(await controller.page('/ready')).ok) {
    if (performance.now() - began > TIMEOUT_MS) throw new Error('the controller is not ready');
    await wait(50);
  }
  return (performance.now() - began) / 1000;
}

/** Changes as they were written, and as they came. */
class Changes {
  readonly #written = new Map<number, { readonly service: number; readonly atMs: number }>();
  readonly #seen: number[] = [];

  constructor(api: ChildProcess, sidecars: ChildProcess) {
    api.on('message', (message: ApiServerMessage) => {
      if (message.kind === 'changed') this.#written.set(message.change, message);
    });
    sidecars.on('message', (message: SidecarsMessage) => {
      if (message.kind === 'seen') this.#seen.push(...message.pairs);
    });
  }

  /** Sorted. */
  latencies(): number[] {
    const all: number[] = [];
    for (let at = 0; at < this.#seen.length; at += 2) {
      const written = this.#written.get(this.#seen[at]);
      if (written !== undefined) all.push(this.#seen[at + 1] - written.atMs);
    }
    return all.sort((a, b) => a - b);
  }

  /** How many should have come. */
  expected(counts: readonly number[]): number {
    let sum = 0;
    for (const { service } of this.#written.values()) sum += counts[service];
    return sum;
  }
}

function row(name: string, value: string): void {
  process.stdout.write(`  ${name.padEnd(44)} ${value}\n`);
}

async function measure(order: Asked): Promise<boolean> {
  const mesh = makeMesh();
  const api = child('api-server');
  const sidecars = child('sidecars');
  const changes = new Changes(api, sidecars);
  let controller: Controller | null = null;
  try {
    const listens = told<ApiServerMessage, 'listens'>(api, 'listens');
    const sizes = { services: order.services, endpoints: ENDPOINTS };
    api.send({ tls: { cert: mesh.pem('localhost'), key: mesh.pem('localhost-key') }, sizes } satisfies ApiServerOrder);
    controller = await startController(mesh, (await listens).port, order.profile);
    const readySeconds = await ready(controller);
    const synced = memory(controller.pid, 'VmRSS');
    const connected = told<SidecarsMessage, 'connected'>(sidecars, 'connected');
    const watchers = told<SidecarsMessage, 'watchers'>(sidecars, 'watchers');
    const tls = { cert: mesh.pem('web.team'), key: mesh.pem('web.team-key'), ca: mesh.pem('anchors') };
    const { services } = order;
    const crowd = {
      sidecars: order.sidecars,
      destinations: DESTINATIONS,
      services,
      popular: POPULAR,
      ofPopular: OF_POPULAR,
    };
    sidecars.send({ port: controller.port, name: SERVER, tls, ...crowd } satisfies SidecarsOrder);
    const { streams, seconds } = await connected;
    const { counts } = await watchers;
    await wait(SETTLE_MS);
    const before = cpuTime(controller.pid);
    const began = performance.now();
    const done = told<ApiServerMessage, 'done'>(api, 'done');
    api.send({ perSecond: order.rate, seconds: order.seconds, popular: POPULAR } satisfies ChangeOrder);
    await done;
    await wait(1000);
    const cores = (cpuTime(controller.pid).total - before.total) / 1000 / (performance.now() - began);
    const metrics = await (await controller.page('/metrics')).text();
    return report({
      order,
      readySeconds,
      synced,
      pid: controller.pid,
      streams,
      seconds,
      cores,
      changes,
      counts,
      metrics,
    });
  } finally {
    if (controller !== null) {
      const { child: process } = controller;
      const ended = once(process, 'exit');
      process.kill('SIGTERM');
      process.kill('SIGTERM');
      await ended;
    }
    api.kill();
    sidecars.kill();
    rmSync(mesh.directory, { recursive: true });
  }
}

interface Measured {
  readonly order: Asked;
  readonly readySeconds: number;
  readonly synced: number;
  readonly streams: number;
  readonly seconds: number;
  readonly cores: number;
  readonly changes: Changes;
  readonly counts: readonly number[];
  readonly metrics: string;
  readonly pid: number;
}

const mebibytes = (metrics: string, name: string): string =>
  (Number(new RegExp(`^${name} (\\d+)`, 'm').exec(metrics)?.[1]) / 2 ** 20).toFixed(0);

function report(measured: Measured): boolean {
  const { order, streams, changes, metrics, pid } = measured;
  const latencies = changes.latencies();
  const at = (share: number): number =>
    latencies[Math.min(Math.floor(latencies.length * share), latencies.length - 1)] ?? Number.NaN;
  const [rss, peak] = [memory(pid, 'VmRSS'), memory(pid, 'VmHWM')];
  const encodings = Number(/^sluice_destination_encodings_total (\d+)/m.exec(metrics)?.[1]);
  process.stdout.write(
    `${order.services} Services with ${ENDPOINTS} endpoints each, ${order.sidecars} sidecars with ${DESTINATIONS} destinations, ${order.rate} changes/s for ${order.seconds} s\n`,
  );
  row('ready after', `${measured.readySeconds.toFixed(1)} s`);
  row('memory when the cluster was read', `${measured.synced.toFixed(0)} MiB`);
  row('streams, all with their first message after', `${streams}, ${measured.seconds.toFixed(1)} s`);
  row('memory', `${rss.toFixed(0)} MiB (bar ${BARS.mebibytes}; at most ${peak.toFixed(0)})`);
  const heap = ['used', 'total'].map((name) => mebibytes(metrics, `nodejs_heap_size_${name}_bytes`));
  row("of that JavaScript's heap, and what it has taken", `${heap.join(', ')} MiB`);
  row('CPU', `${measured.cores.toFixed(2)} cores (bar ${BARS.cores})`);
  row('updates that came, of those that should', `${latencies.length} of ${changes.expected(measured.counts)}`);
  row('encodings', String(encodings));
  row(
    'change to sidecar: median, 99 %, longest',
    `${at(0.5).toFixed(1)}, ${at(0.99).toFixed(1)} (bar ${BARS.p99Ms}), ${at(1).toFixed(1)} ms`,
  );
  return measured.cores <= BARS.cores && rss <= BARS.mebibytes && at(0.99) <= BARS.p99Ms;
}

process.exitCode = (await measure(asked())) ? 0 : 1;
