// `sluice edges`: who talks to whom through a running proxy, and whether both ends are authenticated.
import type { LiveClient, LiveEndpoint, LiveListener, LiveState } from '../live/state.js';
import { STATE_OPTIONS_HELP } from './fetch-state.js';
import { type StateView, showState } from './show-state.js';
import { bytesPerSecond, type Column, rps } from './tables.js';
import type { Command } from './usage.js';

interface Edge {
  readonly direction: string;
  /** Inbound: the client. Outbound: the listener or service. */
  readonly source: string;
  readonly destination: string;
  readonly clientIdentity: string;
  readonly serverIdentity: string;
  /** Whether both ends are authenticated, or why not. */
  readonly secured: boolean;
  readonly reason: string;
  readonly connections: number;
  readonly requests: number;
  readonly read: number;
  readonly written: number;
}

/** The part of an identity that people look for: `web.shop` of `web.shop.serviceaccount.identity…`, or the path of a SPIFFE ID. */
export function shortIdentity(identity: string): string {
  const spiffe = /^spiffe:\/\/[^/]+\/(.+)$/.exec(identity)?.[1];
  if (spiffe !== undefined) return spiffe.replace(/^ns\/([^/]+)\/sa\/([^/]+)$/, '$2.$1');
  return identity.replace(/\.serviceaccount\.identity\..*$/, '');
}

const inbound = (own: string, { direction, listener, identity, ...client }: LiveClient): Edge => ({
  direction,
  source: identity === '' ? 'unknown' : shortIdentity(identity),
  destination: listener,
  clientIdentity: identity,
  serverIdentity: client.tls === 'true' ? own : '',
  secured: client.tls === 'true' && identity !== '',
  reason: client.noTlsReason || (client.tls === 'true' && identity === '' ? 'no_client_certificate' : client.tls),
  connections: client.open,
  requests: client.requests,
  read: client.read,
  written: client.written,
});

const plain = ({ name, direction, noTlsReason, open, requests, read, written }: LiveListener): Edge => ({
  direction,
  source: 'unknown',
  destination: name,
  clientIdentity: '',
  serverIdentity: '',
  secured: false,
  reason: noTlsReason || 'no_tls',
  connections: open,
  requests,
  read,
  written,
});

function outbound(own: string, endpoints: readonly LiveEndpoint[]): Edge[] {
  const edges = new Map<string, Edge>();
  for (const { direction, service, identity, tls, noTlsReason, pool, ...endpoint } of endpoints) {
    const key = [service, identity, tls, noTlsReason].join('\n');
    const before = edges.get(key);
    edges.set(key, {
      direction,
      source: own === '' ? 'here' : shortIdentity(own),
      destination: service,
      clientIdentity: tls === 'true' ? own : '',
      serverIdentity: identity,
      secured: tls === 'true',
      reason: noTlsReason || (tls === 'true' ? '' : 'no_tls'),
      connections: (before?.connections ?? 0) + pool.open,
      requests: (before?.requests ?? 0) + endpoint.requests,
      read: (before?.read ?? 0) + endpoint.read,
      written: (before?.written ?? 0) + endpoint.written,
    });
  }
  return [...edges.values()];
}

export function edgesOf({ identity, clients, listeners, endpoints }: LiveState): readonly Edge[] {
  const known = new Set(clients.map(({ listener }) => listener));
  return [
    ...clients.map((client) => inbound(identity, client)),
    ...listeners.filter(({ name }) => !known.has(name)).map(plain),
    ...outbound(identity, endpoints),
  ];
}

const columns: readonly Column<Edge>[] = [
  { head: 'SRC', left: true, cell: ({ source }) => source },
  { head: 'DST', left: true, cell: ({ destination }) => destination },
  { head: 'DIRECTION', left: true, wide: true, cell: ({ direction }) => direction },
  { head: 'SECURED', left: true, cell: ({ secured, reason }) => (secured ? 'yes' : `no (${reason})`) },
  { head: 'RPS', cell: ({ requests }) => rps(requests) },
  { head: 'TCP_CONN', cell: ({ connections }) => String(connections) },
  { head: 'READ_BYTES/SEC', wide: true, cell: ({ read }) => bytesPerSecond(read) },
  { head: 'WRITE_BYTES/SEC', wide: true, cell: ({ written }) => bytesPerSecond(written) },
  { head: 'CLIENT_ID', left: true, wide: true, cell: ({ clientIdentity }) => clientIdentity || '-' },
  { head: 'SERVER_ID', left: true, wide: true, cell: ({ serverIdentity }) => serverIdentity || '-' },
];

const view: StateView<Edge> = {
  name: 'edges',
  columns,
  rows: (state, only) =>
    edgesOf(state).filter(({ source, destination }) => only === null || source === only || destination === only),
  none: 'no connections',
};

export const edgesCommand: Command = {
  help: `Usage: sluice edges [NAME] [OPTIONS]

Shows who speaks with whom through a running proxy: the identities of its listeners' clients and of its services'
endpoints. It also shows whether both ends have proved their identity by mutual TLS, and if not, why (as in Linkerd's
no_tls_reason). NAME selects edges with that end. \`wide\` adds complete identities and bytes.

${STATE_OPTIONS_HELP}

Examples:
  sluice edges
  sluice edges --output wide
  sluice edges -o json | jq '.rows[] | select(.secured | not)'

Exit codes: 0 shown, 1 nobody answers or there is no such end, 2 wrong usage.`,
  run: (args) => showState(view, args),
};
