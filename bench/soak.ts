// make soak: mixed, partly hostile traffic against a running Sluice, and then the books must balance.
//   node dist/bench/soak.js [--minutes 10] [--io auto] [--workers 2] [--only ACTOR,…] [--seed N] [--first-port 21000]
// --only takes beginnings of names too: --only h2,grpc
//
// Endpoints and clients are processes of their own (soak/parts.ts): Node's HTTP/2, which many of them use, has ended processes.
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { descriptors, residentSize } from '../src/harness/cpu.js';
import { sluiceCommand } from '../src/harness/paths.js';
import type { Started } from '../src/harness/processes.js';
import { startSluice } from '../src/harness/subjects/sluice.js';
import { Session } from './session.js';
import { check } from './soak/checks.js';
import { TEMPERS } from './soak/endpoints.js';
import { parseExposition, type Series, sum } from './soak/exposition.js';
import { LISTENERS, type Listener } from './soak/listeners.js';
import type { Complaint, Progress } from './soak/messages.js';
import { Parts } from './soak/parts.js';
import type { Actor, Stage } from './soak/stage.js';
import { ALL_ACTORS, TROUPES } from './soak/troupes.js';

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

async function quiet(admin: number): Promise<Series[]> {
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
async function startUpstreams(session: Session, parts: Parts, seed: number): Promise<Upstream[]> {
  const upstreams: Upstream[] = [];
  let processes = 0;
  const start = async (name: string, counts: Partial<Record<Listener, number>>, temper = 0): Promise<void> => {
    const services: { service: Listener; ports: number[] }[] = [];
    for (const [service, count] of Object.entries(counts) as [Listener, number][]) {
      const ports = await session.ports(count);
      services.push({ service, ports });
      upstreams.push(...ports.map((port) => ({ service, port })));
    }
    await parts.start(`endpoints ${name}`, { kind: 'endpoints', services, temper, seed: seed + 1000 + processes++ });
  };
  await start('web', { web: 1 });
  await start('tcp', { clean: 1, rough: 1 });
  await start('rolling', { rolling: ROLLING });
  for (const service of ['h2', 'grpc'] as const) {
    for (const i of TEMPERS[service].keys()) await start(`${service} ${i}`, { [service]: 1 }, i);
  }
  for (const service of ['h2-rough', 'grpc-rough'] as const)
    await start(service, { [service]: TEMPERS[service].length });
  await start('rolling-h2', { 'rolling-h2': ROLLING });
  return upstreams;
}

/** Starts the clients; a process for each troupe. */
async function startClients(
  parts: Parts,
  actors: readonly Actor[],
  ports: Stage['ports'],
  seed: number,
): Promise<void> {
  for (const [troupe, members] of Object.entries(TROUPES)) {
    const names = members.filter((actor) => actors.includes(actor)).map(({ name }) => name);
    if (names.length > 0)
      await parts.start(`clients ${troupe}`, { kind: 'clients', actors: names, ports, seed: seed++ });
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

function configuration(admin: number, ports: Stage['ports'], upstreams: readonly Upstream[]): string {
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

async function endsInOrder(started: Started): Promise<boolean> {
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
  const isOf = (start: string) => (actor: Actor) => actor.name === start || actor.name.startsWith(`${start}-`);
  const unknown = only?.filter((start) => !ALL_ACTORS.some(isOf(start)));
  if (unknown && unknown.length > 0) {
    throw new Error(`--only: no ${unknown.join(', ')}; there are ${ALL_ACTORS.map(({ name }) => name).join(', ')}`);
  }
  const actors = ALL_ACTORS.filter((actor) => only?.some((start) => isOf(start)(actor)) ?? true);
  if (sluiceCommand() === null) throw new Error('Sluice is not built (make build)');
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) throw new Error(`--minutes: expected a number above 0, got '${values.minutes}'`);
  const session = new Session({ firstPort: Number(values['first-port']), loadCore: 0 });
  const seed = Number(values.seed);
  const parts = new Parts();
  const upstreams = await startUpstreams(session, parts, seed);
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
  await startClients(parts, actors, ports, seed);
  const endsAt = Date.now() + minutes * 60_000;
  const resident: number[] = [];
  const interval = Math.min(5000, Math.max(200, (minutes * 60_000) / 120));
  while (!ended && Date.now() < endsAt) {
    resident.push(residentSize(started.pid));
    parts.watch();
    await delay(interval);
  }
  const late = await parts.stop('clients');
  const progress = parts.progress();
  const errors = tell(actors, progress, parts, endsAt - minutes * 60_000);
  if (ended) throw new Error(`Sluice ended during the soak: ${started.stderr().trim()}`);
  const series = await quiet(admin);
  await delay(500);
  const checks = check({
    series,
    clean: total(progress, 'clean', { sent: 0, received: 0 }),
    asked: total(progress, 'asked', { requests: 0, whole: 0 }),
    cleanKnown: !parts.lost('clients http1'),
    askedKnown: !parts.lost('clients'),
    parts,
    workers: Number(values.workers),
    resident,
    minutes,
    descriptorsBefore,
    descriptorsAfter: descriptors(started.pid),
  });
  checks.push({ what: 'every answer was right', passed: errors === 0, detail: `${errors} errors` });
  const stuck = late.join(', ');
  checks.push({ what: 'all clients came to an end', passed: late.length === 0, detail: stuck || 'all did' });
  const orderly = await endsInOrder(started);
  checks.push({ what: 'SIGTERM drains and exits 0', passed: orderly, detail: orderly ? 'exited 0' : 'did not' });
  for (const { what, passed, detail } of checks) {
    process.stdout.write(`${passed === null ? 'info' : passed ? 'PASS' : 'FAIL'}  ${what}: ${detail}\n`);
  }
  parts.kill();
  session.close();
  return checks.some(({ passed }) => passed === false) ? 1 : 0;
}

/** The sum over what all parts have counted. */
function total<K extends 'clean' | 'asked'>(progress: readonly Progress[], key: K, zero: Progress[K]): Progress[K] {
  const sums: Record<string, number> = { ...zero };
  for (const each of progress) for (const [name, value] of Object.entries(each[key])) sums[name] += value;
  return sums as unknown as Progress[K];
}

/** Prints what each actor has done, and the first complaint of each kind. Returns how many count. */
function tell(actors: readonly Actor[], progress: readonly Progress[], parts: Parts, began: number): number {
  const counted = parts.complaints.filter((complaint) => !parts.excused(complaint));
  let errors = counted.length;
  const of = (name: string, list: readonly Complaint[]) => list.filter(({ actor }) => actor === name).length;
  for (const { name } of actors) {
    let done = 0;
    let under = 0;
    for (const { tallies } of progress) done += tallies[name]?.done ?? 0;
    for (const { tallies } of progress.slice(-1)) under += tallies[name]?.under ?? 0;
    errors += under;
    const excused = of(name, parts.complaints) - of(name, counted);
    const more = `${excused > 0 ? `, ${excused} while the harness was not whole` : ''}${under > 0 ? `, ${under} never ended` : ''}`;
    process.stdout.write(`  ${name.padEnd(18)} ${done} done, ${of(name, counted)} errors${more}\n`);
  }
  // Those that differ in their numbers alone are one kind.
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
