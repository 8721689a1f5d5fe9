// `sluice bench gate`: compares this build with the one that it is based on.
import { parseNumber } from '../config/values.js';
import { BuildError, buildBase, findBase } from '../harness/base-build.js';
import { type GateResult, gate } from '../harness/gate.js';
import { type MatrixOptions, runMatrix } from '../harness/matrix.js';
import { packageRoot } from '../harness/paths.js';
import type { HarnessResult } from '../harness/results.js';
import { sluice } from '../harness/subjects/sluice.js';
import {
  MEASURING_HELP,
  MEASURING_OPTIONS,
  type MeasuringOptions,
  measured,
  roundsOf,
  type Setting,
  scenariosOf,
  secondsOf,
} from './bench-options.js';
import { OptionReader } from './option-reader.js';
import { type Command, EXIT_FAILURE, parseArguments, print, printError, UsageError } from './usage.js';

const { subjects: _, peers: __, ...MEASURING } = MEASURING_OPTIONS;
const text = { type: 'string' } as const;
const OPTIONS = { ...MEASURING, rounds: text, base: text, limit: text, strict: { type: 'boolean' } } as const;

const SCENARIOS = ['h1', 'h2', 'tcp'];
const ROUNDS = 7;
const LIMIT = '1.03';
const MAX_LIMIT = 100;
const NOW = 'sluice';
const BEFORE = 'base';

function lineOf({ scenario, ratio, interval, rounds, verdict, reason }: GateResult): string {
  const begin = `${verdict.padEnd(8)} ${scenario}`;
  if (reason !== null) return `${begin}: ${reason}`;
  return `${begin}: ${ratio.toFixed(3)} × base (${interval.low.toFixed(3)} … ${interval.high.toFixed(3)}, ${rounds} rounds)`;
}

const CODES: Readonly<Record<GateResult['verdict'], number>> = {
  passed: 0,
  unclear: 0,
  dearer: EXIT_FAILURE,
  failed: EXIT_FAILURE,
};

const judge = (result: HarnessResult, limit: number): GateResult[] =>
  result.scenarios.map((scenario) => gate(scenario, { now: NOW, before: BEFORE }, limit));

interface Wanted {
  readonly base: string | null;
  readonly limit: number;
  readonly strict: boolean;
  readonly matrix: Pick<MatrixOptions, 'scenarios' | 'rounds' | 'seconds' | 'coldSeconds'>;
}

/** Measures both builds in turns. If the result is unclear, measures again with twice as many rounds. */
async function interleaved(
  setting: Setting,
  program: readonly string[],
  { matrix, limit }: Wanted,
): Promise<HarnessResult> {
  const now = sluice(NOW, 'auto');
  const before = sluice(BEFORE, 'auto', { program });
  const options = { ...setting, ...matrix, subjects: [now, before], reference: BEFORE };
  const first = await runMatrix(options);
  const unclear = judge(first, limit).filter(({ verdict }) => verdict === 'unclear');
  if (unclear.length === 0 || setting.signal.aborted) return first;
  const names = unclear.map(({ scenario }) => scenario);
  setting.progress.say(`unclear: ${names.join(', ')}; once more, with ${matrix.rounds * 2} rounds`);
  const again = await runMatrix({
    ...options,
    scenarios: matrix.scenarios.filter(({ name }) => names.includes(name)),
    rounds: matrix.rounds * 2,
  });
  const better = (name: string) => again.scenarios.find((one) => one.name === name);
  return { ...again, scenarios: first.scenarios.map((scenario) => better(scenario.name) ?? scenario) };
}

async function compareBuilds(setting: Setting, wanted: Wanted): Promise<HarnessResult> {
  const base = findBase(packageRoot, wanted.base);
  setting.progress.say(`base: ${base.commit.slice(0, 12)}, ${base.why}`);
  setting.progress.at('building the base');
  const older = await buildBase(packageRoot, base.commit, setting.signal);
  try {
    return await interleaved(setting, older.program, wanted);
  } finally {
    older.remove();
  }
}

export const benchGateCommand: Command = {
  help: `Usage: sluice bench gate [OPTIONS]

Checks whether this checkout's build costs more CPU time per unit of work than the commit that it comes from. It builds
that commit in a git worktree, and measures both in turns on this machine. \`make bench-gate\` builds this one first.

Options:
      --base COMMIT      a commit or branch; its merge base with this one is built (default: the main branch; on that
                         branch itself the previous commit, or this one if there are uncommitted changes)
      --limit RATIO      the highest allowed ratio of CPU time to the base's (default ${LIMIT})
      --strict           fails if the ratio is above the limit, even if it may be noise
      --scenarios LIST   the work, by name (default ${SCENARIOS.join(',')})
      --rounds N         how often (default ${ROUNDS}); unclear results run again with twice as many
      --seconds S        seconds of each load (default 2)
${MEASURING_HELP.replace(/^.*--peers.*\n/m, '')}
  -h, --help             this text

Examples:
  sluice bench gate
  sluice bench gate --base origin/release --scenarios h1 --limit 1.02

Exit codes: 0 not more expensive, or not clear; 1 more expensive, or one could not be measured; 2 wrong usage.`,
  async run(args) {
    const { values } = parseArguments(args, OPTIONS, 0);
    const given: MeasuringOptions = new OptionReader(values);
    const limit = new OptionReader<'limit'>(values).parsed('limit', LIMIT, (value) =>
      parseNumber(value.trim() === '' || Number.isNaN(Number(value)) ? value : Number(value), 1, MAX_LIMIT),
    );
    const base = new OptionReader<'base'>(values).optional('base');
    const strict = values.strict === true;
    const seconds = secondsOf(given, 'seconds', '2');
    const rounds = roundsOf(given, ROUNDS);
    const matrix = { scenarios: scenariosOf(given, SCENARIOS), rounds, seconds, coldSeconds: seconds };
    try {
      return await measured(
        given,
        (setting) => compareBuilds(setting, { base, limit, strict, matrix }),
        (result) => {
          const judged = judge(result, limit);
          for (const one of judged) print(lineOf(one));
          if (judged.some(({ verdict }) => verdict === 'unclear'))
            printError('unclear: the rounds spread too much for a verdict; use a calmer machine or more --rounds');
          return Math.max(
            0,
            ...judged.map(({ verdict, ratio }) =>
              strict && verdict === 'unclear' && ratio > limit ? EXIT_FAILURE : CODES[verdict],
            ),
          );
        },
      );
    } catch (error) {
      if (error instanceof BuildError) throw new UsageError(error.message);
      throw error;
    }
  },
};
