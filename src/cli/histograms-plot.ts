// `sluice histograms plot`: plots latency by percentile.
import { basename } from 'node:path';
import { parseHgrm } from '../histograms/hgrm-file.js';
import { HistogramFileError, parseLog } from '../histograms/log-file.js';
import { mergedLogs } from '../histograms/merge.js';
import { readHistogramFile } from '../histograms/read-file.js';
import { isTime, secondsOf, unitNamed } from '../histograms/units.js';
import { seriesOf } from '../report/distribution.js';
import { type PercentileSeries, percentilePlot } from '../report/percentile-plot.js';
import { count, time } from '../report/scale.js';
import { escapeText, STYLE, type Svg } from '../report/svg.js';
import { selected } from './histograms-follow.js';
import { deliver } from './output-file.js';
import type { Command } from './usage.js';
import { parseArguments, UsageError } from './usage.js';

const UNITS = ['ns', 'us', 'ms', 's', 'none'];
/** More curves cannot be told apart. */
const MAX_FILES = 16;

export const histogramsPlotCommand: Command = {
  help: `Usage: sluice histograms plot [--out FILE.svg|FILE.html] [--title TEXT] [--unit UNIT] [--id ID] FILE…

Draws latency by percentile, on an axis on which each further nine takes the same width: a curve for each .hgrm, and for
each tag of each log.

Options:
      --out FILE    output file, .svg or .html (default: SVG on standard output)
      --title TEXT  title above the plot
      --unit UNIT   of values in .hgrm files (default ms) and in logs that do not say it: ns, us, ms, s, or none
      --id ID       only tags of logs that match; * matches anything, commas separate several
      --force       overwrite an existing file
  -h, --help        this text

Examples:
  sluice histograms plot --out latency.svg before.hgrm after.hgrm
  sluice histograms plot --out latency.html --id 'service.*' pod-1.hlog pod-2.hlog

Exit codes: 0 done, 1 a file can't be read, 2 wrong usage.`,
  async run(args) {
    const text = { type: 'string' } as const;
    const options = {
      out: text,
      title: text,
      unit: text,
      id: { ...text, multiple: true },
      force: { type: 'boolean' },
    } as const;
    const { values, positionals } = parseArguments(args, options, Number.POSITIVE_INFINITY);
    if (positionals.length === 0) throw new UsageError('which files? name .hgrm files or logs');
    const unit = unitNamed(String(values.unit ?? 'ms'));
    if (!UNITS.includes(unit))
      throw new UsageError(`--unit: there is no ${JSON.stringify(values.unit)}; there are ${UNITS.join(', ')}`);
    const out = typeof values.out === 'string' ? values.out : null;
    if (out !== null && !/\.(svg|html?)$/.test(out) && !out.startsWith('/dev/'))
      throw new UsageError('--out: the name must end in .svg or .html');
    const patterns = typeof values.id === 'string' ? values.id.split(',') : [];
    const curves = positionals.flatMap((file) =>
      curvesOf(file, values.unit === undefined ? null : unit, patterns, positionals.length > 1),
    );
    if (curves.length > MAX_FILES)
      throw new UsageError(`${curves.length} curves can't be told apart; pick up to ${MAX_FILES} with --id`);
    const title = typeof values.title === 'string' ? values.title : 'Latency by percentile';
    const svg = percentilePlot(curves, {
      title,
      value: unit === 'none' ? count : time,
      width: 760,
      height: 420,
    });
    const picture = out !== null && /\.html?$/.test(out) ? page(svg, title) : svg.toString();
    return await deliver('sluice histograms plot', picture, out, values.force === true);
  },
};

/** Converts times to µs. */
function curvesOf(
  file: string,
  saidUnit: string | null,
  patterns: readonly string[],
  several: boolean,
): PercentileSeries[] {
  const unit = saidUnit ?? 'ms';
  const { kind, text } = readHistogramFile(file);
  const micros = (of: string): number => (isTime(of) ? secondsOf(of) * 1e6 : 1);
  if (kind === 'hgrm') {
    const { points, count: total } = parseHgrm(text, file);
    const scale = micros(unit);
    return [
      { name: basename(file).replace(/\.hgrm$/, ''), count: total, points: points.map(([q, v]) => [q, v * scale]) },
    ];
  }
  const { recording } = mergedLogs([{ file, recordings: parseLog(text, file) }], saidUnit ?? '');
  return selected(recording, patterns, true).histograms.map((recorded) => {
    if (recorded.unit === '' && unit !== 'none')
      throw new HistogramFileError(`${file}: it does not say the unit of its values; add --unit`);
    if (unit !== 'none' && !isTime(recorded.unit))
      throw new HistogramFileError(
        `${file}: ${recorded.id} is not a duration; --id picks others, or --unit none draws numbers`,
      );
    const scale = micros(recorded.unit);
    const name = [several ? basename(file) : '', recorded.id].filter((part) => part !== '').join(' ');
    const series = seriesOf(name === '' ? basename(file) : name, recorded.histogram);
    return { ...series, points: series.points.map(([q, v]) => [q, v * scale] as const) };
  });
}

function page(svg: Svg, title: string): string {
  const shown = escapeText(title);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${shown}</title>
<style>:root { color-scheme: light dark } body { margin: 0 auto; max-width: 1000px; padding: 12px; background: #ffffff } svg { width: 100%; height: auto }
  @media screen and (prefers-color-scheme: dark) { body { background: #0d1117 } }${STYLE}</style>
</head>
<body>
<main>${svg.inline(title)}</main>
</body>
</html>
`;
}
