// `sluice histograms`: exports a running proxy's latencies in the formats of other tools.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseDuration, parseHostPort, ValueError } from '../config/values.js';
import type { AdminAddress } from '../histograms/admin-source.js';
import type { NamedRecording, Recording } from '../histograms/recording.js';
import type { Rendering } from '../histograms/rendering.js';
import { FORMATS, renderings } from '../histograms/renderings.js';
import { otlpUrl } from '../otlp/target.js';
import { follow, type HistogramsRequest, selected } from './histograms-follow.js';
import { type Output, OutputError, outputFile, standardOutput } from './output-file.js';
import type { Arguments, Command, ListedCommand } from './usage.js';
import { EXIT_FAILURE, messageOf, parseArguments, printError, summaries, UsageError } from './usage.js';

const commands: readonly ListedCommand[] = [
  {
    name: 'merge',
    summary: 'add up logs, for example of many sidecars',
    load: async () => (await import('./histograms-merge.js')).histogramsMergeCommand,
  },
  {
    name: 'plot',
    summary: 'draw latency by percentile, from .hgrm files and logs',
    load: async () => (await import('./histograms-plot.js')).histogramsPlotCommand,
  },
];

const DEFAULT_FROM = '127.0.0.1:4191';

export const histogramsCommand: Command = {
  help: `Usage: sluice histograms [--from HOST:PORT] [--format FORMAT] [--interval TIME] [--out FILE] [ID…]
       sluice histograms COMMAND [OPTIONS]

Shows the histograms of a running proxy: latencies of services, by route class and outcome, and of endpoints, and times
of its listeners and workers. Without ID it shows all of them. * in an ID matches anything.

Commands:
${summaries(commands)}

Options:
      --from HOST:PORT   the admin port (default ${DEFAULT_FROM})
      --format FORMAT    table       for people (default)
                         hgrm        percentiles for HdrHistogram's plotters, times in ms: one ID, or --out DIRECTORY/
                         log         HdrHistogram's log, V2: can be added up, and read by HdrHistogram's tools
                         json, csv   for programs; values in the histogram's unit
                         prometheus  text with classic buckets
                         otlp        exponential histograms, to the collector at --out http://HOST:4318
      --interval TIME    what was recorded in each interval, until Ctrl-C, instead of totals since the proxy's start
      --count N          stop after this many intervals
      --out FILE         write to FILE instead of standard output
      --force            overwrite an existing file
  -h, --help             this text

Examples:
  sluice histograms
  sluice histograms 'route.web.*'
  sluice histograms --format hgrm --out web.hgrm service.web.response_latency_us
  sluice histograms --format log --interval 10s --out web.hlog 'service.*'
  sluice histograms --format otlp --interval 30s --out http://collector:4318

Exit codes: 0 done, 1 failed, 2 wrong usage.`,
  commands,
  takesArguments: true,
  async run(args) {
    const asked = histogramsRequest(args);
    let output: Output = standardOutput;
    let rendering: Rendering;
    try {
      rendering = await renderings(asked.format, {
        columns: process.stdout.columns ?? Number.POSITIVE_INFINITY,
        delta: asked.intervalMs !== null,
        target: asked.out,
      });
      if (asked.format === 'hgrm' && asked.out?.endsWith('/')) return await hgrmFiles(asked, asked.out);
      if (asked.out !== null && asked.format !== 'otlp') output = outputFile(asked.out, asked.force);
    } catch (error) {
      if (!(error instanceof OutputError)) throw error;
      printError(`sluice histograms: ${error.message}`);
      return EXIT_FAILURE;
    }
    try {
      return await follow(asked, rendering, output);
    } finally {
      output.close();
    }
  },
};

function histogramsRequest(args: readonly string[]): HistogramsRequest {
  const text = { type: 'string' } as const;
  const options = {
    from: text,
    format: text,
    interval: text,
    count: text,
    out: text,
    force: { type: 'boolean' },
  } as const;
  const { values, positionals } = parseArguments(args, options, Number.POSITIVE_INFINITY);
  const format = FORMATS.find((known) => known === (values.format ?? 'table'));
  if (format === undefined)
    throw new UsageError(`--format: there is no ${JSON.stringify(values.format)}; there are ${FORMATS.join(', ')}`);
  const intervalMs = interval(values);
  if (values.count !== undefined && intervalMs === null) throw new UsageError('--count needs --interval');
  const count = values.count === undefined ? Number.POSITIVE_INFINITY : Number(values.count);
  if (!(count >= 1) || (Number.isFinite(count) && !Number.isInteger(count)))
    throw new UsageError(`--count: ${JSON.stringify(values.count)} is not a whole number from 1`);
  const out = typeof values.out === 'string' ? values.out : null;
  if (format === 'otlp' && out !== null) collector(out);
  if (format === 'otlp' && out === null) throw new UsageError('otlp goes to a collector: add --out http://HOST:4318');
  if (format !== 'otlp' && out !== null && /^https?:\/\//.test(out))
    throw new UsageError('--out: only --format otlp goes to a collector');
  if (intervalMs !== null && (format === 'hgrm' || format === 'prometheus'))
    throw new UsageError(
      format === 'hgrm'
        ? 'a .hgrm is one distribution, and has no intervals; --format log keeps them, and sluice histograms merge adds them up'
        : 'prometheus takes totals, and makes intervals of them itself; leave --interval out',
    );
  return { from: place(values), format, intervalMs, count, out, force: values.force === true, patterns: positionals };
}

/** Parses a collector's address. */
function collector(out: string): void {
  try {
    otlpUrl(out, 'metrics');
  } catch (error) {
    throw new UsageError(`--out: ${messageOf(error)}`);
  }
}

function place(values: Arguments['values']): AdminAddress {
  try {
    const { host, port } = parseHostPort(String(values.from ?? DEFAULT_FROM), DEFAULT_FROM);
    return { host: host === '' ? '127.0.0.1' : host, port };
  } catch (error) {
    if (error instanceof ValueError) throw new UsageError(`--from: ${error.message}`);
    throw error;
  }
}

function interval(values: Arguments['values']): number | null {
  if (values.interval === undefined) return null;
  try {
    return parseDuration(values.interval, { in: 'ms', step: 1, min: '100ms', max: '24h' });
  } catch (error) {
    if (error instanceof ValueError) throw new UsageError(`--interval: ${error.message}`);
    throw error;
  }
}

/** Writes one file per histogram. */
async function hgrmFiles(asked: HistogramsRequest, directory: string): Promise<number> {
  const { askAdmin } = await import('../histograms/admin-source.js');
  const { hgrmOf } = await import('../histograms/render.js');
  const found: Recording = selected(await askAdmin(asked.from), asked.patterns, true);
  if (found.histograms.length === 0) {
    printError('nothing has been recorded yet: no files are written');
    return 0;
  }
  try {
    mkdirSync(directory, { recursive: true });
  } catch (error) {
    throw new OutputError(`cannot make ${directory}: ${messageOf(error)}`);
  }
  for (const recorded of found.histograms) {
    const output = outputFile(join(directory, fileName(recorded)), asked.force);
    try {
      await output.write(hgrmOf(recorded));
    } finally {
      output.close();
    }
  }
  printError(`${found.histograms.length} files in ${directory}`);
  return 0;
}

const fileName = ({ id }: NamedRecording): string => `${id.replace(/[^A-Za-z0-9._-]+/g, '-')}.hgrm`;
