// Who serves the calls of one gRPC client with one connection when one of four endpoints is ten times slower: through Sluice, through
// HAProxy (HTTP/2, leastconn), and with connections balanced rather than calls (HAProxy in TCP mode). Writes docs/fairness.json and
// docs/fairness.svg.
//   node dist/bench/fairness.js [--seconds 10] [--rate 1000] [--io auto] [--out docs] [--first-port 21000]
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { packageRoot, sluiceCommand, which } from '../src/harness/paths.js';
import type { Started } from '../src/harness/processes.js';
import { startSluice } from '../src/harness/subjects/sluice.js';
import { drawFairness, type FairnessRun } from './fairness-picture.js';
import { grpcLoad, startGrpcEndpoint } from './grpc/processes.js';
import { Session } from './session.js';

const PROXY_CORE = '1';
const FAST_MS = 5;
const SLOW_MS = 50;
/** Identities; the last one is the slow endpoint. */
const ENDPOINTS = [0, 1, 2, 3] as const;
const SLOW = ENDPOINTS.length - 1;

interface Proxy {
  readonly name: string;
  /** Which endpoint is named first: where connections are balanced it gets the only one there is. */
  readonly first: number;
  start(session: Session, port: number, endpoints: readonly number[]): Promise<Started>;
}

// With one connection every way to balance connections comes to the same; `first` tells which endpoint it meets.
const PROXIES = (io: string): readonly Proxy[] => [
  { name: 'sluice', first: 0, start: (session, port, endpoints) => sluice(session, port, endpoints, io) },
  { name: 'haproxy-leastconn', first: 0, start: (...to) => haproxy(...to, 'http', 'leastconn') },
  { name: 'connections', first: 0, start: (...to) => haproxy(...to, 'tcp', 'first') },
  { name: 'connections-unlucky', first: SLOW, start: (...to) => haproxy(...to, 'tcp', 'first') },
];

async function sluice(session: Session, port: number, endpoints: readonly number[], io: string): Promise<Started> {
  const admin = await session.port();
  const configuration = `admin: { listen: "127.0.0.1:${admin}" }
drain: { hold: 0s, grace: 1s }
listeners:
  - { name: edge, listen: "127.0.0.1:${port}", service: calls }
services:
  calls:
    protocol: http2
    endpoints: [${endpoints.map((each) => `"127.0.0.1:${each}"`).join(', ')}]
`;
  return startSluice(session, { name: 'sluice', io, workers: 1, cores: PROXY_CORE, admin, configuration });
}

async function haproxy(
  session: Session,
  port: number,
  endpoints: readonly number[],
  mode: 'http' | 'tcp',
  balance: string,
): Promise<Started> {
  const protocol = mode === 'http' ? 'proto h2' : '';
  const file = session.write(
    `haproxy-${port}.cfg`,
    `global
  nbthread 1
defaults
  mode ${mode}
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  ${mode === 'http' ? 'http-reuse always' : ''}
frontend edge
  bind 127.0.0.1:${port} ${protocol}
  default_backend calls
backend calls
  balance ${balance}
${endpoints.map((each, index) => `  server e${index} 127.0.0.1:${each} ${protocol}`).join('\n')}
`,
  );
  const started = session.start('haproxy', PROXY_CORE, [which('haproxy') ?? 'haproxy', '-db', '-q', '-f', file]);
  await session.listening(started, port);
  return started;
}

async function run(session: Session, proxy: Proxy, seconds: number, rate: number): Promise<FairnessRun> {
  // Endpoints of its own for every proxy, so that none inherits connections or compiled code from the one before.
  const before = session.processes();
  try {
    const endpoints = await Promise.all(
      ENDPOINTS.map((identity) =>
        startGrpcEndpoint(session, { identity, delayMs: identity === SLOW ? SLOW_MS : FAST_MS }),
      ),
    );
    const named = [endpoints[proxy.first], ...endpoints.filter((_, identity) => identity !== proxy.first)];
    const port = await session.port();
    await proxy.start(session, port, named);
    const load = await grpcLoad(session, port, { seconds, rate, endpoints: ENDPOINTS.length });
    const total = Math.max(1, load.units);
    return {
      name: proxy.name,
      shares: load.calls.map((calls) => calls / total),
      p50: load.p50 / 1000,
      p99: load.p99 / 1000,
      mean: load.mean / 1000,
      calls: load.units,
      errors: load.errors,
      callsPerSecond: load.units / load.seconds,
    };
  } finally {
    for (const started of session.processes()) if (!before.includes(started)) await session.stop(started);
  }
}

function line({ name, shares, p50, p99, callsPerSecond, errors }: FairnessRun): string {
  const split = shares.map((share) => `${(share * 100).toFixed(1)} %`.padStart(7)).join(' ');
  const latency = `p50 ${p50.toFixed(1)} ms  p99 ${p99.toFixed(1)} ms`;
  return `${name.padEnd(20)} ${split} (slow)   ${latency}  ${callsPerSecond.toFixed(0)} calls/s  errors ${errors}\n`;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '10' },
      rate: { type: 'string', default: '1000' },
      io: { type: 'string', default: 'auto' },
      out: { type: 'string', default: join(packageRoot, 'docs') },
      'first-port': { type: 'string', default: '21000' },
    },
  });
  if (sluiceCommand() === null) throw new Error('Sluice is not built (make build)');
  if (which('haproxy') === null) throw new Error('HAProxy is needed and not installed (Debian: haproxy)');
  const [seconds, rate] = [Number(values.seconds), Number(values.rate)];
  if (!(seconds > 0 && rate > 0)) throw new Error('--seconds and --rate: expected numbers above 0');
  const session = new Session({ firstPort: Number(values['first-port']), loadCore: 0 });
  execFileSync('taskset', ['-a', '-p', '-c', String(session.loadCore), String(process.pid)], { stdio: 'ignore' });
  const runs: FairnessRun[] = [];
  try {
    for (const proxy of PROXIES(values.io)) {
      const result = await run(session, proxy, seconds, rate);
      runs.push(result);
      process.stdout.write(line(result));
    }
  } finally {
    session.close();
  }
  const result = { seconds, rate, fastMs: FAST_MS, slowMs: SLOW_MS, slow: SLOW, runs };
  mkdirSync(values.out, { recursive: true });
  writeFileSync(join(values.out, 'fairness.json'), `${JSON.stringify(result, null, 1)}\n`);
  writeFileSync(join(values.out, 'fairness.svg'), drawFairness(result));
  const [ours, leastconn] = runs;
  if (runs.some(({ errors }) => errors > 0)) throw new Error('calls failed');
  if (ours.shares[SLOW] > leastconn.shares[SLOW] || ours.p99 > leastconn.p99) {
    throw new Error("Sluice did no better than HAProxy's leastconn");
  }
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`fairness: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
