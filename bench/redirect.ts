// What the redirect of a pod's traffic costs a request: CPU of Sluice for connections that `sluice init`'s rules sent to it, against
// connections to a listener of its own, in the same process, in turn.
//
// The control is a plain C server, reached straight and through such a rule: what the kernel takes for translating addresses, which is
// charged to whoever's packet it is, and no proxy can do anything about.
//
//   node dist/bench/redirect.js [--rounds 10] [--seconds 2] [--connections 64] [--io uring]
//
// It needs root, for network namespaces: the pod's, and one behind a wire for the endpoint.
import { execFileSync, spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { cpuTime } from '../src/harness/cpu.js';
import { sluiceCommand, which } from '../src/harness/paths.js';
import { lockMachine, type Started } from '../src/harness/processes.js';
import { median } from '../src/harness/statistics.js';
import { parseWrk } from './load.js';
import { Session } from './session.js';

const LIMIT = 1.03;
/** The user whose packets the rules leave alone. */
const PROXY_UID = '2102';
const LOAD_CORE = 0;
const PROXY_CORE = '1';
const POD = `sluice-rp${process.pid}`;
const FAR = `sluice-rf${process.pid}`;
const FAR_ADDRESS = '10.79.0.1';
/** Nobody's address: only a rule makes something answer there. */
const NOWHERE = '10.97.0.1';
const ENDPOINT_PORT = 8081;
const CONTROL_PORT = 9001;
const DIRECT_PORT = 9000;
const ADMIN_PORT = 4191;

const ip = (...args: string[]): unknown => execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] });
const within = (namespace: string, ...command: string[]): string[] => ['ip', 'netns', 'exec', namespace, ...command];

function makeNamespaces(): void {
  for (const name of [POD, FAR]) {
    ip('netns', 'add', name);
    ip('-n', name, 'link', 'set', 'lo', 'up');
  }
  ip('-n', POD, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', FAR);
  ip('-n', POD, 'addr', 'add', '10.79.0.2/24', 'dev', 'eth0');
  ip('-n', FAR, 'addr', 'add', `${FAR_ADDRESS}/24`, 'dev', 'eth0');
  for (const name of [POD, FAR]) ip('-n', name, 'link', 'set', 'eth0', 'up');
  ip('-n', POD, 'route', 'add', 'default', 'via', FAR_ADDRESS);
}

function removeNamespaces(): void {
  for (const name of [POD, FAR]) spawnSync('ip', ['netns', 'del', name], { stdio: 'ignore' });
}

const CONFIGURATION = `sidecar: { enabled: true }
admin: { listen: "127.0.0.1:${ADMIN_PORT}" }
drain: { outbound: together, hold: 0s, grace: 1s }
listeners: [{ name: direct, listen: "127.0.0.1:${DIRECT_PORT}", service: far, direction: outbound }]
services: { far: { protocol: http1, endpoints: ["${FAR_ADDRESS}:${ENDPOINT_PORT}"] } }
`;

/** Starts the endpoint, the control and Sluice as the proxy's user, each where it belongs. */
async function startAll(session: Session, io: string): Promise<{ sluice: Started; control: Started }> {
  const command = sluiceCommand();
  if (command === null) throw new Error('Sluice is not built (make build)');
  const answer = session.compile('answer');
  execFileSync('ip', within(POD, ...command, 'init').slice(1), { stdio: ['ignore', 'ignore', 'inherit'] });
  const to = ['-p', 'tcp', '-d', NOWHERE, '-j', 'REDIRECT', '--to-ports', String(CONTROL_PORT)];
  execFileSync('ip', within(POD, 'iptables', '-t', 'nat', '-I', 'OUTPUT', ...to).slice(1));
  session.start(
    'endpoint',
    String(LOAD_CORE),
    within(FAR, 'env', 'LOAD_ADDRESS=0.0.0.0', answer, String(ENDPOINT_PORT)),
  );
  const control = session.start('control', PROXY_CORE, within(POD, answer, String(CONTROL_PORT)));
  const file = session.write('sluice.yaml', CONFIGURATION);
  const user = ['setpriv', '--reuid', PROXY_UID, '--regid', PROXY_UID, '--clear-groups'];
  execFileSync('chmod', ['755', session.directory]);
  const run = [...user, ...command, 'run', '-c', file, '--io', io, '--workers', '1'];
  const sluice = session.start('sluice', PROXY_CORE, within(POD, ...run));
  execFileSync('ip', within(POD, ...command, 'await', '--address', `127.0.0.1:${ADMIN_PORT}`).slice(1));
  return { sluice, control };
}

interface Way {
  readonly name: string;
  readonly url: string;
  readonly of: 'sluice' | 'control';
}

const WAYS: readonly Way[] = [
  { name: 'direct', url: `http://127.0.0.1:${DIRECT_PORT}/`, of: 'sluice' },
  { name: 'redirected', url: `http://${FAR_ADDRESS}:${ENDPOINT_PORT}/`, of: 'sluice' },
  { name: 'control direct', url: `http://127.0.0.1:${CONTROL_PORT}/`, of: 'control' },
  { name: 'control redirected', url: `http://${NOWHERE}/`, of: 'control' },
];

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '10' },
      seconds: { type: 'string', default: '2' },
      connections: { type: 'string', default: '64' },
      io: { type: 'string', default: 'uring' },
    },
  });
  const missing = process.getuid?.() !== 0 ? 'root' : ['ip', 'iptables', 'wrk', 'setpriv'].find((name) => !which(name));
  if (missing) {
    console.log(`SKIPPED: the bench of the redirect needs ${missing}`);
    return 0;
  }
  await lockMachine();
  const session = new Session({ firstPort: 21000, loadCore: LOAD_CORE });
  try {
    makeNamespaces();
    const started = await startAll(session, values.io);
    const costs = new Map<string, number[]>(WAYS.map(({ name }) => [name, []]));
    const sample = async (way: Way, seconds: string): Promise<number> => {
      const { pid } = started[way.of];
      const before = cpuTime(pid).total;
      const wrk = within(POD, 'wrk', '-t1', `-c${values.connections}`, `-d${seconds}s`, way.url);
      const load = parseWrk(await session.run('wrk', wrk));
      if (load.errors > 0) throw new Error(`${way.name}: ${load.errors} errors`);
      return (cpuTime(pid).total - before) / load.units;
    };
    for (const way of WAYS) await sample(way, '1');
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const way of round % 2 === 0 ? WAYS : [...WAYS].reverse()) {
        costs.get(way.name)?.push(await sample(way, values.seconds));
      }
      process.stderr.write(`round ${round + 1} of ${values.rounds}\n`);
    }
    return report(costs);
  } finally {
    session.close();
    removeNamespaces();
  }
}

/** Prints what was measured; 1 where the redirect costs more than the bar, and more than the kernel takes for it. */
function report(costs: ReadonlyMap<string, readonly number[]>): number {
  const of = (name: string): readonly number[] => costs.get(name) ?? [];
  const difference = (name: string): number =>
    median(of(`${name}redirected`).map((us, at) => us - (of(`${name}direct`)[at] ?? 0)));
  const ratio = median(of('redirected').map((us, at) => us / (of('direct')[at] ?? us)));
  for (const { name } of WAYS) console.log(`${name.padEnd(20)}${median(of(name)).toFixed(2)} µs CPU/request`);
  const ours = difference('');
  const kernels = difference('control ');
  console.log(`the redirect: ${ours.toFixed(2)} µs, of which the kernel takes ${kernels.toFixed(2)} from any server`);
  const passed = ratio <= LIMIT || ours <= kernels;
  console.log(`ratio ${ratio.toFixed(3)}, bar ${LIMIT} or what the kernel takes: ${passed ? 'passed' : 'MISSED'}`);
  return passed ? 0 : 1;
}

process.exitCode = await main();
