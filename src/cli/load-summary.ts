// Summarizes a load for people, in lines that fit into 40 columns.
import type { Histogram } from 'hdr-histogram-js';
import { statusName } from '../grpc/status.js';
import { formatBytes, formatCount, formatRate, formatTime } from '../load/amounts.js';
import { decode } from '../load/encode.js';
import type { LoadPlan } from '../load/plan.js';
import type { EncodedHistogram, LoadResult } from '../load/result.js';
import { escapeForTerminal } from './terminal-text.js';

/** Maximum share of unsent requests for a rate to count as reached. */
const UNSENT_SHARE = 0.01;

/** What each error means, and what to do. */
const MEANINGS: Readonly<Record<string, string>> = {
  refused: 'connections were refused',
  unreachable: 'the address cannot be reached',
  reset: 'connections or streams were reset',
  timeout: 'took too long (--timeout)',
  closed: 'ended before the answer did',
  protocol: 'what came was no answer',
  http1: 'the server answers in HTTP/1',
  http2: 'the server speaks HTTP/2 only',
  plain: 'the server does not speak TLS',
  'tls-only': 'it speaks TLS: write https://',
  certificate: 'not trusted: --ca or --insecure',
  name: 'its certificate has another name',
  'client-certificate': 'it wants another certificate: --cert',
  tls: 'TLS failed; it may want --cert',
  goaway: 'refused: GOAWAY, or REFUSED_STREAM',
  local: 'no more ports or files here',
  messages: 'calls of another number of messages',
  status: 'answers of 400 or above',
  'grpc-status': 'calls that were not OK',
};

export const meaningOf = (kind: string): string => MEANINGS[kind] ?? kind;

/** Whether the requested rate was missed. */
export const missedRate = ({ wantedRate, unsent, done }: LoadResult): boolean =>
  wantedRate !== null && unsent > UNSENT_SHARE * (done + unsent);

/** Maximum length of quoted unexpected data, so that the summary fits into 40 columns. */
const NARROW = 33;

/** The beginning of the unexpected data, as text. */
export const unexpectedText = (octets: string, most = Number.POSITIVE_INFINITY): string =>
  `"${escapeForTerminal(octets.replaceAll('\r', '\\r').replaceAll('\n', '\\n'), most)}"`;

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
    // With too few values, a percentile is just the maximum.
    if (encoded.count * (1 - percentile / 100) < 1 && percentile > 50) continue;
    rows.push(row(`p${percentile}`, formatTime(histogram.getValueAtPercentile(percentile))));
  }
  return [...rows, row('max', formatTime(histogram.getValueAtPercentile(100)))];
}

export function summaryOf(plan: LoadPlan, result: LoadResult): string {
  const { seconds, done, errors, wantedRate, unsent } = result;
  const lines: string[] = [];
  const cut = result.interrupted ? ', then it was stopped' : '';
  lines.push(seconds === 0 ? 'Stopped before it measured.' : `Measured ${seconds.toFixed(1)} s${cut}.`, '');
  const perSecond = seconds > 0 ? done / seconds : 0;
  const bulk = plan.protocol === 'tcp-bulk';
  lines.push(
    row(UNITS[plan.protocol], bulk ? formatBytes(done) : formatCount(done)),
    row('rate', bulk ? `${formatBytes(perSecond)}/s` : formatRate(perSecond)),
  );
  if (wantedRate !== null) lines.push(row('wanted', formatRate(wantedRate)));
  if (unsent > 0) lines.push(row('not sent', formatCount(unsent)));
  lines.push(row('read', `${formatBytes(result.bytesRead)}`), row('written', formatBytes(result.bytesWritten)));
  if (done > 0) {
    const cpu = (result.cpu.userUs + result.cpu.systemUs) / done;
    lines.push(row('own CPU', bulk ? `${formatTime(cpu * 1e9)} per GB` : `${formatTime(cpu)} each`));
  }
  lines.push(row('connections', formatCount(result.connectionsOpened)));
  const { pauses = 0 } = result;
  if (pauses > 0)
    lines.push(
      row('pauses', formatCount(pauses)),
      '    before connecting again, as',
      '    connections had served nothing',
    );
  const failed = Object.entries(errors);
  lines.push('', failed.length === 0 ? 'No errors.' : 'Errors:');
  const grpc = plan.protocol.startsWith('grpc');
  for (const [kind, count] of failed) {
    lines.push(row(kind, formatCount(count)), `    ${meaningOf(grpc && kind === 'status' ? 'grpc-status' : kind)}`);
    if (kind === 'protocol' && result.unexpected !== undefined)
      lines.push(`    ${unexpectedText(result.unexpected, NARROW)}`);
    if (kind === 'goaway' && result.goaway !== undefined) lines.push(`    GOAWAY was for ${result.goaway}`);
  }
  const fine = (status: string): boolean => (grpc ? status === '0' : status.startsWith('2'));
  if (!Object.keys(result.statuses).every(fine)) lines.push('', 'Answers:', ...statusRows(result.statuses, grpc));
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

const statusRows = (statuses: LoadResult['statuses'], grpc: boolean): string[] =>
  Object.entries(statuses).flatMap(([status, count]) => {
    const name = grpc ? statusName(Number(status)) : undefined;
    return [row(status, formatCount(count)), ...(name === undefined ? [] : [`    ${name}`])];
  });

/** Why there was no answer at all; undefined if the errors explain it. */
export function unansweredText({ done, errors, interrupted, unsent }: LoadResult): string | undefined {
  if (done > 0 || interrupted) return undefined;
  if (Object.keys(errors).length > 0) return 'nothing was answered; the errors say why';
  const asked = unsent > 0 ? 'no request could be sent' : 'no request was sent, or none was answered in the time';
  return `nothing was answered: ${asked}. The server may allow no streams (HTTP/2), or take longer than --duration`;
}

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
