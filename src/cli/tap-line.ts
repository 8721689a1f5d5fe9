// Formats a tap record as a line for people.

import type { TapRecord } from './tap-options.js';
import { escapeForTerminal, formatBytes, formatDuration, paint } from './terminal-text.js';

/** Characters of a path that are shown, unless the output is wide. */
const MAX_PATH_LENGTH = 120;

const text = (record: TapRecord, name: string): string => {
  const value = record[name];
  return typeof value === 'string' ? value : '';
};
const number = (record: TapRecord, name: string): number => {
  const value = record[name];
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
};

/** gRPC status codes that count as failures of the service, as in the metrics. */
const GRPC_FAILURES = new Set([2, 4, 7, 13, 14, 15]);

/** Whether a request succeeded, as the metrics define it. */
export function succeeded(record: TapRecord): boolean {
  const status = number(record, 'status');
  if (record.unanswered === true || status >= 500 || status === 0) return false;
  return !GRPC_FAILURES.has(typeof record.grpcStatus === 'number' ? record.grpcStatus : 0);
}

export interface LineStyle {
  readonly wide: boolean;
  readonly colours: boolean;
}

/** One line; empty if the record is neither a request nor a connection. */
export function tapLine(record: TapRecord, style: LineStyle): string {
  const time = escapeForTerminal(text(record, 'time').slice(11, 23));
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
    escapeForTerminal(text(record, 'method'), 32),
    escapeForTerminal(target, wide ? undefined : MAX_PATH_LENGTH),
    latency(record),
    sides(record),
  ];
  if (text(record, 'reason') !== '') parts.push(paint(escapeForTerminal(text(record, 'reason')), 'red', colours));
  if (record.unanswered === true) parts.push(paint('unanswered', 'red', colours));
  if (wide) {
    parts.push(
      `in=${formatBytes(number(record, 'received'))}`,
      `out=${formatBytes(number(record, 'sent'))}`,
      `took=${formatDuration(number(record, 'durationMs'))}`,
      ...pairs(record, ['clientProtocol', 'endpointProtocol', 'attempts', 'listener', 'identity', 'rule']),
      ...pairs(record, ['userAgent', 'requestId', 'traceId', 'stream']),
    );
  }
  return parts.filter((part) => part !== '').join(' ');
}

function connectionLine(record: TapRecord, { wide, colours }: LineStyle): string {
  const closed = text(record, 'closed');
  const parts = [
    paint(escapeForTerminal(closed), closed === 'ok' || closed === 'drain' ? 'green' : 'red', colours),
    escapeForTerminal(text(record, 'clientProtocol')),
    `in=${formatBytes(number(record, 'received'))}`,
    `out=${formatBytes(number(record, 'sent'))}`,
    `took=${formatDuration(number(record, 'durationMs'))}`,
    sides(record),
  ];
  if (text(record, 'reason') !== '') parts.push(paint(escapeForTerminal(text(record, 'reason')), 'red', colours));
  if (wide) parts.push(...pairs(record, ['listener', 'identity', 'rule']));
  return parts.join(' ');
}

/** Time until the response began. */
function latency(record: TapRecord): string {
  return typeof record.responseMs === 'number' ? formatDuration(record.responseMs) : '-';
}

/** Client and server of the request. */
function sides(record: TapRecord): string {
  const service = escapeForTerminal(text(record, 'service'), 64);
  const endpoint = escapeForTerminal(text(record, 'endpoint'));
  return `${escapeForTerminal(text(record, 'client')) || '-'} -> ${service === '' ? '' : `${service} `}${endpoint || '-'}`;
}

function pairs(record: TapRecord, names: readonly string[]): string[] {
  return names.flatMap((name) => {
    const value = record[name];
    if (typeof value === 'number') return [`${name}=${value}`];
    return typeof value === 'string' && value !== '' ? [`${name}=${JSON.stringify(escapeForTerminal(value))}`] : [];
  });
}
