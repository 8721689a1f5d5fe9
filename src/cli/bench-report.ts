// `sluice bench report`: writes the report for people from a run's raw figures.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readResult, resultPath } from '../harness/result-file.js';
import { writeReport } from '../report/write.js';
import type { Command } from './usage.js';
import { parseArguments, print, UsageError } from './usage.js';

export const benchReportCommand: Command = {
  help: `Usage: sluice bench report RESULT [--out DIRECTORY] [--force]

Writes reports of what \`sluice bench matrix\` has measured: a self-contained page (report.html), a table (report.md),
percentiles of each subject (.hgrm) and the latencies of all intervals (latency.hlog, for HdrHistogram's tools). RESULT
is the result.json, or the directory with it.

Options:
      --out DIRECTORY  where the reports go (default: beside the result)
      --force          overwrite an existing report
  -h, --help           this text

Examples:
  sluice bench report results
  sluice bench report result.json --out public`,
  async run(args) {
    const options = { out: { type: 'string' }, force: { type: 'boolean' } } as const;
    const { values, positionals } = parseArguments(args, options, 1);
    const [named] = positionals;
    if (named === undefined) throw new UsageError('which result? name the result.json, or the directory with it');
    const path = resultPath(named);
    const directory = typeof values.out === 'string' ? values.out : dirname(path);
    const report = join(directory, 'report.html');
    if (values.force !== true && existsSync(report))
      throw new UsageError(`${report} exists; add --force to overwrite it, or --out to write elsewhere`);
    const written = writeReport(readResult(path), directory);
    print(written.join('\n'));
    return 0;
  },
};
