// `sluice endpoints`: the state of each endpoint of a running proxy, and its share of the traffic.
import type { LiveEndpoint } from '../live/state.js';
import { STATE_OPTIONS_HELP } from './fetch-state.js';
import { type StateView, showState } from './show-state.js';
import { bytesPerSecond, type Column, milliseconds, percent, rps } from './tables.js';
import type { Command } from './usage.js';

const columns: readonly Column<LiveEndpoint>[] = [
  { head: 'ADDRESS', left: true, cell: ({ address }) => address },
  { head: 'SERVICE', left: true, cell: ({ service }) => service },
  {
    head: 'STATE',
    left: true,
    cell: ({ state, outAt, workers }) => (outAt === 0 ? state : `${state} (${outAt}/${workers} out)`),
  },
  { head: 'SUCCESS', cell: ({ success }) => percent(success) },
  { head: 'RPS', cell: ({ requests }) => rps(requests) },
  { head: 'SHARE', cell: ({ share }) => (share === null ? '-' : `${(share * 100).toFixed(1)}%`) },
  { head: 'EWMA', cell: ({ ewma }) => milliseconds(ewma) },
  { head: 'P50', cell: ({ latency }) => milliseconds(latency?.p50) },
  { head: 'P95', wide: true, cell: ({ latency }) => milliseconds(latency?.p95) },
  { head: 'P99', cell: ({ latency }) => milliseconds(latency?.p99) },
  { head: 'P999', wide: true, cell: ({ latency }) => milliseconds(latency?.p999) },
  { head: 'TCP_CONN', cell: ({ pool }) => String(pool.open) },
  { head: 'IDLE', wide: true, cell: ({ pool }) => String(pool.idle) },
  {
    head: 'STREAMS',
    wide: true,
    cell: ({ pool }) => (pool.http2 === 0 ? '-' : `${pool.streams}/${pool.streamCapacity}`),
  },
  { head: 'SPEAKS', left: true, wide: true, cell: ({ protocols }) => protocols.join('+') || '-' },
  { head: 'READ_BYTES/SEC', wide: true, cell: ({ read }) => bytesPerSecond(read) },
  { head: 'WRITE_BYTES/SEC', wide: true, cell: ({ written }) => bytesPerSecond(written) },
  { head: 'IDENTITY', left: true, wide: true, cell: ({ identity }) => identity || '-' },
];

const view: StateView<LiveEndpoint> = {
  name: 'endpoints',
  columns,
  rows: ({ endpoints }, only) =>
    endpoints
      .filter(({ service }) => only === null || service === only)
      .toSorted((a, b) => (a.service === b.service ? order(a.address, b.address) : order(a.service, b.service))),
  none: 'no endpoints',
};

const order = (a: string, b: string): number => (a < b ? -1 : 1);

export const endpointsCommand: Command = {
  help: `Usage: sluice endpoints [SERVICE] [OPTIONS]

Shows each endpoint of a running proxy: whether the balancer considers it ready, its share of its service's traffic, the
balancer's estimate of its latency (EWMA) and the measured latencies. \`wide\` adds the pool, the versions of HTTP that it
is known to speak, bytes, and the identity that its certificate must have.

${STATE_OPTIONS_HELP}

Examples:
  sluice endpoints
  sluice endpoints web --window 10s --output wide
  sluice endpoints -o json | jq '.rows[] | select(.state != "ready") | .address'

Exit codes: 0 shown, 1 nobody answers or there is no such service, 2 wrong usage.`,
  run: (args) => showState(view, args),
};
