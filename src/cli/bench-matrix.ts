// `sluice bench matrix`: several proxies under the same load, in turns.
import { runMatrix } from '../harness/matrix.js';
import { DEFAULT_SCENARIOS, SCENARIOS } from '../harness/scenarios.js';
import { subjects } from '../harness/subjects/all.js';
import {
  MEASURING_HELP,
  MEASURING_OPTIONS,
  type MeasuringOptions,
  measured,
  roundsOf,
  scenariosOf,
  secondsOf,
  subjectsOf,
} from './bench-options.js';
import { OptionReader } from './option-reader.js';
import type { Command } from './usage.js';
import { parseArguments, print, UsageError } from './usage.js';

const OPTIONS = {
  ...MEASURING_OPTIONS,
  rounds: { type: 'string' },
  cold: { type: 'string' },
  reference: { type: 'string' },
  list: { type: 'boolean' },
} as const;

const ROUNDS = 5;
const NAME = 20;

/** Lists what can be measured here, and why the rest cannot. */
function list(given: MeasuringOptions): string {
  const scenarios = SCENARIOS.map(({ name, title }) => `  ${name.padEnd(NAME)} ${title}`);
  const present = subjects(given.optional('peers')).map((subject) => {
    const missing = subject.missing();
    return `  ${subject.name.padEnd(NAME)} ${missing === null ? (subject.version?.() ?? '') : `skipped: ${missing}`}`.trimEnd();
  });
  return ['Scenarios:', ...scenarios, '', 'Subjects:', ...present].join('\n');
}

export const benchMatrixCommand: Command = {
  help: `Usage: sluice bench matrix [OPTIONS]

Puts each subject (a proxy, or none at all) under the same load in turns, round by round. Reports CPU time, memory and
latency of each, and the ratios with their 95 % intervals. A subject has its own cores if there are enough. Its CPU time
is the kernel's accounting of all its processes. Subjects that are not installed are named and skipped. Ctrl-C keeps
what has been measured.

Options:
      --scenarios LIST   the work, by name (default ${DEFAULT_SCENARIOS.join(',')})
      --subjects LIST    the proxies, by name (default all)
      --rounds N         how often (default ${ROUNDS}); fewer than 5 allow no verdict
      --seconds S        seconds of each load (default 3)
      --cold S           seconds of the first load after a start (default 3)
      --reference NAME   the subject that the others' CPU time is compared with (default the first that has any)
${MEASURING_HELP}
      --list             print scenarios and subjects, and what is missing
  -h, --help             this text

The directory gets result.json (all figures), report.html, report.md and histograms. If Envoy is not on the PATH, the
variable ENVOY names its binary.

Examples:
  sluice bench matrix
  sluice bench matrix --scenarios h1,h2 --subjects sluice-uring,nginx,haproxy --rounds 7
  ENVOY=/opt/envoy/bin/envoy sluice bench matrix --subjects sluice-uring,envoy --out against-envoy

Exit codes: 0 measured, 1 a subject failed or nothing could be measured, 2 wrong usage, 130 ended by a signal.`,
  async run(args) {
    const { values } = parseArguments(args, OPTIONS, 0);
    const given: MeasuringOptions = new OptionReader(values);
    if (values.list === true) {
      print(list(given));
      return 0;
    }
    const wanted = subjectsOf(given);
    const reference = new OptionReader<'reference'>(values).optional('reference');
    if (reference !== null && !wanted.some(({ name }) => name === reference))
      throw new UsageError(
        `--reference: ${reference} is not among the subjects ${wanted.map(({ name }) => name).join(', ')}`,
      );
    const options = {
      reference,
      scenarios: scenariosOf(given, DEFAULT_SCENARIOS),
      subjects: wanted,
      rounds: roundsOf(given, ROUNDS),
      seconds: secondsOf(given, 'seconds', '3'),
      coldSeconds: secondsOf(given, 'cold', '3'),
    };
    return measured(given, (setting) => runMatrix({ ...setting, ...options }));
  },
};
