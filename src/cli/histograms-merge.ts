// `sluice histograms merge`: adds up the logs of many sidecars.
import { HistogramFileError, parseLog } from '../histograms/log-file.js';
import { mergedLogs } from '../histograms/merge.js';
import { readHistogramFile } from '../histograms/read-file.js';
import { renderings } from '../histograms/renderings.js';
import { unitNamed } from '../histograms/units.js';
import { selected } from './histograms-follow.js';
import { deliver } from './output-file.js';
import type { Command } from './usage.js';
import { parseArguments, printError, UsageError } from './usage.js';

const FORMATS = ['log', 'table', 'hgrm', 'json', 'csv', 'prometheus'] as const;
const UNITS = ['ns', 'us', 'ms', 's'];

export const histogramsMergeCommand: Command = {
  help: `Usage: sluice histograms merge [--format FORMAT] [--id ID] [--unit UNIT] [--out FILE] LOG…

Adds up HdrHistogram logs (V2): all intervals of all files, by tag. Nothing is lost: the sum is what one histogram would
have recorded. .hgrm files contain only percentiles, which can't be added up, so keep logs.

Options:
      --format FORMAT  log (default), table, hgrm, json, csv or prometheus
      --id ID          only tags that match; * matches anything, commas separate several
      --unit UNIT      the unit of values whose file does not say it: ns, us, ms, s (default: unknown)
      --out FILE       write to FILE instead of standard output
      --force          overwrite an existing file
  -h, --help           this text

Examples:
  sluice histograms merge --out all.hlog pod-*.hlog
  sluice histograms merge --format table --id 'service.*' pod-*.hlog
  sluice histograms merge --format hgrm --id service.web.response_latency_us pod-*.hlog > web.hgrm

Exit codes: 0 done, 1 a file can't be read or added up, 2 wrong usage.`,
  async run(args) {
    const text = { type: 'string' } as const;
    const options = {
      format: text,
      id: { ...text, multiple: true },
      unit: text,
      out: text,
      force: { type: 'boolean' },
    } as const;
    const { values, positionals } = parseArguments(args, options, Number.POSITIVE_INFINITY);
    const format = FORMATS.find((known) => known === (values.format ?? 'log'));
    if (format === undefined)
      throw new UsageError(`--format: there is no ${JSON.stringify(values.format)}; there are ${FORMATS.join(', ')}`);
    if (positionals.length === 0) throw new UsageError('which logs? name files that --format log has written');
    const unit = values.unit === undefined ? '' : unitNamed(String(values.unit));
    if (unit !== '' && !UNITS.includes(unit))
      throw new UsageError(`--unit: there is no ${JSON.stringify(values.unit)}; there are ${UNITS.join(', ')}`);
    const contents = positionals.map((file) => {
      const read = readHistogramFile(file);
      if (read.kind === 'hgrm')
        throw new HistogramFileError(
          `${file}: a .hgrm has percentiles and no values, and those of several can't be added up; merge the logs that they came from`,
        );
      return { file, recordings: parseLog(read.text, file) };
    });
    const { recording, notes } = mergedLogs(contents, unit);
    for (const note of notes) printError(`sluice histograms merge: ${note}`);
    const patterns = typeof values.id === 'string' ? values.id.split(',') : [];
    const columns = process.stdout.columns ?? Number.POSITIVE_INFINITY;
    const rendering = await renderings(format, { columns, delta: false, target: null });
    return await deliver(
      'sluice histograms merge',
      await rendering.next(selected(recording, patterns, true)),
      values.out,
      values.force === true,
    );
  },
};
