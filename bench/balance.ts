// What balancing does when endpoints go bad: of three, one becomes slow and one fails fast, for a while. The same open-loop traffic
// goes through Sluice with each policy; the split over time and the latency are written to docs/balance.json and docs/balance.svg.
//   node dist/bench/balance.js [--seconds 12] [--rate 100] [--io auto] [--out docs] [--first-port 21000]
import { mkdirSync, writeFileSync } from 'node:fs';
import { Agent, createServer, request, type Server } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { packageRoot, sluiceCommand } from '../src/harness/paths.js';
import { percentile } from '../src/harness/statistics.js';
import { startSluice } from '../src/harness/subjects/sluice.js';
import { type BalanceRun, drawBalance, type Endpoint } from './balance-picture.js';
import { Session } from './session.js';
import { listen } from './soak/upstreams.js';

const ENDPOINTS: readonly Endpoint[] = ['healthy', 'slow', 'failing'];
const POLICIES = ['ewma', 'round-robin'] as const;
const BASE_MS = 5;
const SLOWER_MS = 50;
/** Width of a step of the picture. */
const STEP_MS = 250;

interface Answer {
  /** When the request was due, ms from the start. */
  readonly due: number;
  readonly endpoint: Endpoint | null;
  readonly status: number;
  /** From when it was due to its end, ms. */
  readonly latency: number;
}

/** Whether the trouble is on. */
interface Trouble {
  on: boolean;
}

function endpoint(name: Endpoint, trouble: Trouble): Server {
  return createServer({ keepAliveTimeout: 0 }, (_incoming, response) => {
    const failing = trouble.on && name === 'failing';
    const answer = (): void => {
      response.writeHead(failing ? 503 : 200, { 'x-endpoint': name, 'content-length': 3 });
      response.end('ok\n');
    };
    if (failing) answer();
    else setTimeout(answer, BASE_MS + (trouble.on && name === 'slow' ? SLOWER_MS : 0));
  });
}

function ask(agent: Agent, port: number, start: number, due: number): Promise<Answer> {
  return new Promise((resolve) => {
    const end = (status: number, from: unknown): void => {
      const name = ENDPOINTS.find((each) => each === from) ?? null;
      resolve({ due, endpoint: name, status, latency: performance.now() - start - due });
    };
    const sent = request({ agent, port, host: '127.0.0.1', path: '/', timeout: 10_000 }, (response) => {
      response.resume();
      response.once('end', () => end(response.statusCode ?? 0, response.headers['x-endpoint']));
      response.once('error', () => end(0, null));
    });
    sent.once('timeout', () => sent.destroy(new Error('timeout')));
    sent.once('error', () => end(0, null));
    sent.end();
  });
}

/** Open loop: request i is due at i / rate, whatever became of the others. The trouble is on from 1/4 to 3/4 of the time. */
async function traffic(port: number, seconds: number, rate: number, trouble: Trouble): Promise<Answer[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 256 });
  const answers: Promise<Answer>[] = [];
  const total = Math.round(seconds * rate);
  const start = performance.now();
  for (let issued = 0; issued < total; ) {
    const now = performance.now() - start;
    trouble.on = now >= seconds * 250 && now < seconds * 750;
    while (issued < total && (issued * 1000) / rate <= now)
      answers.push(ask(agent, port, start, (issued++ * 1000) / rate));
    await delay(1);
  }
  trouble.on = false;
  const all = await Promise.all(answers);
  agent.destroy();
  return all;
}

function evaluate(policy: string, answers: readonly Answer[], seconds: number): BalanceRun {
  const steps = Array.from({ length: Math.ceil((seconds * 1000) / STEP_MS) }, (_, index) => {
    const within = answers.filter(({ due }) => Math.floor(due / STEP_MS) === index);
    const share = (name: Endpoint) =>
      within.filter((answer) => answer.endpoint === name).length / Math.max(1, within.length);
    return { at: (index * STEP_MS) / 1000, shares: ENDPOINTS.map(share) };
  });
  const troubled = answers.filter(({ due }) => due >= seconds * 250 && due < seconds * 750);
  const good = troubled.filter(({ status }) => status === 200);
  const latencies = good.map(({ latency }) => latency).sort((a, b) => a - b);
  return {
    policy,
    steps,
    troubled: {
      p50: percentile(latencies, 0.5),
      p99: percentile(latencies, 0.99),
      failed: 1 - good.length / Math.max(1, troubled.length),
    },
    requests: answers.length,
  };
}

async function run(session: Session, policy: string, io: string, seconds: number, rate: number): Promise<BalanceRun> {
  const trouble: Trouble = { on: false };
  const servers = ENDPOINTS.map((name) => endpoint(name, trouble));
  const ports = await session.ports(servers.length);
  await Promise.all(servers.map((server, index) => listen(server, ports[index])));
  const [port, admin] = [await session.port(), await session.port()];
  const configuration = `admin: { listen: "127.0.0.1:${admin}" }
drain: { hold: 0s, grace: 1s }
listeners:
  - { name: edge, listen: "127.0.0.1:${port}", service: web }
services:
  web:
    protocol: http1
    endpoints: [${ports.map((each) => `"127.0.0.1:${each}"`).join(', ')}]
    balance: { policy: ${policy} }
`;
  const started = await startSluice(session, { name: policy, io, workers: 1, cores: '1', admin, configuration });
  try {
    return evaluate(policy, await traffic(port, seconds, rate, trouble), seconds);
  } finally {
    await session.stop(started);
    for (const server of servers) server.close();
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '12' },
      rate: { type: 'string', default: '100' },
      io: { type: 'string', default: 'auto' },
      out: { type: 'string', default: join(packageRoot, 'docs') },
      'first-port': { type: 'string', default: '21000' },
    },
  });
  if (sluiceCommand() === null) throw new Error('Sluice is not built (make build)');
  const [seconds, rate] = [Number(values.seconds), Number(values.rate)];
  if (!(seconds > 0 && rate > 0)) throw new Error('--seconds and --rate: expected numbers above 0');
  const session = new Session({ firstPort: Number(values['first-port']), loadCore: 0 });
  const runs: BalanceRun[] = [];
  try {
    for (const policy of POLICIES) runs.push(await run(session, policy, values.io, seconds, rate));
  } finally {
    session.close();
  }
  const result = { seconds, rate, troubleFrom: seconds / 4, troubleTo: (seconds * 3) / 4, endpoints: ENDPOINTS, runs };
  mkdirSync(values.out, { recursive: true });
  writeFileSync(join(values.out, 'balance.json'), `${JSON.stringify(result, null, 1)}\n`);
  writeFileSync(join(values.out, 'balance.svg'), drawBalance(result));
  for (const { policy, troubled, requests } of runs) {
    const failed = (troubled.failed * 100).toFixed(1);
    const [p50, p99] = [troubled.p50.toFixed(1), troubled.p99.toFixed(1)];
    process.stdout.write(
      `${policy.padEnd(12)} while troubled: failed ${failed} %, p50 ${p50} ms, p99 ${p99} ms (${requests} requests)\n`,
    );
  }
  const [ewma, roundRobin] = runs;
  if (ewma.troubled.failed >= roundRobin.troubled.failed || ewma.troubled.p99 > roundRobin.troubled.p99) {
    throw new Error('ewma did no better than round robin');
  }
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`balance: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
