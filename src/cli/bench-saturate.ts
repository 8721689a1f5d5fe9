// `sluice bench saturate`: finds the highest rate at which latency stays under a limit.
import { parseChoice, parseDuration } from '../config/values.js';
import { runSaturation } from '../harness/saturate.js';
import {
  MEASURING_HELP,
  MEASURING_OPTIONS,
  type MeasuringOptions,
  measured,
  scenariosOf,
  secondsOf,
  subjectsOf,
} from './bench-options.js';
import { OptionReader } from './option-reader.js';
import type { Command } from './usage.js';
import { parseArguments, UsageError } from './usage.js';

const text = { type: 'string' } as const;
const OPTIONS = {
  ...MEASURING_OPTIONS,
  limit: text,
  percentile: text,
  from: text,
  most: text,
  precision: text,
} as const;

const SCENARIOS = ['h1'];
const MIN_RATE = 100;
const MAX_RATE = 10_000_000;
const COLD_S = 2;
const PERCENTILES = { 50: 'p50', 99: 'p99', 99.9: 'p999' } as const;

export const benchSaturateCommand: Command = {
  help: `Usage: sluice bench saturate [OPTIONS]

Searches for the highest rate at which a percentile of latency stays under a limit, and at most one request in a
thousand fails. The rate doubles until one of these fails, then the gap is halved. A rate fails if it does so twice in
three tries; the answer has held twice. Loads while others used the subject's cores are repeated.
Latency counts from the moment a request was due. The result has the curve of latency against rate.

Options:
      --limit TIME       highest latency (default 10ms)
      --percentile P     the percentile that must stay under it: 50, 99 or 99.9 (default 99)
      --from RATE        the first rate, requests a second (default a quarter of what goes through in a closed loop)
      --most RATE        the highest rate to try (default 1000000)
      --precision P      precision of the rate, in percent (default 5)
      --scenarios LIST   the work, by name (default ${SCENARIOS.join(',')}); its own rate does not count
      --subjects LIST    the proxies, by name (default all)
      --seconds S        seconds of each load (default 2)
${MEASURING_HELP}
  -h, --help             this text

\`direct\` among the subjects shows what the load and the server behind can do by themselves.

Examples:
  sluice bench saturate --subjects sluice-uring,nginx --limit 5ms
  sluice bench saturate --scenarios h2 --percentile 99.9 --from 20000

Exit codes: 0 measured, 1 a subject failed or nothing could be measured, 2 wrong usage, 130 ended by a signal.`,
  run(args) {
    const { values } = parseArguments(args, OPTIONS, 0);
    const given: MeasuringOptions = new OptionReader(values);
    const own = new OptionReader<keyof typeof OPTIONS>(values);
    const limitUs = own.parsed('limit', '10ms', (value) =>
      parseDuration(value, { in: 'us', step: 0, min: '10us', max: '60s' }),
    );
    const percentile = own.parsed('percentile', '99', (value) => parseChoice(value, ['50', '99', '99.9']));
    const most = own.integer('most', 1_000_000, MAX_RATE);
    const from = own.optional('from') === null ? null : own.integer('from', 1, MAX_RATE);
    if (from !== null && from > most) throw new UsageError(`--from: ${from} is above --most ${most}`);
    const precision = own.integer('precision', 5, 50) / 100;
    const seconds = secondsOf(given, 'seconds', '2');
    const options = {
      scenarios: scenariosOf(given, SCENARIOS),
      subjects: subjectsOf(given),
      seconds,
      coldSeconds: Math.min(seconds, COLD_S),
      search: { from, most, least: Math.min(MIN_RATE, from ?? MIN_RATE, most), precision },
      percentile: PERCENTILES[percentile],
      limitUs,
    };
    return measured(given, (setting) => runSaturation({ ...setting, ...options }));
  },
};
