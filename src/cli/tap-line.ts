// A record of a tap as a line for people.
import { octets, paint, shown, span } from './shown.js';
import type { TapRecord } from './tap-options.js';

/** Characters of a path that are shown, unless all is asked for. */
const MAX_PATH_LENGTH = 120;

const text = (record: TapRecord, name: string): string => {
  const value = record[name];
  return typeof value === 'string' ? value : '';
};
const number = (record: TapRecord, name: string): number => {
  const value = record[name];
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
};

/** gRPC's codes that are failures of the service, as the metrics count them. */
const GRPC_FAILURES = new Set([2, 4, 7, 13, 14, 15]);

/** Whether a request came to a good end, as the metrics have it. */
export function succeeded(record: TapRecord): boolean {
  const status = number(record, 'status');
  if (record.unanswered === true || status >= 500 || status === 0) return false;
  return !GRPC_FAILURES.has(typeof record.grpcStatus === 'number' ? record.grpcStatus : 0);
}

export interface LineStyle {
  readonly wide: boolean;
  readonly colours: boolean;
}

/** One line; empty for what is no request and no connection. */
export function tapLine(record: TapRecord, style: LineStyle): string {
  const time = shown(text(record, 'time').slice(11, 23));
  if (record.message === 'request') return `${paint(time, 'dim', style.colours)} ${requestLine(record, style)}`;
  if (record.message === 'connection') return `${paint(time, 'dim', style.colours)} ${connectionLine(record, style)}`;
  return '';
}

function requestLine(record: TapRecord, { wide, colours }: LineStyle): string {
  const status = number(record, 'status');
  const good = succeeded(record);
  const colour = !good ? 'red' : status >= 400 ? 'yellow' : 'green';
  const grpc = typeof record.grpcStatus === 'number' ? ` grpc=${record.grpcStatus}` : '';
  const target = `${text(record, 'authority')}${text(record, 'path')}`;
  const parts = [
    paint(`${status}${grpc}`, colour, colours),
    shown(text(record, 'method'), 32),
    shown(target, wide ? undefined : MAX_PATH_LENGTH),
    latency(record),
    sides(record),
  ];
  if (text(record, 'reason') !== '') parts.push(paint(shown(text(record, 'reason')), 'red', colours));
  if (record.unanswered === true) parts.push(paint('unanswered', 'red', colours));
  if (wide) {
    parts.push(
      `in=${octets(number(record, 'received'))}`,
      `out=${octets(number(record, 'sent'))}`,
      `took=${span(number(record, 'durationMs'))}`,
      ...pairs(record, ['clientProtocol', 'endpointProtocol', 'attempts', 'listener', 'identity', 'rule']),
      ...pairs(record, ['userAgent', 'requestId', 'traceId', 'stream']),
    );
  }
  return parts.filter((part) => part !== '').join(' ');
}

function connectionLine(record: TapRecord, { wide, colours }: LineStyle): string {
  const closed = text(record, 'closed');
  const parts = [
    paint(shown(closed), closed === 'ok' || closed === 'drain' ? 'green' : 'red', colours),
    shown(text(record, 'clientProtocol')),
    `in=${octets(number(record, 'received'))}`,
    `out=${octets(number(record, 'sent'))}`,
    `took=${span(number(record, 'durationMs'))}`,
    sides(record),
  ];
  if (text(record, 'reason') !== '') parts.push(paint(shown(text(record, 'reason')), 'red', colours));
  if (wide) parts.push(...pairs(record, ['listener', 'identity', 'rule']));
  return parts.join(' ');
}

/** How long the response took to begin. */
function latency(record: TapRecord): string {
  return typeof record.responseMs === 'number' ? span(record.responseMs) : '-';
}

/** Who has asked whom. */
function sides(record: TapRecord): string {
  const service = shown(text(record, 'service'), 64);
  const endpoint = shown(text(record, 'endpoint'));
  return `${shown(text(record, 'client')) || '-'} -> ${service === '' ? '' : `${service} `}${endpoint || '-'}`;
}

function pairs(record: TapRecord, names: readonly string[]): string[] {
  return names.flatMap((name) => {
    const value = record[name];
    if (typeof value === 'number') return [`${name}=${value}`];
    return typeof value === 'string' && value !== '' ? [`${name}=${JSON.stringify(shown(value))}`] : [];
  });
}
