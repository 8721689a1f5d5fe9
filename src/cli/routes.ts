// `sluice routes`: requests, success rate and latency per route.
import type { LiveRoute, LiveState } from '../live/state.js';
import { STATE_OPTIONS_HELP } from './fetch-state.js';
import { type StateView, showState } from './show-state.js';
import { type Column, milliseconds, percent, rps } from './tables.js';
import type { Command } from './usage.js';

interface Route extends LiveRoute {
  readonly service: string;
}

export function routesOf({ services }: LiveState): readonly Route[] {
  return services.flatMap(({ name, routes }) => routes.map((route) => ({ ...route, service: name })));
}

const columns: readonly Column<Route>[] = [
  { head: 'ROUTE', left: true, cell: ({ route }) => route },
  { head: 'SERVICE', left: true, cell: ({ service }) => service },
  { head: 'SUCCESS', cell: ({ success }) => percent(success) },
  { head: 'RPS', cell: ({ requests }) => rps(requests) },
  { head: 'LATENCY_P50', cell: ({ latency }) => milliseconds(latency?.p50) },
  { head: 'LATENCY_P95', cell: ({ latency }) => milliseconds(latency?.p95) },
  { head: 'LATENCY_P99', cell: ({ latency }) => milliseconds(latency?.p99) },
  { head: 'LATENCY_P999', wide: true, cell: ({ latency }) => milliseconds(latency?.p999) },
];

const view: StateView<Route> = {
  name: 'routes',
  columns,
  rows: (state, only) => routesOf(state).filter(({ service }) => only === null || service === only),
  none: 'no requests',
};

export const routesCommand: Command = {
  help: `Usage: sluice routes [SERVICE] [OPTIONS]

Shows responses a second, success and latency of each service by route class: read (GET, HEAD and OPTIONS), write (all
others) and grpc. Classes without any request are left out.

${STATE_OPTIONS_HELP}

Examples:
  sluice routes
  sluice routes web --window 10s

Exit codes: 0 shown, 1 nobody answers or there is no such service, 2 wrong usage.`,
  run: (args) => showState(view, args),
};
