// Golden metrics as a table for a terminal.
import type { GoldenMetrics } from '../metrics/golden.js';

const SERVICE_HEAD = ['SERVICE', 'REQ/S', 'SUCCESS', 'P50 MS', 'P95 MS', 'P99 MS', 'CONN/S', 'FROM/S', 'TO/S'];
const LISTENER_HEAD = ['LISTENER', 'OPEN', 'CONN/S', 'VERDICTS'];
const ENDPOINT_HEAD = ['ENDPOINT', 'OPEN', 'REQ/S', 'EWMA MS'];

/** The lines of all tables. Bytes are those from and to endpoints. Endpoints are shown if a service has several. */
export function goldenTable({ services, listeners, endpoints }: GoldenMetrics): string[] {
  const serviceRows = services.map((service) => [
    service.name,
    fixed(service.requestsPerSecond),
    service.successRate === null ? '-' : `${(service.successRate * 100).toFixed(1)} %`,
    fixed(service.p50Ms),
    fixed(service.p95Ms),
    fixed(service.p99Ms),
    fixed(service.connectionsPerSecond),
    bytes(service.readBytesPerSecond),
    bytes(service.writeBytesPerSecond),
  ]);
  const listenerRows = listeners.map(({ name, open, connectionsPerSecond, verdicts }) => [
    name,
    String(open),
    fixed(connectionsPerSecond),
    Object.entries(verdicts)
      .map(([verdict, count]) => `${verdict} ${count}`)
      .join(', ') || '-',
  ]);
  const serviceOf = (name: string): string => name.slice(0, name.lastIndexOf(' '));
  const endpointRows = endpoints
    .filter(({ name }) => endpoints.filter((other) => serviceOf(other.name) === serviceOf(name)).length > 1)
    .map(({ name, open, requestsPerSecond, estimateMs }) => [
      name,
      String(open),
      fixed(requestsPerSecond),
      fixed(estimateMs),
    ]);
  return [
    ...aligned([SERVICE_HEAD, ...serviceRows]),
    '',
    ...(endpointRows.length === 0 ? [] : [...aligned([ENDPOINT_HEAD, ...endpointRows]), '']),
    ...aligned([LISTENER_HEAD, ...listenerRows]),
  ];
}

/** Aligns the first column, and a last one of text, to the left, and numbers to the right. */
function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) =>
    row
      .map((cell, column) =>
        column === 0 || rows[0][column] === 'VERDICTS' ? cell.padEnd(widths[column]) : cell.padStart(widths[column]),
      )
      .join('  ')
      .trimEnd(),
  );
}

function fixed(value: number | null): string {
  return value === null ? '-' : value.toFixed(1);
}

function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(unit === 0 ? 0 : 1)} ${units[unit]}`;
}
