// make soak: mixed, partly hostile traffic against a running Sluice, and then the books must balance.
//   node dist/bench/soak.js [--minutes 10] [--io auto] [--workers 2] [--only ACTOR,…] [--seed N] [--first-port 21000]
// --only takes beginnings of names too: --only h2,grpc
import { Agent } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { descriptors, residentSize } from './cpu.js';
import { Random } from './random.js';
import { sluiceCommand, startSluice } from './rivals/sluice.js';
import { Session, type Started } from './session.js';
import { ACTORS } from './soak/actors.js';
import { check } from './soak/checks.js';
import { parseExposition, type Series, sum } from './soak/exposition.js';
import { Channels, GrpcUpstream } from './soak/grpc.js';
import { GRPC_ACTORS } from './soak/grpc-actors.js';
import { HOSTILE_ACTORS } from './soak/hostile-actors.js';
import { BRIDGE_ACTORS, HTTP2_ACTORS } from './soak/http2-actors.js';
import { Sessions } from './soak/http2-client.js';
import { Http2Upstream } from './soak/http2-upstreams.js';
import { restartInTurn } from './soak/rolling.js';
import { type Actor, LISTENERS, type Listener, PATIENCE_MS, type Stage } from './soak/stage.js';
import { httpUpstream, listen, tcpUpstream } from './soak/upstreams.js';

/** How long pooled connections, drains and timers may take until all is quiet. */
const QUIET_MS = 30_000;
const EXIT_MS = 15_000;
/** Endpoints that restart one after the other. */
const ROLLING = 3;

interface Tally {
  done: number;
  errors: number;
  under: number;
}

async function scrape(admin: number): Promise<Series[]> {
  // No kept connection: it would count among the descriptors.
  const response = await fetch(`http://127.0.0.1:${admin}/metrics`, { headers: { connection: 'close' } });
  return parseExposition(await response.text());
}

async function perform(
  actor: Actor,
  stage: Stage,
  until: () => boolean,
  tally: Tally,
  complain: (text: string) => void,
): Promise<void> {
  while (!until()) {
    tally.under++;
    try {
      await actor.act(stage);
      tally.done++;
    } catch (error) {
      tally.errors++;
      complain(`${actor.name}: ${error instanceof Error ? error.message : String(error)}`);
      await delay(50);
    }
    tally.under--;
    // Leaves some of two cores to the proxy; the point is variety and time, not load.
    await delay(stage.random.integer(0, 5));
  }
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

const ALL_ACTORS = [...ACTORS, ...HTTP2_ACTORS, ...GRPC_ACTORS, ...BRIDGE_ACTORS, ...HOSTILE_ACTORS];

interface Upstream {
  readonly service: Listener;
  readonly port: number;
  close(): void;
}

/** Starts endpoints of all services. Those of h2 and grpc do nothing that a client need see; the rough ones do everything else. */
async function startUpstreams(session: Session, random: Random): Promise<Upstream[]> {
  const upstreams: Upstream[] = [];
  for (const service of ['web', 'clean', 'rough'] as const) {
    const port = await session.port();
    const server = service === 'web' ? httpUpstream() : tcpUpstream();
    await listen(server, port);
    upstreams.push({ service, port, close: () => server.close() });
  }
  const tempers = {
    h2: [{}, { slow: 30 }, { refuses: 0.03, leaves: 1500 }],
    'h2-rough': [{ slow: 10 }, { refuses: 0.05, resets: 0.1, leaves: 1000 }, { resets: 0.02, dies: 4000 }],
    grpc: [{}, { slow: 30, maxAge: 1500 }],
    'grpc-rough': [{ slow: 10, fails: 0.02 }, { maxAge: 1000, grace: 20 }, { dies: 4000 }],
  };
  for (const service of ['h2', 'h2-rough', 'grpc', 'grpc-rough'] as const) {
    for (const temper of tempers[service]) {
      const port = await session.port();
      const Kind = service.startsWith('h2') ? Http2Upstream : GrpcUpstream;
      const upstream = new Kind(port, random, temper);
      await upstream.start();
      upstreams.push({ service, port, close: () => upstream.close() });
    }
  }
  for (const service of ['rolling', 'rolling-h2'] as const) {
    const ports = await session.ports(ROLLING);
    const close = await restartInTurn(ports, service === 'rolling-h2', random);
    for (const port of ports) upstreams.push({ service, port, close });
  }
  return upstreams;
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
  const random = new Random(Number(values.seed));
  const upstreams = await startUpstreams(session, random);
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

  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const sessions = new Sessions(ports, random);
  const channels = new Channels(ports, random);
  const clean = { sent: 0, received: 0 };
  const asked = { requests: 0, whole: 0 };
  const stage: Stage = { ports, random, clean, asked, agent, sessions, channels };
  const tallies = new Map<string, Tally>();
  // The first of each kind: those that differ in their numbers alone are one.
  const complaints = new Map<string, { text: string; times: number }>();
  const complain = (text: string): void => {
    const kind = text.replace(/\d+/g, '0');
    const known = complaints.get(kind);
    if (known) known.times++;
    else if (complaints.size < 40) complaints.set(kind, { text, times: 1 });
  };
  const endsAt = Date.now() + minutes * 60_000;
  let ended = false;
  started.child.once('exit', () => {
    ended = true;
  });
  const until = () => ended || Date.now() >= endsAt;
  const performing = actors.flatMap((actor) => {
    const tally: Tally = { done: 0, errors: 0, under: 0 };
    tallies.set(actor.name, tally);
    return Array.from({ length: actor.count }, () => perform(actor, stage, until, tally, complain));
  });
  const resident: number[] = [];
  const interval = Math.min(5000, Math.max(200, (minutes * 60_000) / 120));
  while (!until()) {
    resident.push(residentSize(started.pid));
    await delay(interval);
  }
  await Promise.race([Promise.all(performing), delay(2 * PATIENCE_MS)]);
  for (const [name, tally] of tallies) {
    if (tally.under > 0) complain(`${name}: ${tally.under} never came to an end`);
    tally.errors += tally.under;
  }
  agent.destroy();
  sessions.close();
  channels.close();

  for (const [name, { done, errors }] of tallies)
    process.stdout.write(`  ${name.padEnd(18)} ${done} done, ${errors} errors\n`);
  for (const { text, times } of complaints.values())
    process.stdout.write(`  ! ${text}${times > 1 ? ` (and ${times - 1} like it)` : ''}\n`);
  if (ended) throw new Error(`Sluice ended during the soak: ${started.stderr().trim()}`);
  const series = await quiet(admin);
  await delay(500);
  const checks = check({
    series,
    clean,
    asked,
    workers: Number(values.workers),
    resident,
    minutes,
    descriptorsBefore,
    descriptorsAfter: descriptors(started.pid),
  });
  const errors = [...tallies.values()].reduce((total, tally) => total + tally.errors, 0);
  checks.push({ what: 'every answer was right', passed: errors === 0, detail: `${errors} errors` });
  const orderly = await endsInOrder(started);
  checks.push({ what: 'SIGTERM drains and exits 0', passed: orderly, detail: orderly ? 'exited 0' : 'did not' });
  for (const { what, passed, detail } of checks) {
    process.stdout.write(`${passed === null ? 'info' : passed ? 'PASS' : 'FAIL'}  ${what}: ${detail}\n`);
  }
  for (const upstream of upstreams) upstream.close();
  session.close();
  return checks.some(({ passed }) => passed === false) ? 1 : 0;
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`soak: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
