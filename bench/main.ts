// make bench: measures Sluice against its rivals and judges the bars.
//   node dist/bench/main.js [names…] [--rounds 5] [--seconds 3] [--json FILE] [--first-port 21000]
//     [--baseline DIR [--no-rivals]]
// --baseline adds the build in another checkout to every bench of Sluice, and a bar: no dearer than that. With --no-rivals nobody
// else takes part.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { which } from '../src/harness/paths.js';
import { lockMachine } from '../src/harness/processes.js';
import { builtCheckout, comparable, withBaseline, withoutRivals } from './baseline.js';
import type { Bench } from './bench.js';
import { generatorH1, generatorH2 } from './benches/generator.js';
import { grpcUnary } from './benches/grpc.js';
import { connect1, connect2, h1Epoll, h1Large, h1Uring, latency, manyServices } from './benches/http.js';
import {
  h1ToH2,
  h2Bulk,
  h2BusyMean,
  h2BusyP99,
  h2Epoll,
  h2Many,
  h2Mean,
  h2P99,
  h2Single,
  h2ToH1,
  h2Wide,
} from './benches/http2.js';
import { h1Light, h2Light } from './benches/light.js';
import { idleMemory, tlsIdleMemory } from './benches/memory.js';
import { memoryBursts } from './benches/memory-burst.js';
import { h1Observed, h2Observed } from './benches/observed.js';
import { opaqueBulk, opaqueSmall } from './benches/opaque.js';
import { loadedMemory, processMemory, start } from './benches/process.js';
import { cold, coldHttp2, pauses, pausesHttp2 } from './benches/ready.js';
import { mtlsPairH1, mtlsPairH2, tlsH1, tlsH1Epoll, tlsH2, tlsHandshake, tlsLarge } from './benches/tls.js';
import { tlsStorm } from './benches/tls-storm.js';
import { h1ToH2Varied, h1Varied, h2ToH1Varied, h2Varied } from './benches/varied.js';
import { type BenchResult, measure } from './measure.js';
import { Session } from './session.js';
import { report, summary } from './table.js';

const BENCHES: readonly Bench[] = [
  h1Uring,
  h1Observed,
  h2Observed,
  h1Epoll,
  h1Large,
  manyServices,
  h1Light,
  opaqueSmall,
  opaqueBulk,
  connect1,
  connect2,
  idleMemory,
  processMemory,
  loadedMemory,
  ...memoryBursts,
  start,
  cold,
  coldHttp2,
  pauses,
  pausesHttp2,
  latency,
  h2Wide,
  h2Many,
  h2Single,
  h2Epoll,
  h2Light,
  h2ToH1,
  h1ToH2,
  h1Varied,
  h2Varied,
  h2ToH1Varied,
  h1ToH2Varied,
  h2Bulk,
  h2Mean,
  h2P99,
  h2BusyMean,
  h2BusyP99,
  grpcUnary,
  tlsH1,
  tlsH1Epoll,
  tlsH2,
  tlsLarge,
  tlsHandshake,
  tlsIdleMemory,
  tlsStorm,
  mtlsPairH1,
  mtlsPairH2,
  generatorH1,
  generatorH2,
];

const LOAD_CORE = 0;

function chosen(names: readonly string[]): readonly Bench[] {
  if (names.length === 0) return BENCHES;
  return names.map((name) => {
    const bench = BENCHES.find((candidate) => candidate.name === name);
    if (!bench) throw new Error(`no benchmark '${name}'; there are: ${BENCHES.map((each) => each.name).join(', ')}`);
    return bench;
  });
}

interface Comparison {
  readonly baseline: string | undefined;
  readonly rivals: boolean;
}

/** `benches` as the options want them; of all, without rivals, those that are left something to judge. */
function against(benches: readonly Bench[], all: boolean, { baseline, rivals }: Comparison): readonly Bench[] {
  if (baseline === undefined) {
    if (!rivals) throw new Error('--no-rivals leaves nothing to compare with; give --baseline DIR as well');
    return benches;
  }
  const program = builtCheckout('--baseline', baseline);
  if (rivals) return benches.map((bench) => withBaseline(bench, program));
  const kept = all ? benches.filter(comparable) : benches;
  return kept.map((bench) => withoutRivals(withBaseline(bench, program)));
}

function positive(text: string, option: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${option}: expected a number above 0, got '${text}'`);
  return value;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '3' },
      json: { type: 'string' },
      'first-port': { type: 'string', default: '21000' },
      baseline: { type: 'string' },
      'no-rivals': { type: 'boolean', default: false },
    },
  });
  const rivals = !values['no-rivals'];
  const benches = against(chosen(positionals), positionals.length === 0, { baseline: values.baseline, rivals });
  const rounds = Math.round(positive(values.rounds, 'rounds'));
  const seconds = positive(values.seconds, 'seconds');
  if (cpus().length < 2) throw new Error('two cores are needed: one for the proxy, one for the load');
  const tools = ['taskset', 'wrk', 'h2load', ...(rivals ? ['nginx'] : []), process.env.CC ?? 'cc'];
  for (const tool of tools) {
    if (which(tool) === null) throw new Error(`${tool} is needed and not installed (see README, Benchmarks)`);
  }
  await lockMachine();
  // The harness reads /proc while a load runs: it belongs on the load's core.
  execFileSync('taskset', ['-a', '-p', '-c', String(LOAD_CORE), String(process.pid)], { stdio: 'ignore' });
  const session = new Session({ firstPort: positive(values['first-port'], 'first-port'), loadCore: LOAD_CORE });
  const results: BenchResult[] = [];
  const progress = (text: string) => process.stderr.isTTY && process.stderr.write(`\x1b[2K\r${text}\r`);
  try {
    for (const bench of benches) {
      const result = await measure(session, bench, { rounds, seconds, progress });
      results.push(result);
      process.stdout.write(`${report(result)}\n\n`);
    }
  } finally {
    session.close();
  }
  process.stdout.write(`${summary(results)}\n`);
  if (values.json) {
    const about = { rounds, seconds, cpu: cpus()[0].model, node: process.version, date: new Date().toISOString() };
    writeFileSync(values.json, `${JSON.stringify({ ...about, results }, null, 1)}\n`);
  }
  const dearer = (result: BenchResult) => result.baseline === 'failed' || result.baseline?.passed === false;
  return results.some((result) => result.passed === false || result.errors > 0 || dearer(result)) ? 1 : 0;
}

process.exitCode = await main().catch((error: unknown) => {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  return 1;
});
