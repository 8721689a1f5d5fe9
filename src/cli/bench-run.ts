// `sluice bench run`: puts load on servers and shows the result.

import { INTERRUPTED, untilInterrupted } from '../harness/interrupt.js';
import { native } from '../io/native.js';
import { formatClock, formatCount, formatRate, formatTime } from '../load/amounts.js';
import type { LoadPlan } from '../load/plan.js';
import type { LoadResult } from '../load/result.js';
import { type LoadProgress, runLoad, UnreachableError } from '../load/run.js';
import { LiveLine } from './live-line.js';
import { loadOptions, parseLoadOptions } from './load-options.js';
import { resolveTargets } from './load-targets.js';
import { checkOutput, OutputError, standardOutput, writeOutput } from './output-file.js';
import { type Arguments, type Command, EXIT_FAILURE, parseArguments, printError, UsageError } from './usage.js';

/** Exit code if the requested rate was not reached and nothing else went wrong. */
const EXIT_RATE_MISSED = 3;
const MAX_URLS = 64;
/** Descriptors that are not connections. */
const OTHER_FILES = 64;

const OUTPUTS = ['json', 'hgrm', 'log'] as const;
const FORMATS = ['text', 'json'];

const options = {
  ...loadOptions,
  json: { type: 'string' },
  hgrm: { type: 'string' },
  log: { type: 'string' },
  force: { type: 'boolean' },
  output: { type: 'string', short: 'o' },
} as const;

interface Output {
  readonly kind: (typeof OUTPUTS)[number];
  readonly file: string;
}

function outputsOf({ values }: Arguments): Output[] {
  const outputs: Output[] = [];
  for (const kind of OUTPUTS) {
    const file = values[kind];
    if (typeof file !== 'string') continue;
    if (file === '') throw new UsageError(`--${kind} needs the name of a file`);
    if (outputs.some((output) => output.file === file))
      throw new UsageError(`--${kind} ${file}: the file is named twice`);
    checkOutput(file, values.force === true);
    outputs.push({ kind, file });
  }
  return outputs;
}

function liveParts(progress: LoadProgress): string[] {
  const { phase, elapsedSeconds, totalSeconds, rate, p50, p99, errors } = progress;
  const left = formatClock(totalSeconds - elapsedSeconds);
  const parts = [phase === 'measuring' ? `${left} left` : `${phase}, ${left} left`, formatRate(rate)];
  if (phase === 'measuring') parts.push(`p99 ${formatTime(p99)}`, `p50 ${formatTime(p50)}`);
  parts.splice(2, 0, ...(errors > 0 ? [`${formatCount(errors)} errors`] : []));
  return parts;
}

/** Runs the load. The first signal (including SIGHUP) ends it early; what was measured until then is still reported. */
async function measured(plan: LoadPlan): Promise<LoadResult> {
  const line = new LiveLine();
  const stop = untilInterrupted(() => undefined);
  try {
    line.show([`connecting to ${plan.targets[0].authority}`]);
    return await runLoad(plan, (progress) => line.show(liveParts(progress)), stop.signal);
  } finally {
    line.clear();
    stop.done();
  }
}

/** If standard output fails, the result goes to standard error, so that it is not lost. */
async function printed(text: string): Promise<boolean> {
  try {
    await standardOutput.write(text);
    return true;
  } catch (error) {
    if (!(error instanceof OutputError)) throw error;
    printError(`sluice bench run: ${error.message}; here is what was to be written:\n${text.trimEnd()}`);
    return false;
  }
}

/** Throws an Error if this process may not open that many connections. */
function checkFiles(connections: number): void {
  const limit = native().raiseFileLimit();
  if (connections + OTHER_FILES <= limit) return;
  throw new Error(
    `--connections ${connections}: this process may have ${limit} files open; raise that (ulimit -n ${connections + OTHER_FILES}), or ask for ${Math.max(1, limit - OTHER_FILES)} connections at most`,
  );
}

function exitCodeOf(result: LoadResult, missed: boolean): number {
  if (result.interrupted) return INTERRUPTED;
  if (result.done === 0) return EXIT_FAILURE;
  return missed ? EXIT_RATE_MISSED : 0;
}

async function run(args: readonly string[]): Promise<number> {
  const parsed = parseArguments(args, options, MAX_URLS);
  const asked = parseLoadOptions(parsed);
  const format = parsed.values.output ?? 'text';
  if (typeof format !== 'string' || !FORMATS.includes(format))
    throw new UsageError(`--output ${String(format)}: write one of ${FORMATS.join(', ')}`);
  const outputs = outputsOf(parsed);
  checkFiles(asked.plan.connections);
  const plan: LoadPlan = { ...asked.plan, targets: await resolveTargets(asked.targets, asked.weights) };
  let result: LoadResult;
  try {
    result = await measured(plan);
  } catch (error) {
    if (!(error instanceof UnreachableError)) throw error;
    const { meaningOf, unexpectedText } = await import('./load-summary.js');
    const hints = Object.keys(error.errors).map((kind) => `\n  ${kind}: ${meaningOf(kind)}`);
    if (error.unexpected !== undefined) hints.push(`\n  what came begins with ${unexpectedText(error.unexpected)}`);
    if (error.goaway !== undefined) hints.push(`\n  GOAWAY was for ${error.goaway}`);
    const where = asked.targets.map(({ url, host }, i) =>
      plan.targets[i].address === host ? url : `${url} (${plan.targets[i].address})`,
    );
    throw new Error(`${where.join(' ')}: ${error.message}${hints.join('')}`);
  }
  const { jsonOf, hgrmOf, logOf } = await import('./load-files.js');
  const { summaryOf, missedRate, missedRateText, unansweredText } = await import('./load-summary.js');
  const missed = missedRate(result) && !result.interrupted;
  const shown = await printed(format === 'json' ? jsonOf(plan, result) : `${summaryOf(plan, result)}\n`);
  if (missed) printError(`\n${missedRateText(result)}`);
  const unanswered = unansweredText(result);
  if (unanswered !== undefined) printError(`sluice bench run: ${unanswered}`);
  const text = { json: () => jsonOf(plan, result), hgrm: () => hgrmOf(result), log: () => logOf(result) };
  const written = outputs.map(({ kind, file }) => writeOutput(file, text[kind]()));
  return shown && !written.includes(false) ? exitCodeOf(result, missed) : EXIT_FAILURE;
}

export const benchRunCommand: Command = {
  help: `Loads a server, and says how fast it answers and how much it can handle.

Usage: sluice bench run [OPTIONS] URL...

  sluice bench run http://127.0.0.1:8080/
  sluice bench run --rate 20k --duration 30s --json out.json http://shop.local/
  sluice bench run --http2 -c 10 --streams 32 https://shop.local/
  sluice bench run --rate 5k grpc://shop.local:8080/shop.Carts/Get

URLs begin with http, https, grpc, grpcs, ws, wss, tcp or tls and ://.

When requests are sent:
      (nothing)           each connection sends its next request when the answer has arrived
      --think TIME        waits this long before the next request
  -r, --rate RATE         requests a second, such as 500, 20k or 1.5M, at even distances,
                          regardless of other requests. Latency counts from the moment a
                          request was due
      --poisson           at random distances, like many independent clients
      --seed NUMBER       of these distances (default 1)
      --steps RATE:TIME,… one rate after the other, such as 1k:10s,5k:10s
  -d, --duration TIME     how long to measure (default 10s)
      --warm-up TIME      load before that, not measured (default 1s)

What is sent:
  -c, --connections N     connections of all threads together (default 64)
  -t, --threads N         threads (default 1)
  -X, --method METHOD     method (default GET, or POST with a body)
  -H, --header FIELD      NAME: VALUE; may be given several times
      --body SIZE         size of a body or a message, such as 100 or 64KiB
      --body-file FILE    a file with the body, or with an encoded gRPC message
      --no-keep-alive     a new connection for each request
      --weights N,N,…     one for each URL: its share of the requests
      --timeout TIME      abandon a request after this time (default 10s)
      --http2             HTTP/2 for http:// and https:// URLs
      --streams N         requests at once on a connection of HTTP/2 or gRPC (default 1)
      --bulk              tcp://: send as much as possible; with --body 0 only read
      --call KIND         grpc://: unary (default); client: several messages, one answer;
                          server: one message, several answers; bidi: an answer to each
      --call-messages N   messages of such a call (default 10; server: any number)
      --messages          grpc://: messages in both directions on calls that stay open
      --ca FILE           CA certificates to trust (default: the system's)
      --insecure          accept any certificate
      --cert FILE         a client certificate, with
      --key FILE          its key
      --server-name NAME  the name in the server's certificate (default: the host in the URL)
      --io WAY            epoll (auto) or uring

Results:
  -o, --output FORMAT     text or json (default text)
      --json FILE         everything, histograms included
      --hgrm FILE         latency percentiles, for HdrHistogram's plotter
      --log FILE          latencies of each second, for HdrHistogram's tools
      --force             overwrite these files

Ctrl-C ends it early and prints what has been measured.

Exit codes: 0 done; 1 nothing was answered, or a file could not be written; 2 wrong usage;
3 the rate could not be reached: more than 1 % of the requests due were not sent; 130 stopped.`,
  run,
};
