// Shared by the commands that measure subjects: their options, the machine's setup, and where results go.
import { resolve } from 'node:path';
import { suggest } from '../config/suggest.js';
import { parseChoice, parseDuration, parseNumber, ValueError } from '../config/values.js';
import { INTERRUPTED, untilInterrupted } from '../harness/interrupt.js';
import { allowedCores, environment, pinSelf } from '../harness/machine.js';
import type { MatrixOptions } from '../harness/matrix.js';
import { which } from '../harness/paths.js';
import { place } from '../harness/placement.js';
import { lockMachine, Processes } from '../harness/processes.js';
import { Progress } from '../harness/progress.js';
import { DirectoryError, ResultDirectory } from '../harness/result-directory.js';
import type { HarnessResult } from '../harness/results.js';
import { SCENARIOS, type Scenario } from '../harness/scenarios.js';
import { subjects } from '../harness/subjects/all.js';
import type { Subject } from '../harness/subjects/subject.js';
import { markdown } from '../report/markdown.js';
import { writeReport } from '../report/write.js';
import type { OptionReader } from './option-reader.js';
import { EXIT_FAILURE, messageOf, print, printError, UsageError } from './usage.js';

const text = { type: 'string' } as const;

export const MEASURING_OPTIONS = {
  scenarios: { type: 'string', multiple: true },
  subjects: { type: 'string', multiple: true },
  seconds: text,
  workers: text,
  io: text,
  peers: text,
  'first-port': text,
  out: text,
  force: { type: 'boolean' },
} as const;

export const MEASURING_HELP = `      --workers N        workers of each subject, each with a core (default 1)
      --io uring|epoll|auto   the load generator's executor (default auto)
      --peers DIRECTORY  a directory whose node_modules has http-proxy or http2-wrapper
      --first-port PORT  the first of a thousand ports to use (default 21000)
      --out DIRECTORY    where results go (default sluice-bench-DATE-TIME)
      --force            overwrite existing results`;

const MAX_ROUNDS = 1000;
const MAX_WORKERS = 256;
const MAX_PORT = 64_500;
const FIRST_PORT = 21_000;

export type MeasuringOptions = OptionReader<keyof typeof MEASURING_OPTIONS | 'rounds' | 'cold'>;

function chosen<T extends { readonly name: string }>(option: string, wanted: string, among: readonly T[]): T[] {
  const names = wanted.split(',').filter((name) => name !== '');
  if (names.length === 0) throw new UsageError(`--${option}: no name in the list`);
  return [...new Set(names)].map((name) => {
    const found = among.find((one) => one.name === name);
    if (found !== undefined) return found;
    const known = among.map((one) => one.name);
    throw new UsageError(
      `--${option}: there is no ${JSON.stringify(name)}; ${suggest(name, known)}; there are ${known.join(', ')}`,
    );
  });
}

export const scenariosOf = (given: MeasuringOptions, usual: readonly string[]): Scenario[] =>
  chosen('scenarios', given.text('scenarios', usual.join(',')), SCENARIOS);

export function subjectsOf(given: MeasuringOptions): Subject[] {
  const directory = given.optional('peers');
  const all = subjects(directory === null ? null : resolve(directory));
  return chosen('subjects', given.text('subjects', all.map(({ name }) => name).join(',')), all);
}

/** The duration of a load: a number of seconds, or a time with a unit. */
export const secondsOf = (given: MeasuringOptions, name: 'seconds' | 'cold', fallback: string): number =>
  given.parsed(name, fallback, (value) => {
    const time = /^\d+(\.\d+)?$/.test(value) ? `${value}s` : value;
    return parseDuration(time, { in: 'ms', step: 0, min: '100ms', max: '1h' }) / 1000;
  });

export const roundsOf = (given: MeasuringOptions, fallback: number): number =>
  given.integer('rounds', fallback, MAX_ROUNDS);

/** The settings of a run, without what it measures. */
export type Setting = Pick<
  MatrixOptions,
  'workers' | 'io' | 'placement' | 'environment' | 'processes' | 'runLoad' | 'progress' | 'signal' | 'notes' | 'saved'
>;

function newName(): string {
  const [date, time] = new Date().toISOString().split(/[T.]/);
  return `sluice-bench-${date.replaceAll('-', '')}-${time.replaceAll(':', '')}`;
}

function directoryOf(given: MeasuringOptions): ResultDirectory {
  try {
    return new ResultDirectory(given.text('out', newName()), { force: given.flag('force') });
  } catch (error) {
    if (error instanceof DirectoryError) throw new UsageError(error.message);
    throw error;
  }
}

/** Writes the results and the report. If that fails, prints the raw figures, so that they are not lost. */
function deliver(directory: ResultDirectory, result: HarnessResult): boolean {
  if (!directory.save(result)) {
    printError(`sluice bench: ${directory.file} cannot be written: ${directory.problem}; the result follows`);
    print(JSON.stringify(result));
    return false;
  }
  try {
    const written = writeReport(result, directory.path);
    print(markdown(result));
    printError(`written: ${directory.file}, ${written.slice(0, 2).join(', ')}`);
    return true;
  } catch (error) {
    printError(
      `sluice bench: the report cannot be written: ${messageOf(error)}; \`sluice bench report ${directory.file}\` tries again`,
    );
    return false;
  }
}

/** Sets up the machine, lets `work` measure, writes the results, and cleans up. Returns the exit code. */
export async function measured(
  given: MeasuringOptions,
  work: (setting: Setting) => Promise<HarnessResult>,
  judge: (result: HarnessResult) => number = codeOf,
): Promise<number> {
  const workers = given.integer('workers', 1, MAX_WORKERS);
  const io = given.parsed('io', 'auto', (value) => parseChoice(value, ['auto', 'uring', 'epoll']));
  const firstPort = given.parsed('first-port', String(FIRST_PORT), (value) => {
    if (!/^\d+$/.test(value)) throw new ValueError(`${JSON.stringify(value)} is not a port`);
    return parseNumber(Number(value), 1024, MAX_PORT);
  });
  const directory = directoryOf(given);
  // Tests run in parallel, and do not look at the figures.
  if (process.env.SLUICE_BENCH_ALONE !== 'no') await lockMachine();
  // Read before this process is pinned: afterwards it may use fewer cores.
  const about = environment();
  const placement = place(allowedCores(), workers);
  const notes: string[] = [];
  if (which('taskset') === null) notes.push('nothing is pinned to cores: taskset is not installed (util-linux)');
  // The load's threads belong to this process.
  else if (!pinSelf(placement.load)) notes.push(`the load could not be pinned to the cores ${placement.load}`);
  const progress = new Progress(process.stderr);
  const interrupt = untilInterrupted(() =>
    progress.say('ending: what has been measured is kept; Ctrl-C again ends at once'),
  );
  const processes = new Processes(firstPort);
  try {
    const { runLoad } = await import('../load/run.js');
    const saved = (result: HarnessResult): void => {
      const before = directory.problem;
      if (!directory.save(result) && before === null)
        progress.say(`${directory.file} cannot be written: ${directory.problem}; it goes on, and tries again`);
    };
    const { signal } = interrupt;
    const result = await work({
      workers,
      io,
      placement,
      environment: about,
      processes,
      runLoad,
      progress,
      signal,
      notes,
      saved,
    }).catch((error: unknown) => {
      if (signal.aborted) return null;
      throw error;
    });
    if (result === null) {
      printError('sluice bench: ended before anything was measured');
      return INTERRUPTED;
    }
    progress.end();
    const delivered = deliver(directory, result);
    if (!delivered) return EXIT_FAILURE;
    return result.interrupted ? INTERRUPTED : judge(result);
  } finally {
    progress.end();
    interrupt.done();
    processes.close();
  }
}

/** A failed subject makes the run fail. A subject that is not installed does not, as long as any other was measured. */
function codeOf({ scenarios }: HarnessResult): number {
  const all = scenarios.flatMap(({ subjects }) => subjects);
  if (all.some(({ failed }) => failed !== null)) return EXIT_FAILURE;
  return all.some(({ samples, curve }) => samples.length > 0 || curve.length > 0) ? 0 : EXIT_FAILURE;
}
