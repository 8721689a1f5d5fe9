// What a request allocates: a million HTTP/2 requests through one worker, and V8's own log of collections meanwhile.
//   node dist/bench/allocations.js [--requests 1000000] [--connections 10] [--streams 32] [--endpoint http2|http1] [--io auto]
//     [--semi-space 1] [--limit BYTES] [--first-port 21000] [--from DIR]
// --from measures the build in another checkout.
// Ends with 1 where a worker allocates more than --limit bytes a request.
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { sluiceCommand, which } from '../src/harness/paths.js';
import { startSluice } from '../src/harness/subjects/sluice.js';
import { builtCheckout } from './baseline.js';
import { type Collections, GcLog } from './gc-log.js';
import { h2load } from './load.js';
import { Session } from './session.js';
import { startUpstream } from './upstreams.js';

/** Requests before those that count: compilers, tables and pools are not the price of a request. */
const WARM_UP = 0.3;
/** For the last lines of the log. */
const SETTLE_MS = 300;

interface Options {
  readonly requests: number;
  readonly connections: number;
  readonly streams: number;
  readonly endpoint: string;
  readonly io: string;
  /** Starts what is measured. */
  readonly program: readonly string[];
  /** MB: a smaller young generation is collected more often, and so its log counts more finely. */
  readonly semiSpace: number;
}

function describe(name: string, { scavenges, marks, allocated, paused }: Collections, requests: number): string {
  const each = ((allocated * 2 ** 20) / requests).toFixed(1);
  const pause = `${paused.toFixed(1)} ms`;
  return `${name.padEnd(12)} ${String(scavenges).padStart(5)} scavenges, ${marks} mark-compacts, ${pause}; ${allocated.toFixed(1)} MB allocated: ${each} bytes a request\n`;
}

/** Returns what the workers' isolate allocated, bytes a request. */
async function run(session: Session, options: Options): Promise<number> {
  const { requests, connections, streams, endpoint, io, program, semiSpace } = options;
  const upstream = await startUpstream(session, endpoint === 'http2' ? 'answer-h2' : 'answer');
  const [port, admin] = [await session.port(), await session.port()];
  const configuration = `admin: { listen: "127.0.0.1:${admin}" }
drain: { hold: 0s, grace: 1s }
listeners:
  - { name: edge, listen: "127.0.0.1:${port}", service: web }
services:
  web: { protocol: ${endpoint}, endpoints: ["127.0.0.1:${upstream}"] }
`;
  const flags = ['--trace-gc', `--max-semi-space-size=${semiSpace}`];
  const started = await startSluice(session, {
    name: 'sluice',
    io,
    workers: 1,
    cores: '1',
    admin,
    configuration,
    program,
    flags,
    // V8 writes its log through C's stdout, which collects pages of it where it is a pipe.
    wrapper: ['stdbuf', '-oL'],
  });
  const log = new GcLog();
  started.child.stdout?.on('data', (chunk: Buffer) => log.feed(chunk.toString()));
  const warm = await h2load(session, port, connections, streams, { requests: Math.ceil(requests * WARM_UP) });
  await delay(SETTLE_MS);
  log.restart();
  const load = await h2load(session, port, connections, streams, { requests });
  await delay(SETTLE_MS);
  if (started.child.exitCode !== null) throw new Error(`Sluice ended: ${started.stderr().trim()}`);
  const rate = (load.units / load.seconds).toFixed(0);
  process.stdout.write(
    `${load.units} requests, ${connections} connections × ${streams} streams, ${rate}/s, ${flags.join(' ')}\n`,
  );
  const [main, ...workers] = log.collections();
  if (!main) throw new Error('no collections were logged');
  process.stdout.write(describe('main thread', main, requests));
  for (const worker of workers) process.stdout.write(describe('worker', worker, requests));
  if (workers.length === 0) process.stdout.write('worker       not one collection since its start\n');
  const errors = warm.errors + load.errors + (requests - load.units);
  if (errors > 0) throw new Error(`${errors} requests failed`);
  return (Math.max(0, ...workers.map(({ allocated }) => allocated)) * 2 ** 20) / requests;
}

function positive(text: string, option: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${option}: expected a number above 0, got '${text}'`);
  return value;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      requests: { type: 'string', default: '1000000' },
      connections: { type: 'string', default: '10' },
      streams: { type: 'string', default: '32' },
      endpoint: { type: 'string', default: 'http2' },
      io: { type: 'string', default: 'auto' },
      'semi-space': { type: 'string', default: '1' },
      limit: { type: 'string' },
      from: { type: 'string' },
      'first-port': { type: 'string', default: '21000' },
    },
  });
  const program = values.from === undefined ? sluiceCommand() : builtCheckout('--from', values.from);
  if (program === null) throw new Error('Sluice is not built (make build)');
  for (const tool of ['h2load', 'stdbuf', 'taskset']) {
    if (which(tool) === null) throw new Error(`${tool} is needed and not installed`);
  }
  if (!['http1', 'http2'].includes(values.endpoint)) throw new Error('--endpoint: expected http1 or http2');
  const session = new Session({ firstPort: positive(values['first-port'], 'first-port'), loadCore: 0 });
  try {
    const bytes = await run(session, {
      requests: positive(values.requests, 'requests'),
      connections: positive(values.connections, 'connections'),
      streams: positive(values.streams, 'streams'),
      endpoint: values.endpoint,
      io: values.io,
      program,
      semiSpace: positive(values['semi-space'], 'semi-space'),
    });
    const limit = values.limit === undefined ? Number.POSITIVE_INFINITY : Number(values.limit);
    if (bytes > limit) throw new Error(`a request allocates ${bytes.toFixed(1)} bytes; at most ${limit} are allowed`);
  } finally {
    session.close();
  }
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`allocations: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
