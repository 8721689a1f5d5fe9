// `sluice stat`: requests, success rate and latency of each service of a running proxy.
import type { LiveService } from '../live/state.js';
import { STATE_OPTIONS_HELP } from './fetch-state.js';
import { type StateView, showState } from './show-state.js';
import { bytesPerSecond, type Column, milliseconds, percent, rps } from './tables.js';
import type { Command } from './usage.js';

const columns: readonly Column<LiveService>[] = [
  { head: 'NAME', left: true, cell: ({ name }) => name },
  { head: 'DIRECTION', left: true, wide: true, cell: ({ direction }) => direction },
  { head: 'READY', cell: ({ endpoints: { ready, of } }) => (of === 0 ? '-' : `${ready}/${of}`) },
  { head: 'SUCCESS', cell: ({ success }) => percent(success) },
  { head: 'RPS', cell: ({ requests }) => rps(requests) },
  { head: 'LATENCY_P50', cell: ({ latency }) => milliseconds(latency?.p50) },
  { head: 'LATENCY_P95', cell: ({ latency }) => milliseconds(latency?.p95) },
  { head: 'LATENCY_P99', cell: ({ latency }) => milliseconds(latency?.p99) },
  { head: 'LATENCY_P999', wide: true, cell: ({ latency }) => milliseconds(latency?.p999) },
  { head: 'TCP_CONN', cell: ({ connections }) => String(connections) },
  { head: 'READ_BYTES/SEC', wide: true, cell: ({ read }) => bytesPerSecond(read) },
  { head: 'WRITE_BYTES/SEC', wide: true, cell: ({ written }) => bytesPerSecond(written) },
];

const view: StateView<LiveService> = {
  name: 'stat',
  columns,
  rows: ({ services }, only) =>
    services.filter(({ name }) => only === null || name === only).toSorted((a, b) => (a.name < b.name ? -1 : 1)),
  none: 'no services',
};

export const statCommand: Command = {
  help: `Usage: sluice stat [SERVICE] [OPTIONS]

Shows for each service of a running proxy: its ready endpoints, the share of requests that succeeded, requests a second,
latencies to the first byte of the response, and open connections to endpoints. \`wide\` adds p99.9 and bytes.

${STATE_OPTIONS_HELP}

Examples:
  sluice stat
  sluice stat web --window 10s --output wide
  sluice stat --from 127.0.0.1:4192 --watch
  sluice stat -t start -o json | jq '.rows[] | {name, requests}'

Exit codes: 0 shown, 1 nobody answers or there is no such service, 2 wrong usage.`,
  run: (args) => showState(view, args),
};
