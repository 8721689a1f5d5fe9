// `sluice bench compare`: what changed between two runs.
import { parseNumber, ValueError } from '../config/values.js';
import { type Change, type Comparison, compare } from '../harness/compare.js';
import { ResultFileError, readResult } from '../harness/result-file.js';
import { OptionReader } from './option-reader.js';
import type { Command } from './usage.js';
import { EXIT_FAILURE, parseArguments, print, printError, UsageError } from './usage.js';

const OPTIONS = {
  threshold: { type: 'string' },
  'relative-to': { type: 'string' },
  output: { type: 'string', short: 'o' },
  all: { type: 'boolean' },
} as const;

const THRESHOLD = '2';
const MAX_THRESHOLD = 1000;
const PERCENT = 100;

const figure = (value: number): string => (Math.abs(value) >= PERCENT ? value.toFixed(0) : value.toPrecision(3));
const percent = (ratio: number): string => {
  const change = (ratio - 1) * PERCENT;
  return `${change >= 0 ? '+' : '−'}${Math.abs(change).toFixed(1)} %`;
};

function changeLine(change: Change): string {
  const { verdict, scenario, subject, figure: of, unit, before, after, ratio, low, high } = change;
  const what = `${verdict.padEnd(7)} ${scenario} ${subject} ${of}`;
  const range = low === high ? '' : ` (${percent(low)} … ${percent(high)})`;
  return `${what}: ${figure(before)} → ${figure(after)} ${unit}, ${percent(ratio)}${range}`;
}

/** Changes come first. Noise is only counted, unless the command asks for all figures. */
export function comparisonText({ changes, notes }: Comparison, all: boolean): string {
  const order: readonly Change['verdict'][] = ['worse', 'better', 'unclear', 'noise'];
  const shown = order.flatMap((verdict) =>
    changes.filter((change) => change.verdict === verdict && (all || verdict !== 'noise')),
  );
  const count = (verdict: Change['verdict']): number => changes.filter((change) => change.verdict === verdict).length;
  const total = order.map((verdict) => `${count(verdict)} ${verdict}`).join(', ');
  const few =
    count('unclear') > 0
      ? ['unclear: fewer than five rounds, or a figure of one search or one start (memory up to 20 %)']
      : [];
  return [...shown.map(changeLine), total, ...few, ...notes.map((note) => `note: ${note}`)].join('\n');
}

function read(path: string): ReturnType<typeof readResult> {
  try {
    return readResult(path);
  } catch (error) {
    // Nothing can be compared. Exit code 1 means that something got worse.
    if (error instanceof ResultFileError) throw new UsageError(error.message);
    throw error;
  }
}

export const benchCompareCommand: Command = {
  help: `Usage: sluice bench compare BEFORE AFTER [OPTIONS]

Says what has changed between two runs of \`sluice bench matrix\`, and whether it is more than noise: the ratio of the
medians with its 95 % interval, by bootstrap over the rounds. A change counts if the interval is on one side of 1, the
change is above the threshold, and both runs have at least five rounds. Memory counts from 20 % on: all rounds of a run
are of one start. A run is named by its result.json, or by its directory.

Options:
      --threshold PERCENT   smaller changes are noise (default ${THRESHOLD})
      --relative-to NAME    compares each subject's cost relative to this one in the same rounds: for runs on
                            different days
      --all                 shows noise too
  -o, --output text|json    (default text)
  -h, --help                this text

Examples:
  sluice bench compare before after
  sluice bench compare monday.json friday.json --relative-to nginx --threshold 3

Exit codes: 0 nothing got worse, 1 something did, 2 the files can't be compared.`,
  run(args) {
    const { values, positionals } = parseArguments(args, OPTIONS, 2);
    const given = new OptionReader<keyof typeof OPTIONS>(values);
    const [before, after] = positionals;
    if (before === undefined || after === undefined)
      throw new UsageError('which runs? name two result.json files, or the directories with them');
    const output = given.text('output', 'text');
    if (output !== 'text' && output !== 'json')
      throw new UsageError(`--output: ${output} is not known; write text or json`);
    const threshold = given.parsed('threshold', THRESHOLD, (text) => {
      const value = Number(text.replace(/\s*%$/, ''));
      if (text.trim() === '' || Number.isNaN(value))
        throw new ValueError(`${JSON.stringify(text)} is not a percentage`);
      return parseNumber(value, 0, MAX_THRESHOLD) / PERCENT;
    });
    const [was, is] = [read(before), read(after)];
    const relativeTo = given.optional('relative-to');
    const names = new Set(
      [...was.scenarios, ...is.scenarios].flatMap(({ subjects }) => subjects.map(({ name }) => name)),
    );
    if (relativeTo !== null && !names.has(relativeTo))
      throw new UsageError(`--relative-to: neither run has ${relativeTo}; there are ${[...names].join(', ')}`);
    const comparison = compare(was, is, { threshold, relativeTo });
    print(output === 'json' ? JSON.stringify(comparison, null, 2) : comparisonText(comparison, given.flag('all')));
    if (comparison.changes.length === 0) {
      printError('sluice bench compare: the runs have no scenario and subject in common');
      return Promise.resolve(2);
    }
    return Promise.resolve(comparison.worse ? EXIT_FAILURE : 0);
  },
};
