// What came of a load, for people: lines that fit in 40 columns.
import type { Histogram } from 'hdr-histogram-js';
import { formatBytes, formatCount, formatRate, formatTime } from '../load/amounts.js';
import { decode } from '../load/encode.js';
import type { LoadPlan } from '../load/plan.js';
import type { EncodedHistogram, LoadResult } from '../load/result.js';

/** Share of the requests that may go unsent where a rate counts as reached. */
const UNSENT_SHARE = 0.01;

/** What errors mean, and what may be done. */
const MEANINGS: Readonly<Record<string, string>> = {
  refused: 'connections were refused',
  unreachable: 'the address cannot be reached',
  reset: 'connections were reset',
  timeout: 'took too long (--timeout)',
  closed: 'ended before the answer did',
  protocol: 'what came was no answer',
  http1: 'the server answers in HTTP/1',
  http2: 'the server speaks HTTP/2 only',
  plain: 'the server does not speak TLS',
  'tls-only': 'it speaks TLS: write https://',
  certificate: 'not trusted: --ca or --insecure',
  tls: 'TLS handshakes failed',
  goaway: 'it would take no more requests',
  local: 'no more ports or files here',
  messages: 'calls of another number of messages',
  status: 'answers of 400 or above',
};

export const meaningOf = (kind: string): string => MEANINGS[kind] ?? kind;

/** Whether a rate was asked for that could not be had. */
export const missedRate = ({ wantedRate, unsent, done }: LoadResult): boolean =>
  wantedRate !== null && unsent > UNSENT_SHARE * (done + unsent);

const UNITS: Readonly<Record<LoadPlan['protocol'], string>> = {
  http1: 'requests',
  http2: 'requests',
  grpc: 'calls',
  'grpc-stream': 'messages',
  'grpc-server': 'calls',
  'grpc-client': 'calls',
  'grpc-bidi': 'calls',
  tcp: 'round trips',
  'tcp-bulk': 'octets',
  connect: 'connections',
  websocket: 'messages',
};

const PERCENTILES = [50, 75, 90, 99, 99.9, 99.99];

const row = (name: string, value: string): string => `  ${name.padEnd(12)} ${value}`;

function latencyRows(encoded: EncodedHistogram): string[] {
  const histogram: Histogram = decode(encoded);
  const rows = [row('mean', formatTime(encoded.sum / encoded.count))];
  for (const percentile of PERCENTILES) {
    // One of fewer values than it takes says no more than the maximum.
    if (encoded.count * (1 - percentile / 100) < 1 && percentile > 50) continue;
    rows.push(row(`p${percentile}`, formatTime(histogram.getValueAtPercentile(percentile))));
  }
  return [...rows, row('max', formatTime(histogram.maxValue))];
}

export function summaryOf(plan: LoadPlan, result: LoadResult): string {
  const { seconds, done, errors, wantedRate, unsent } = result;
  const lines: string[] = [];
  const cut = result.interrupted ? ', then it was stopped' : '';
  lines.push(seconds === 0 ? 'Stopped before it measured.' : `Measured ${seconds.toFixed(1)} s${cut}.`, '');
  const perSecond = seconds > 0 ? done / seconds : 0;
  lines.push(row(UNITS[plan.protocol], formatCount(done)), row('rate', formatRate(perSecond)));
  if (wantedRate !== null) lines.push(row('wanted', formatRate(wantedRate)));
  if (unsent > 0) lines.push(row('not sent', formatCount(unsent)));
  lines.push(row('read', `${formatBytes(result.bytesRead)}`), row('written', formatBytes(result.bytesWritten)));
  if (done > 0) {
    const cpu = (result.cpu.userUs + result.cpu.systemUs) / done;
    lines.push(row('own CPU', `${formatTime(cpu)} each`));
  }
  lines.push(row('connections', formatCount(result.connectionsOpened)));
  const failed = Object.entries(errors);
  lines.push('', failed.length === 0 ? 'No errors.' : 'Errors:');
  for (const [kind, count] of failed) lines.push(row(kind, formatCount(count)), `    ${meaningOf(kind)}`);
  const odd = Object.entries(result.statuses).filter(([status]) => !status.startsWith('2'));
  if (odd.length > 0) lines.push('', 'Answers:', ...statusRows(result.statuses));
  const what = result.messages === undefined ? 'requests' : 'calls';
  if (result.latency.count > 0)
    lines.push(
      '',
      wantedRate === null
        ? what === 'calls'
          ? 'Latency of calls:'
          : 'Latency:'
        : `Latency, from when ${what} were due:`,
      ...latencyRows(result.latency),
    );
  if (wantedRate !== null && result.service.count > 0)
    lines.push('', 'From when they were sent:', ...latencyRows(result.service));
  lines.push(...messageRows(plan, result, seconds));
  return lines.join('\n');
}

function messageRows({ protocol }: LoadPlan, { messages }: LoadResult, seconds: number): string[] {
  if (messages === undefined) return [];
  const { sent, received, latency } = messages;
  const rate = (count: number): string =>
    `${formatCount(count)}${seconds > 0 ? `, ${formatRate(count / seconds)}` : ''}`;
  const lines = ['', 'Messages:', row('sent', rate(sent)), row('received', rate(received))];
  if (latency.count === 0) return lines;
  const what = protocol === 'grpc-bidi' ? 'From a message to its answer:' : 'From one message to the next:';
  return [...lines, '', what, ...latencyRows(latency)];
}

const statusRows = (statuses: LoadResult['statuses']): string[] =>
  Object.entries(statuses).map(([status, count]) => row(status, formatCount(count)));

/** Why the rate was not reached. */
export function missedRateText({ wantedRate, unsent, done, seconds }: LoadResult): string {
  return [
    `The rate was not reached: ${formatRate(done / seconds)} of ${formatRate(wantedRate ?? 0)}.`,
    `${formatCount(unsent)} requests were due and not sent.`,
    'Latencies are of those that were sent.',
    'More connections (-c) or threads (-t) help',
    'if it is not the server.',
  ].join('\n');
}
