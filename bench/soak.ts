// make soak: mixed, partly hostile traffic against a running Sluice, and then the books must balance.
//   node dist/bench/soak.js [--minutes 10] [--io auto] [--workers 2] [--only ACTOR,…] [--seed N] [--first-port 21000]
import { Agent } from 'node:http';
import type { Server } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { descriptors, residentSize } from './cpu.js';
import { Random } from './random.js';
import { sluiceCommand, startSluice } from './rivals/sluice.js';
import { Session, type Started } from './session.js';
import { ACTORS, type Actor, type Stage } from './soak/actors.js';
import { check } from './soak/checks.js';
import { parseExposition, type Series, sum } from './soak/exposition.js';
import { httpUpstream, listen, tcpUpstream } from './soak/upstreams.js';

/** How long pooled connections, drains and timers may take until all is quiet. */
const QUIET_MS = 30_000;
const EXIT_MS = 15_000;

interface Tally {
  done: number;
  errors: number;
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
    try {
      await actor.act(stage);
      tally.done++;
    } catch (error) {
      tally.errors++;
      complain(`${actor.name}: ${error instanceof Error ? error.message : String(error)}`);
      await delay(50);
    }
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

function configuration(
  admin: number,
  ports: Stage['ports'],
  upstreams: { web: number; clean: number; rough: number },
): string {
  const names = ['web', 'clean', 'rough'] as const;
  return `admin: { listen: "127.0.0.1:${admin}" }
drain: { hold: 0s, grace: 5s }
listeners:
${names.map((name) => `  - { name: ${name}, listen: "127.0.0.1:${ports[name]}", service: ${name} }`).join('\n')}
services:
${names
  .map(
    (
      name,
    ) => `  ${name}: { protocol: ${name === 'web' ? 'http1' : 'opaque'}, endpoints: ["127.0.0.1:${upstreams[name]}"],
    breaker: { failures: 0 } }`,
  ) // endpoints that break off on purpose must stay in
  .join('\n')}
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
  const actors = ACTORS.filter(({ name }) => only?.includes(name) ?? true);
  if (only && actors.length !== only.length) {
    throw new Error(`--only: there are ${ACTORS.map(({ name }) => name).join(', ')}`);
  }
  if (sluiceCommand() === null) throw new Error('Sluice is not built (make build)');
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) throw new Error(`--minutes: expected a number above 0, got '${values.minutes}'`);
  const session = new Session({ firstPort: Number(values['first-port']), loadCore: 0 });
  const servers: Server[] = [httpUpstream(), tcpUpstream(), tcpUpstream()];
  const serverPorts = await session.ports(servers.length);
  await Promise.all(servers.map((server, i) => listen(server, serverPorts[i])));
  const [web, clean, rough] = serverPorts;
  const ports = { web: await session.port(), clean: await session.port(), rough: await session.port() };
  const admin = await session.port();
  const started = await startSluice(session, {
    name: 'sluice',
    io: values.io,
    workers: Number(values.workers),
    cores: '0,1',
    admin,
    configuration: configuration(admin, ports, { web, clean, rough }),
  });
  process.stdout.write(`soak: ${minutes} min, io ${values.io}, ${values.workers} workers, seed ${values.seed}\n`);
  await scrape(admin);
  await delay(500);
  const descriptorsBefore = descriptors(started.pid);

  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const random = new Random(Number(values.seed));
  const stage: Stage = { ports, random, clean: { sent: 0, received: 0 }, agent };
  const tallies = new Map<string, Tally>();
  const complaints: string[] = [];
  const complain = (text: string): void => void (complaints.length < 20 && complaints.push(text));
  const endsAt = Date.now() + minutes * 60_000;
  let ended = false;
  started.child.once('exit', () => {
    ended = true;
  });
  const until = () => ended || Date.now() >= endsAt;
  const performing = actors.flatMap((actor) => {
    const tally: Tally = { done: 0, errors: 0 };
    tallies.set(actor.name, tally);
    return Array.from({ length: actor.count }, () => perform(actor, stage, until, tally, complain));
  });
  const resident: number[] = [];
  const interval = Math.min(5000, Math.max(200, (minutes * 60_000) / 120));
  while (!until()) {
    resident.push(residentSize(started.pid));
    await delay(interval);
  }
  await Promise.all(performing);
  agent.destroy();

  for (const [name, { done, errors }] of tallies)
    process.stdout.write(`  ${name.padEnd(18)} ${done} done, ${errors} errors\n`);
  for (const complaint of complaints) process.stdout.write(`  ! ${complaint}\n`);
  if (ended) throw new Error(`Sluice ended during the soak: ${started.stderr().trim()}`);
  const series = await quiet(admin);
  await delay(500);
  const checks = check({
    series,
    clean: stage.clean,
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
  for (const server of servers) server.close();
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
