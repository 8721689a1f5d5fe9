// Shared by the commands that show a running proxy: fetch the state, print it, and with `--watch` repeat.
import { setTimeout as sleep } from 'node:timers/promises';
import { suggest } from '../config/suggest.js';
import type { LiveState } from '../live/state.js';
import { fetchState, STATE_OPTIONS, type StateOptions, stateOptions } from './fetch-state.js';
import { type Column, table, terminalWidth } from './tables.js';
import { EXIT_FAILURE, messageOf, parseArguments, print, printError, UsageError } from './usage.js';

/** Interval between attempts to reach a proxy that is gone, ms. */
const RETRY_MS = 1000;
/** If the answer takes at least this long, a progress line is shown, ms. */
const PROGRESS_MS = 3000;
const CLEAR = '\u001b[H\u001b[2J';

export interface StateView<Row extends object> {
  /** NAME in `sluice NAME`. */
  readonly name: string;
  readonly columns: readonly Column<Row>[];
  /** `only`: the name in the argument, if there is one. */
  rows(state: LiveState, only: string | null): readonly Row[];
  /** Text to show if there are no rows. */
  readonly none: string;
}

/** Runs the command; returns its exit code. */
export async function showState<Row extends object>(view: StateView<Row>, args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArguments(args, STATE_OPTIONS, 1);
  const options = stateOptions(values);
  const only = positionals[0] ?? null;
  if (only === '') throw new UsageError('the name is empty');
  if (options.watch) return watch(view, options, only);
  const { stdout, stderr } = process;
  const showsProgress = options.windowMs >= PROGRESS_MS && stderr.isTTY === true && options.output !== 'json';
  if (showsProgress) stderr.write(`watching ${options.from} for ${options.window} ...\r`);
  const state = await fetchState(options);
  if (showsProgress) stderr.write('\u001b[K');
  const rows = view.rows(state, only);
  if (only !== null && rows.length === 0) {
    const names = new Set(view.rows(state, null).map((row) => view.columns[0].cell(row)));
    printError(`sluice ${view.name}: ${options.from} has no ${JSON.stringify(only)}; ${suggest(only, [...names])}`);
    return EXIT_FAILURE;
  }
  if (options.output === 'json') print(JSON.stringify(answer(state, rows), null, 2));
  else print(linesOf(view, options, rows, terminalWidth(stdout, process.env)).join('\n'));
  return 0;
}

const answer = <Row>({ at, seconds }: LiveState, rows: readonly Row[]): object => ({
  at: new Date(at).toISOString(),
  seconds,
  rows,
});

function linesOf<Row extends object>(
  { columns, none }: StateView<Row>,
  { output }: StateOptions,
  rows: readonly Row[],
  width: number,
): string[] {
  return table(columns, rows, { width, wide: output === 'wide', none });
}

/** Repeats until Ctrl-C, or until standard output is closed. A proxy that goes away may come back. */
async function watch<Row extends object>(
  view: StateView<Row>,
  options: StateOptions,
  only: string | null,
): Promise<number> {
  const { stdout } = process;
  let ended = false;
  const end = new Promise<void>((resolve) => {
    const stop = (): void => {
      ended = true;
      resolve();
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
    stdout.on('error', stop);
  });
  let failed = '';
  while (!ended) {
    const asked = fetchState(options).catch((error: unknown) => messageOf(error));
    const state = await Promise.race([asked, end]);
    if (state === undefined) break;
    if (typeof state === 'string') {
      if (state !== failed) printError(`sluice ${view.name}: ${state}; trying again`);
      failed = state;
      await Promise.race([sleep(RETRY_MS), end]);
      continue;
    }
    failed = '';
    const rows = view.rows(state, only);
    if (options.output === 'json') print(JSON.stringify(answer(state, rows)));
    else {
      const lines = linesOf(view, options, rows, terminalWidth(stdout, process.env));
      const title = `${options.from}  ${new Date(state.at).toISOString().slice(11, 19)}Z  over ${options.window}`;
      const clear = stdout.isTTY === true && process.env.TERM !== 'dumb';
      stdout.write(`${clear ? CLEAR : ''}${[title, ...lines].join('\n')}\n${clear ? '' : '\n'}`);
    }
  }
  return 0;
}
