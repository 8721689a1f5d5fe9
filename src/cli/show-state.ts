// What the commands that show a running proxy have in common: they ask, show, and with `--watch` begin again.
import { setTimeout as sleep } from 'node:timers/promises';
import { suggest } from '../config/suggest.js';
import type { LiveState } from '../live/state.js';
import { askState, STATE_OPTIONS, type StateOptions, stateOptions } from './ask-state.js';
import { type Column, table, terminalWidth } from './tables.js';
import { complain, FAILURE, messageOf, parseArguments, print, UsageError } from './usage.js';

/** Between two attempts to reach a proxy that is gone, ms. */
const AGAIN_MS = 1000;
/** From this on it is said that the answer takes a while, ms. */
const LONG_MS = 3000;
const CLEAR = '\u001b[H\u001b[2J';

export interface Shown<Row extends object> {
  /** As `sluice NAME` is called. */
  readonly name: string;
  readonly columns: readonly Column<Row>[];
  /** `only`: what the argument names, if there is one. */
  rows(state: LiveState, only: string | null): readonly Row[];
  /** What is said where there are none. */
  readonly none: string;
}

/** Runs such a command; returns its exit code. */
export async function showState<Row extends object>(shown: Shown<Row>, args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArguments(args, STATE_OPTIONS, 1);
  const options = stateOptions(values);
  const only = positionals[0] ?? null;
  if (only === '') throw new UsageError('the name is empty');
  if (options.watch) return watch(shown, options, only);
  const { stdout, stderr } = process;
  const patience = options.windowMs >= LONG_MS && stderr.isTTY === true && options.output !== 'json';
  if (patience) stderr.write(`watching ${options.from} for ${options.window} ...\r`);
  const state = await askState(options);
  if (patience) stderr.write('\u001b[K');
  const rows = shown.rows(state, only);
  if (only !== null && rows.length === 0) {
    const names = new Set(shown.rows(state, null).map((row) => shown.columns[0].cell(row)));
    complain(`sluice ${shown.name}: ${options.from} has no ${JSON.stringify(only)}; ${suggest(only, [...names])}`);
    return FAILURE;
  }
  if (options.output === 'json') print(JSON.stringify(answer(state, rows), null, 2));
  else print(linesOf(shown, options, rows, terminalWidth(stdout, process.env)).join('\n'));
  return 0;
}

const answer = <Row>({ at, seconds }: LiveState, rows: readonly Row[]): object => ({
  at: new Date(at).toISOString(),
  seconds,
  rows,
});

function linesOf<Row extends object>(
  { columns, none }: Shown<Row>,
  { output }: StateOptions,
  rows: readonly Row[],
  width: number,
): string[] {
  return table(columns, rows, { width, wide: output === 'wide', none });
}

/** Until Ctrl-C, or until nobody reads. A proxy that goes away may come back. */
async function watch<Row extends object>(
  shown: Shown<Row>,
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
    const asked = askState(options).catch((error: unknown) => messageOf(error));
    const state = await Promise.race([asked, end]);
    if (state === undefined) break;
    if (typeof state === 'string') {
      if (state !== failed) complain(`sluice ${shown.name}: ${state}; trying again`);
      failed = state;
      await Promise.race([sleep(AGAIN_MS), end]);
      continue;
    }
    failed = '';
    const rows = shown.rows(state, only);
    if (options.output === 'json') print(JSON.stringify(answer(state, rows)));
    else {
      const lines = linesOf(shown, options, rows, terminalWidth(stdout, process.env));
      const title = `${options.from}  ${new Date(state.at).toISOString().slice(11, 19)}Z  over ${options.window}`;
      const clear = stdout.isTTY === true && process.env.TERM !== 'dumb';
      stdout.write(`${clear ? CLEAR : ''}${[title, ...lines].join('\n')}\n${clear ? '' : '\n'}`);
    }
  }
  return 0;
}
