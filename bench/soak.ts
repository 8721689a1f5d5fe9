// make soak: mixed, partly hostile traffic against a running Sluice, and then the books must balance.
//   node dist/bench/soak.js [--minutes 10] [--io auto] [--workers 2] [--only WORKLOAD,…] [--seed N] [--first-port 21000]
// --only takes beginnings of names too: --only h2,grpc
//
// Endpoints and clients are processes of their own (soak/children.ts): Node's HTTP/2, which many of them use, has ended processes.
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { descriptors, residentSize } from '../src/harness/cpu.js';
import { sluiceCommand } from '../src/harness/paths.js';
import type { Started } from '../src/harness/processes.js';
import { startSluice } from '../src/harness/subjects/sluice.js';
import { Session } from './session.js';
import { check } from './soak/checks.js';
import { Children } from './soak/children.js';
import { FAULTS } from './soak/endpoints.js';
import { parseExposition, type Series, sum } from './soak/exposition.js';
import { LISTENERS, type Listener } from './soak/listeners.js';
import type { Failure, Progress } from './soak/messages.js';
import type { ClientContext, Workload } from './soak/workload.js';
import { ALL_WORKLOADS, WORKLOADS } from './soak/workloads.js';

/** How long pooled connections, drains and timers may take until all is quiet. */
const QUIET_MS = 30_000;
const EXIT_MS = 15_000;
/** Endpoints that restart one after the other. */
const ROLLING = 3;

async function scrape(admin: number): Promise<Series[]> {
  // No kept connection: it would count among the descriptors.
  const response = await fetch(`http://127.0.0.1:${admin}/metrics`, { headers: { connection: 'close' } });
  return parseExposition(await response.text());
}

async function scrapeWhenIdle(admin: number): Promise<Series[]> {
  const deadline = Date.now() + QUIET_MS;
  for (;;) {
    const series = await scrape(admin);
    const open = sum(series, 'tcp_open_connections') || 0;
    if (open === 0 || Date.now() > deadline) return series;
    await delay(500);
  }
}

interface Upstream {
  readonly service: Listener;
  readonly port: number;
}

/**
 * Starts endpoints of all services. Those that clients may count on are processes of their own, so that one which ends of itself leaves the
 * others.
 */
async function startUpstreams(session: Session, children: Children, seed: number): Promise<Upstream[]> {
  const upstreams: Upstream[] = [];
  let processes = 0;
  const start = async (name: string, counts: Partial<Record<Listener, number>>, firstFault = 0): Promise<void> => {
    const services: { service: Listener; ports: number[] }[] = [];
    for (const [service, count] of Object.entries(counts) as [Listener, number][]) {
      const ports = await session.ports(count);
      services.push({ service, ports });
      upstreams.push(...ports.map((port) => ({ service, port })));
    }
    await children.start(`endpoints ${name}`, {
      kind: 'endpoints',
      services,
      firstFault,
      seed: seed + 1000 + processes++,
    });
  };
  await start('web', { web: 1 });
  await start('tcp', { clean: 1, rough: 1 });
  await start('rolling', { rolling: ROLLING });
  for (const service of ['h2', 'grpc'] as const) {
    for (const i of FAULTS[service].keys()) await start(`${service} ${i}`, { [service]: 1 }, i);
  }
  for (const service of ['h2-rough', 'grpc-rough'] as const)
    await start(service, { [service]: FAULTS[service].length });
  await start('rolling-h2', { 'rolling-h2': ROLLING });
  return upstreams;
}

/** Starts the clients; a process for each group of workloads. */
async function startClients(
  children: Children,
  workloads: readonly Workload[],
  ports: ClientContext['ports'],
  seed: number,
): Promise<void> {
  for (const [group, members] of Object.entries(WORKLOADS)) {
    const names = members.filter((workload) => workloads.includes(workload)).map(({ name }) => name);
    if (names.length > 0)
      await children.start(`clients ${group}`, { kind: 'clients', workloads: names, ports, seed: seed++ });
  }
}

const PROTOCOL: Readonly<Record<Listener, string>> = {
  web: 'http1',
  clean: 'opaque',
  rough: 'opaque',
  h2: 'http2',
  'h2-rough': 'http2',
  grpc: 'http2',
  'grpc-rough': 'http2',
  rolling: 'http1',
  'rolling-h2': 'http2',
};

function configuration(admin: number, ports: ClientContext['ports'], upstreams: readonly Upstream[]): string {
  const endpoints = (of: Listener) =>
    upstreams.filter(({ service }) => service === of).map(({ port }) => `"127.0.0.1:${port}"`);
  // Endpoints that break off on purpose must stay in where there is no other.
  const breaker = (of: Listener) => (endpoints(of).length === 1 ? 'breaker: { failures: 0 }, ' : '');
  return `admin: { listen: "127.0.0.1:${admin}" }
drain: { hold: 0s, grace: 5s }
listeners:
${LISTENERS.map((name) => `  - { name: ${name}, listen: "127.0.0.1:${ports[name]}", service: ${name} }`).join('\n')}
services:
${LISTENERS.map(
  (name) => `  ${name}: { protocol: ${PROTOCOL[name]}, ${breaker(name)}endpoints: [${endpoints(name).join(', ')}] }`,
).join('\n')}
`;
}

async function exitsCleanly(started: Started): Promise<boolean> {
  const exit = new Promise<number | null>((resolve) => started.child.once('exit', resolve));
  started.child.kill('SIGTERM');
  return (await Promise.race([exit, delay(EXIT_MS, -1)])) === 0;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '10' },
      io: { type: 'string', default: 'auto' },
      workers: { type: 'string', default: '2' },
      only: { type: 'string' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      'first-port': { type: 'string', default: '21000' },
    },
  });
  const only = values.only?.split(',');
  const isOf = (start: string) => (workload: Workload) =>
    workload.name === start || workload.name.startsWith(`${start}-`);
  const unknown = only?.filter((start) => !ALL_WORKLOADS.some(isOf(start)));
  if (unknown && unknown.length > 0) {
    throw new Error(`--only: no ${unknown.join(', ')}; there are ${ALL_WORKLOADS.map(({ name }) => name).join(', ')}`);
  }
  const workloads = ALL_WORKLOADS.filter((workload) => only?.some((start) => isOf(start)(workload)) ?? true);
  if (sluiceCommand() === null) throw new Error('Sluice is not built (make build)');
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) throw new Error(`--minutes: expected a number above 0, got '${values.minutes}'`);
  const session = new Session({ firstPort: Number(values['first-port']), loadCore: 0 });
  const seed = Number(values.seed);
  const children = new Children();
  const upstreams = await startUpstreams(session, children, seed);
  const listening = await session.ports(LISTENERS.length);
  const ports = Object.fromEntries(LISTENERS.map((name, i) => [name, listening[i]])) as Record<Listener, number>;
  const admin = await session.port();
  const started = await startSluice(session, {
    name: 'sluice',
    io: values.io,
    workers: Number(values.workers),
    cores: '0,1',
    admin,
    configuration: configuration(admin, ports, upstreams),
  });
  process.stdout.write(`soak: ${minutes} min, io ${values.io}, ${values.workers} workers, seed ${values.seed}\n`);
  await scrape(admin);
  await delay(500);
  const descriptorsBefore = descriptors(started.pid);

  let ended = false;
  started.child.once('exit', () => {
    ended = true;
  });
  await startClients(children, workloads, ports, seed);
  const endsAt = Date.now() + minutes * 60_000;
  const resident: number[] = [];
  const interval = Math.min(5000, Math.max(200, (minutes * 60_000) / 120));
  while (!ended && Date.now() < endsAt) {
    resident.push(residentSize(started.pid));
    children.watch();
    await delay(interval);
  }
  const late = await children.stop('clients');
  const progress = children.progress();
  const errors = printSummary(workloads, progress, children, endsAt - minutes * 60_000);
  if (ended) throw new Error(`Sluice ended during the soak: ${started.stderr().trim()}`);
  const series = await scrapeWhenIdle(admin);
  await delay(500);
  const checks = check({
    series,
    clean: total(progress, 'clean', { sent: 0, received: 0 }),
    requestCount: total(progress, 'requestCount', { requests: 0, complete: 0 }),
    cleanKnown: !children.lost('clients http1'),
    requestCountKnown: !children.lost('clients'),
    children,
    workers: Number(values.workers),
    resident,
    minutes,
    descriptorsBefore,
    descriptorsAfter: descriptors(started.pid),
  });
  checks.push({ what: 'every answer was right', passed: errors === 0, detail: `${errors} errors` });
  const stuck = late.join(', ');
  checks.push({ what: 'all clients came to an end', passed: late.length === 0, detail: stuck || 'all did' });
  const orderly = await exitsCleanly(started);
  checks.push({ what: 'SIGTERM drains and exits 0', passed: orderly, detail: orderly ? 'exited 0' : 'did not' });
  for (const { what, passed, detail } of checks) {
    process.stdout.write(`${passed === null ? 'info' : passed ? 'PASS' : 'FAIL'}  ${what}: ${detail}\n`);
  }
  children.kill();
  session.close();
  return checks.some(({ passed }) => passed === false) ? 1 : 0;
}

/** The sum of what all children have counted. */
function total<K extends 'clean' | 'requestCount'>(
  progress: readonly Progress[],
  key: K,
  zero: Progress[K],
): Progress[K] {
  const sums: Record<string, number> = { ...zero };
  for (const each of progress) for (const [name, value] of Object.entries(each[key])) sums[name] += value;
  return sums as unknown as Progress[K];
}

/** Prints what each workload has done, and the first failure of each kind. Returns how many failures count. */
function printSummary(
  workloads: readonly Workload[],
  progress: readonly Progress[],
  children: Children,
  began: number,
): number {
  const counted = children.failures.filter((failure) => !children.excused(failure));
  let errors = counted.length;
  const of = (name: string, list: readonly Failure[]) => list.filter(({ workload }) => workload === name).length;
  for (const { name } of workloads) {
    let done = 0;
    let active = 0;
    for (const { tallies } of progress) done += tallies[name]?.done ?? 0;
    for (const { tallies } of progress.slice(-1)) active += tallies[name]?.active ?? 0;
    errors += active;
    const excused = of(name, children.failures) - of(name, counted);
    const more = `${excused > 0 ? `, ${excused} while a process of the harness was down` : ''}${active > 0 ? `, ${active} never ended` : ''}`;
    process.stdout.write(`  ${name.padEnd(18)} ${done} done, ${of(name, counted)} errors${more}\n`);
  }
  // Failures that differ only in their numbers are one kind.
  const kinds = new Map<string, { text: string; times: number; at: number }>();
  for (const { text, at } of counted) {
    const kind = text.replace(/\d+/g, '0');
    const known = kinds.get(kind);
    if (known) known.times++;
    else kinds.set(kind, { text, times: 1, at });
  }
  for (const { text, times, at } of [...kinds.values()].slice(0, 40)) {
    const when = `${((at - began) / 1000).toFixed(1)} s`;
    process.stdout.write(`  ! ${when}: ${text}${times > 1 ? ` (and ${times - 1} like it)` : ''}\n`);
  }
  return errors;
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`soak: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
