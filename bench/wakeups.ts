// What a wake-up costs: a few thousand requests a second, each alone. For Sluice on both executors, nginx and HAProxy: CPU time, system
// calls by kind and context switches of a request; then how often a process that has nothing to do wakes up.
//   node dist/bench/wakeups.js [names…] [--rate 3000] [--seconds 4] [--idle 10] [--http2] [--baseline DIR] [--first-port 21000]
// System calls are counted in a run of its own, by strace, and at a rate at which each request is alone although counting makes the calls slow.
import { execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { cpuTime, processTree } from '../src/harness/cpu.js';
import { which } from '../src/harness/paths.js';
import { lockMachine } from '../src/harness/processes.js';
import { haproxy } from '../src/harness/subjects/haproxy.js';
import { nginx } from '../src/harness/subjects/nginx.js';
import { sluice } from '../src/harness/subjects/sluice.js';
import type { Running, Subject, Work } from '../src/harness/subjects/subject.js';
import { builtCheckout } from './baseline.js';
import { PROXY_CORE } from './benches/http.js';
import { fixedRate, fixedRateHttp2, h2load, type LatencyLoad, wrk } from './load.js';
import { Session } from './session.js';
import { startUpstream } from './upstreams.js';

const CONNECTIONS = 64;
const HTTP2_CONNECTIONS = 10;
const HTTP2_STREAMS = 32;
const LOAD_CORE = 0;
/** Compilers come to their end, and pools are filled. */
const WARM_SECONDS = 3;
/** After traffic: what is done once, later. */
const SETTLE_MS = 4000;
/** Requests a second while system calls are counted. */
const COUNTED_RATE = 200;
/** Calls that are rarer than one for so many requests are summed up. */
const RARE = 200;

interface Options {
  readonly rate: number;
  readonly seconds: number;
  readonly idleSeconds: number;
  readonly http2: boolean;
}

/** Context switches of all threads so far: those that waited for something, and those that were made to stop. */
interface Switches {
  readonly voluntary: number;
  readonly forced: number;
}

interface Calls {
  readonly total: number;
  /** By name, a request. */
  readonly kinds: ReadonlyMap<string, number>;
}

interface Figures {
  readonly name: string;
  readonly load: LatencyLoad;
  /** µs a request. */
  readonly cpu: number;
  readonly user: number;
  readonly switches: Switches;
  readonly calls: Calls | null;
  /** Of the idle process, a second. */
  readonly idleWakeups: number;
}

function switches(pid: number): Switches {
  let voluntary = 0;
  let forced = 0;
  for (const process of processTree(pid)) {
    for (const thread of readdirSync(`/proc/${process}/task`)) {
      const text = readFileSync(`/proc/${process}/task/${thread}/status`, 'utf8');
      voluntary += Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(text)?.[1] ?? 0);
      forced += Number(/^nonvoluntary_ctxt_switches:\s+(\d+)/m.exec(text)?.[1] ?? 0);
    }
  }
  return { voluntary, forced };
}

function drive(session: Session, { port }: Running, seconds: number, { rate, http2 }: Options): Promise<LatencyLoad> {
  return http2
    ? fixedRateHttp2(session, port, HTTP2_CONNECTIONS, HTTP2_STREAMS, seconds, rate)
    : fixedRate(session, port, CONNECTIONS, seconds, rate);
}

/** As strace counts them while a load runs; null where there is no strace, or it may not trace. */
async function countCalls(session: Session, running: Running, options: Options): Promise<Calls | null> {
  const strace = which('strace');
  if (strace === null) return null;
  const traced = processTree(running.started.pid).flatMap((pid) => ['-p', String(pid)]);
  const tracer = spawn(strace, ['-c', '-f', '-U', 'calls,name', ...traced], { stdio: ['ignore', 'ignore', 'pipe'] });
  let text = '';
  tracer.stderr.on('data', (chunk: Buffer) => {
    text += String(chunk);
  });
  const ended = new Promise((resolve) => tracer.once('close', resolve));
  await delay(500);
  const { units } = await drive(session, running, options.seconds, { ...options, rate: COUNTED_RATE });
  tracer.kill('SIGINT');
  await ended;
  const kinds = new Map<string, number>();
  let total = 0;
  for (const [, count, name] of text.matchAll(/^\s*(\d+)\s+(\w+)$/gm)) {
    if (name === 'total') continue;
    total += Number(count) / units;
    kinds.set(name, Number(count) / units);
  }
  return kinds.size === 0 ? null : { total, kinds };
}

async function measure(session: Session, contender: Subject, upstream: number, options: Options): Promise<Figures> {
  const http2 = options.http2 ? ({ http2: 'both' } as const) : {};
  const work: Work = { kind: 'http', workers: 1, cores: PROXY_CORE, connections: CONNECTIONS, upstream, ...http2 };
  const running = await contender.start(session, work);
  const { pid } = running.started;
  if (options.http2) await h2load(session, running.port, HTTP2_CONNECTIONS, HTTP2_STREAMS, { seconds: WARM_SECONDS });
  else await wrk(session, running.port, CONNECTIONS, WARM_SECONDS);
  await drive(session, running, 1, options);
  const [cpuBefore, before] = [cpuTime(pid), switches(pid)];
  const load = await drive(session, running, options.seconds, options);
  const [cpuAfter, after] = [cpuTime(pid), switches(pid)];
  const calls = await countCalls(session, running, options);
  await delay(SETTLE_MS);
  const idle = switches(pid);
  await delay(options.idleSeconds * 1000);
  const end = switches(pid);
  await session.stop(running.started);
  const [user, system] = [cpuAfter.user - cpuBefore.user, cpuAfter.system - cpuBefore.system];
  const cpu = (cpuAfter.total - cpuBefore.total) / load.units;
  return {
    name: contender.name,
    load,
    cpu,
    user: (cpu * user) / Math.max(1, user + system),
    switches: {
      voluntary: (after.voluntary - before.voluntary) / load.units,
      forced: (after.forced - before.forced) / load.units,
    },
    calls,
    idleWakeups: (end.voluntary + end.forced - idle.voluntary - idle.forced) / options.idleSeconds,
  };
}

function kindsOf({ kinds }: Calls): string {
  const common = [...kinds].filter(([, count]) => count >= 1 / RARE).sort(([, a], [, b]) => b - a);
  return common.map(([name, count]) => `${name} ${count.toFixed(2)}`).join(', ');
}

function table(all: readonly Figures[]): string {
  const head =
    '| | µs CPU a request | of it user | switches: voluntary, forced | system calls | of which | p50, p99 µs | idle wake-ups a second |\n|---|---|---|---|---|---|---|---|\n';
  const lines = all.map(({ name, load, cpu, user, switches, calls, idleWakeups }) =>
    [
      '',
      name,
      cpu.toFixed(1),
      user.toFixed(1),
      `${switches.voluntary.toFixed(2)}, ${switches.forced.toFixed(2)}`,
      calls === null ? '–' : calls.total.toFixed(2),
      calls === null ? '–' : kindsOf(calls),
      `${load.p50}, ${load.p99}`,
      idleWakeups.toFixed(1),
      '',
    ]
      .join(' | ')
      .trim(),
  );
  return `${head}${lines.join('\n')}\n`;
}

function contenders(names: readonly string[], http2: boolean, baseline: string | undefined): readonly Subject[] {
  const program = baseline === undefined ? undefined : builtCheckout('--baseline', baseline);
  const old = program
    ? [sluice('baseline-uring', 'uring', { program }), sluice('baseline-epoll', 'epoll', { program })]
    : [];
  const all = [sluice('uring', 'uring'), sluice('epoll', 'epoll'), ...old, ...(http2 ? [] : [nginx()]), haproxy()];
  if (names.length === 0) return all;
  return names.map((name) => {
    const found = all.find((each) => each.name === name);
    if (found === undefined) throw new Error(`no '${name}'; there are: ${all.map((each) => each.name).join(', ')}`);
    return found;
  });
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rate: { type: 'string', default: '3000' },
      seconds: { type: 'string', default: '4' },
      idle: { type: 'string', default: '10' },
      http2: { type: 'boolean', default: false },
      baseline: { type: 'string' },
      'first-port': { type: 'string', default: '21000' },
    },
  });
  const options = {
    rate: Number(values.rate),
    seconds: Number(values.seconds),
    idleSeconds: Number(values.idle),
    http2: values.http2,
  };
  for (const [name, value] of Object.entries(options))
    if (typeof value === 'number' && !(value > 0)) throw new Error(`${name}: expected a number above 0`);
  await lockMachine();
  execFileSync('taskset', ['-a', '-p', '-c', String(LOAD_CORE), String(process.pid)], { stdio: 'ignore' });
  const session = new Session({ firstPort: Number(values['first-port']), loadCore: LOAD_CORE });
  try {
    const upstream = await startUpstream(session, options.http2 ? 'answer-h2' : 'answer');
    const all: Figures[] = [];
    for (const contender of contenders(positionals, options.http2, values.baseline)) {
      const why = contender.missing();
      if (why === null) all.push(await measure(session, contender, upstream, options));
      else process.stderr.write(`${contender.name}: ${why}\n`);
    }
    process.stdout.write(table(all));
  } finally {
    session.close();
  }
}

await main();
