// What load itself costs: `sluice bench run` against wrk and h2load, on the same server, which has the other core. All of a generator's process
// counts, its start too.
import { sluiceCommand, which } from '../../src/harness/paths.js';
import { direct, type Subject } from '../../src/harness/subjects/subject.js';
import type { Bench, Sample } from '../bench.js';
import { parseH2load, parseWrk } from '../load.js';
import type { Session } from '../session.js';
import { startUpstream } from '../upstreams.js';
import { PROXY_CORE } from './http.js';

interface Generated {
  readonly units: number;
  readonly errors: number;
  readonly seconds: number;
}

interface Generator {
  readonly name: string;
  missing(): string | null;
  command(url: string, seconds: number): readonly string[];
  parse(output: string): Generated;
}

/** bash says what a process has used, in a line of its own. */
const TIMED = ['bash', '-c', 'TIMEFORMAT="cpu %3U %3S"; { time "$@"; } 2>&1', 'timed'];

async function run(session: Session, name: string, command: readonly string[]): Promise<string> {
  const started = session.start(name, PROXY_CORE, command);
  let output = '';
  started.child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  const code = await new Promise<number | null>((resolve) => started.child.once('close', resolve));
  if (code !== 0) throw new Error(`${name} (${command.join(' ')}) ended with ${code}: ${output.trim()}`);
  return output;
}

async function sampleOf(session: Session, generator: Generator, port: number, seconds: number): Promise<Sample> {
  const url = `http://127.0.0.1:${port}/`;
  const output = await run(session, generator.name, [...TIMED, ...generator.command(url, Math.ceil(seconds))]);
  const cpu = /^cpu ([\d.]+) ([\d.]+)$/m.exec(output);
  if (cpu === null) throw new Error(`${generator.name} did not say what it used`);
  const [user, system] = [Number(cpu[1]), Number(cpu[2])];
  const { units, errors, seconds: took } = generator.parse(output.slice(0, cpu.index));
  return {
    value: ((user + system) * 1e6) / units,
    errors: errors + (units > 0 ? 0 : 1),
    rate: units / took,
    userShare: user / (user + system),
  };
}

const installed = (program: string): string | null => (which(program) === null ? `${program} is not installed` : null);

/** `sluice bench run`, without a warm-up: the others have none. */
const own = (name: string, ...args: readonly string[]): Generator => ({
  name,
  missing: () => (sluiceCommand() === null ? 'it is not built' : null),
  command: (url, seconds) => [
    ...(sluiceCommand() ?? []),
    ...['bench', 'run', '--warm-up', '0', '-d', `${seconds}s`, '-o', 'json', ...args, url],
  ],
  parse(output) {
    const written: unknown = JSON.parse(output);
    if (!isRecord(written) || !isRecord(written.result)) throw new Error(`not a result: ${output}`);
    const { done, seconds, errors } = written.result;
    const wrong = isRecord(errors) ? Object.values(errors).reduce<number>((sum, count) => sum + Number(count), 0) : 1;
    return { units: Number(done), errors: wrong, seconds: Number(seconds) };
  },
});

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

interface Kind {
  readonly name: string;
  readonly title: string;
  readonly upstream: 'answer' | 'answer-h2';
  readonly generators: readonly Generator[];
  readonly limit: number;
  readonly rival: string;
}

function generatorBench({ name, title, upstream, generators, limit, rival }: Kind): Bench {
  const contenders = generators.map(
    (generator): Subject => ({
      name: generator.name,
      missing: () => generator.missing(),
      start: async (session, work) => ({ ...(await direct.start(session, work)), name: generator.name }),
    }),
  );
  return {
    name,
    title,
    unit: 'µs CPU/request',
    measures: 'process',
    bar: { limit, ambition: limit - 0.1, rivals: [rival] },
    contenders,
    work: { kind: 'http', workers: 1, cores: PROXY_CORE, connections: 64 },
    upstream: (session) => startUpstream(session, upstream),
    sample(session, { name: chosen, port }, seconds) {
      const generator = generators.find((candidate) => candidate.name === chosen);
      if (generator === undefined) throw new Error(`no generator ${chosen}`);
      return sampleOf(session, generator, port, seconds);
    },
  };
}

export const generatorH1 = generatorBench({
  name: 'generator-h1',
  title: 'Load generators: HTTP/1.1, 64 connections, closed loop',
  upstream: 'answer',
  limit: 1,
  rival: 'wrk',
  generators: [
    own('sluice-bench', '-c', '64'),
    {
      name: 'wrk',
      missing: () => installed('wrk'),
      command: (url, seconds) => ['wrk', '-t1', '-c64', `-d${seconds}s`, url],
      parse: parseWrk,
    },
    own('sluice-bench-uring', '-c', '64', '--io', 'uring'),
  ],
});

export const generatorH2 = generatorBench({
  name: 'generator-h2',
  title: 'Load generators: HTTP/2, 10 connections × 32 streams, closed loop',
  upstream: 'answer-h2',
  limit: 0.8,
  rival: 'h2load',
  generators: [
    own('sluice-bench', '--http2', '-c', '10', '--streams', '32'),
    {
      name: 'h2load',
      missing: () => installed('h2load'),
      command: (url, seconds) => ['h2load', '-t1', '-c10', '-m32', `-D${seconds}`, url],
      parse: (output) => parseH2load(output).responses,
    },
    own('sluice-bench-uring', '--http2', '-c', '10', '--streams', '32', '--io', 'uring'),
  ],
});
