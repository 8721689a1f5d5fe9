// The dashboard's tables and their columns.
import type {
  LiveClient,
  LiveEndpoint,
  LiveError,
  LiveListener,
  LiveRoute,
  LiveService,
  LiveState,
  LiveVerdict,
  LiveWorker,
} from '../../live/state.js';
import { byId } from './dom.js';
import { bytes, clock, count, ms, percent, rate } from './format.js';
import { type Column, LiveTable } from './live-table.js';

type Numeric<Row> = (
  head: string,
  by: (row: Row) => number | null | undefined,
  text?: (value: number) => string,
) => Column<Row>;

/** A column of numbers. A missing value is shown as a dash, and sorts below all others. */
const numeric =
  <Row>(): Numeric<Row> =>
  (head, by, text = rate) => ({
    head,
    number: true,
    by: (row) => by(row) ?? -1,
    text: (row) => {
      const value = by(row);
      return value === null || value === undefined ? '–' : text(value);
    },
  });

const perSecond = (value: number): string => `${bytes(value)}/s`;
const said = (rates: Readonly<Record<string, number>>): string =>
  Object.entries(rates)
    .map(([reason, value]) => `${reason} ${rate(value)}/s`)
    .join(', ');

function servicesTable(): LiveTable<LiveService> {
  const number = numeric<LiveService>();
  return new LiveTable<LiveService>(byId('services'), {
    caption: 'Requests to each service, as its clients see them: the last second',
    none: 'No services.',
    key: ({ name, direction }) => `${name} ${direction}`,
    columns: [
      { head: 'service', text: ({ name }) => name },
      {
        head: 'endpoints ready',
        number: true,
        text: ({ endpoints: { ready, of } }) => `${ready} of ${of}`,
        by: ({ endpoints: { ready, of } }) => (of === 0 ? 0 : ready / of),
        flag: ({ endpoints: { ready, of } }) => (of > 0 && ready === 0 ? 'none' : ready < of ? 'some out' : ''),
      },
      number('requests/s', ({ requests }) => requests),
      {
        ...number('success', ({ success }) => success, percent),
        flag: ({ success }) => (success !== null && success < 0.99 ? 'below 99 %' : ''),
      },
      number('p50 ms', ({ latency }) => latency?.p50, ms),
      number('p95 ms', ({ latency }) => latency?.p95, ms),
      number('p99 ms', ({ latency }) => latency?.p99, ms),
      number('p99.9 ms', ({ latency }) => latency?.p999, ms),
      number('in flight', ({ inFlight }) => inFlight, count),
      number('retries/s', ({ retries }) => retries),
      { head: 'answered by the proxy itself', text: ({ refused }) => said(refused) || '–' },
    ],
  });
}

type Route = LiveRoute & { readonly service: string };

function routesTable(): LiveTable<Route> {
  const number = numeric<Route>();
  return new LiveTable<Route>(byId('routes'), {
    caption: 'Responses by what was asked for: read is GET, HEAD and OPTIONS, write all other methods',
    none: 'No requests yet.',
    key: ({ service, route }) => `${service} ${route}`,
    columns: [
      { head: 'service', text: ({ service }) => service },
      { head: 'kind', text: ({ route }) => route },
      number('responses/s', ({ requests }) => requests),
      number('success', ({ success }) => success, percent),
      number('p50 ms', ({ latency }) => latency?.p50, ms),
      number('p95 ms', ({ latency }) => latency?.p95, ms),
      number('p99 ms', ({ latency }) => latency?.p99, ms),
      number('p99.9 ms', ({ latency }) => latency?.p999, ms),
    ],
  });
}

function endpointsTable(): LiveTable<LiveEndpoint> {
  const number = numeric<LiveEndpoint>();
  return new LiveTable<LiveEndpoint>(byId('endpoints'), {
    caption:
      'Requests to each endpoint, retries included; EWMA is what the balancer takes its latency for, with penalties for failures',
    none: 'No endpoints.',
    key: ({ service, address }) => `${service} ${address}`,
    columns: [
      { head: 'endpoint', text: ({ address }) => address },
      { head: 'service', text: ({ service }) => service },
      {
        head: 'state',
        text: ({ state }) => state,
        flag: ({ outAt, workers }) =>
          outAt === 0 ? '' : workers === 1 ? 'out' : `out at ${outAt} of ${workers} workers`,
      },
      number('requests/s', ({ requests }) => requests),
      number(
        'share',
        ({ share }) => share,
        (share) => percent(share, 1),
      ),
      number('success', ({ success }) => success, percent),
      number('EWMA ms', ({ ewma }) => ewma, ms),
      number('p50 ms', ({ latency }) => latency?.p50, ms),
      number('p95 ms', ({ latency }) => latency?.p95, ms),
      number('p99 ms', ({ latency }) => latency?.p99, ms),
      number('p99.9 ms', ({ latency }) => latency?.p999, ms),
      number('in flight', ({ inFlight }) => inFlight, count),
    ],
  });
}

const trust = (tls: string, identity: string, why: string): string => {
  if (tls === 'true') return identity === '' ? 'TLS' : 'mutual TLS';
  if (tls === 'opaque') return 'TLS, passed on as it is';
  return why === '' ? 'none' : `none: ${why.replaceAll('_', ' ')}`;
};

function poolsTable(): LiveTable<LiveEndpoint> {
  const number = numeric<LiveEndpoint>();
  return new LiveTable<LiveEndpoint>(byId('pools'), {
    caption: 'Connections to each endpoint: pools, bytes, and who the endpoint must show itself to be',
    none: 'No endpoints.',
    key: ({ service, address }) => `${service} ${address}`,
    columns: [
      { head: 'endpoint', text: ({ address }) => address },
      { head: 'service', text: ({ service }) => service },
      number('open', ({ pool }) => pool.open, count),
      number('new/s', ({ pool }) => pool.opened),
      number('idle', ({ pool }) => pool.idle, count),
      {
        head: 'HTTP/2 streams',
        number: true,
        text: ({ pool }) => (pool.http2 === 0 ? '–' : `${pool.streams} of ${pool.streamCapacity} on ${pool.http2}`),
        by: ({ pool }) => pool.streams,
      },
      { head: 'speaks', text: ({ protocols }) => protocols.join(', ') || '–' },
      {
        ...number('failed connects/s', ({ connectFailures }) => connectFailures),
        flag: ({ connectFailures }) => (connectFailures > 0 ? 'failing' : ''),
      },
      number('from', ({ read }) => read, perSecond),
      number('to', ({ written }) => written, perSecond),
      { head: 'TLS', text: ({ tls, identity, noTlsReason }) => trust(tls, identity, noTlsReason) },
      { head: 'identity', text: ({ identity }) => identity || '–' },
    ],
  });
}

function listenersTable(): LiveTable<LiveListener> {
  const number = numeric<LiveListener>();
  return new LiveTable<LiveListener>(byId('listeners'), {
    caption: 'Connections of clients, by listener',
    none: 'No listeners.',
    key: ({ name }) => name,
    columns: [
      { head: 'listener', text: ({ name }) => name },
      { head: 'direction', text: ({ direction }) => direction },
      number('open', ({ open }) => open, count),
      number('new/s', ({ opened }) => opened),
      number('requests/s', ({ requests }) => requests),
      number('from', ({ read }) => read, perSecond),
      number('to', ({ written }) => written, perSecond),
      { head: 'closed', text: ({ closed }) => said(closed) || '–' },
    ],
  });
}

/** Texts for the reasons of verdicts. */
const REASONS: Readonly<Record<string, string>> = {
  annotation: 'configured so',
  'default-port': 'a port that is known for it',
  hint: 'the listener says so',
  matched: 'its first bytes',
  'server-first': 'the server spoke first',
  learned: 'learned from those before',
  timeout: 'nobody spoke in time',
  eof: 'it ended before it was known',
  unlikely: 'its first bytes are nothing known',
  alpn: 'agreed on in TLS',
};

type Verdict = LiveVerdict & { readonly listener: string };

function verdictsTable(): LiveTable<Verdict> {
  const number = numeric<Verdict>();
  return new LiveTable<Verdict>(byId('verdicts'), {
    caption: 'What detection found, and why',
    none: 'No connections yet.',
    key: ({ listener, verdict, reason }) => `${listener} ${verdict} ${reason}`,
    columns: [
      { head: 'listener', text: ({ listener }) => listener },
      { head: 'taken for', text: ({ verdict }) => verdict },
      { head: 'because of', text: ({ reason }) => `${REASONS[reason] ?? reason} (${reason})` },
      number('new/s', ({ rate: value }) => value),
      number('since the start', ({ total }) => total, count),
    ],
  });
}

function clientsTable(): LiveTable<LiveClient> {
  const number = numeric<LiveClient>();
  return new LiveTable<LiveClient>(byId('clients'), {
    caption: 'Clients of listeners with TLS or of the mesh, by the identity in their certificate',
    none: 'No listener with TLS or of the mesh has had clients.',
    key: ({ listener, identity, tls, noTlsReason }) => [listener, identity, tls, noTlsReason].join(' '),
    columns: [
      { head: 'identity', text: ({ identity }) => identity || 'unknown' },
      { head: 'listener', text: ({ listener }) => listener },
      { head: 'TLS', text: ({ tls, identity, noTlsReason }) => trust(tls, identity, noTlsReason) },
      number('open', ({ open }) => open, count),
      number('new/s', ({ opened }) => opened),
      number('requests/s', ({ requests }) => requests),
      number('from', ({ read }) => read, perSecond),
      number('to', ({ written }) => written, perSecond),
    ],
  });
}

/** Services with opaque connections. */
const opaqueOf = ({ services }: LiveState): readonly LiveService[] =>
  services.filter(
    ({ requests, inFlight, connections, opened, read, written }) =>
      requests === 0 && inFlight === 0 && connections + opened + read + written > 0,
  );

function opaqueTable(): LiveTable<LiveService> {
  const number = numeric<LiveService>();
  return new LiveTable<LiveService>(byId('opaque'), {
    caption:
      'Services that have connections and no requests: bytes that are relayed as they are. Workers, below, say how much of it stays in the kernel',
    none: 'No such connections.',
    key: ({ name, direction }) => `${name} ${direction}`,
    columns: [
      { head: 'service', text: ({ name }) => name },
      number('connections', ({ connections }) => connections, count),
      number('new/s', ({ opened }) => opened),
      number('from endpoints', ({ read }) => read, perSecond),
      number('to endpoints', ({ written }) => written, perSecond),
    ],
  });
}

function workersTable(): LiveTable<LiveWorker> {
  const number = numeric<LiveWorker>();
  return new LiveTable<LiveWorker>(byId('workers'), {
    caption: 'Threads that carry traffic; a long turn of the loop is a delay for all that a worker serves',
    none: 'No workers.',
    key: ({ id }) => String(id).padStart(3, '0'),
    columns: [
      { head: 'worker', text: ({ id }) => String(id), by: ({ id }) => id },
      {
        head: 'state',
        text: ({ ready }) => (ready ? 'ready' : 'not ready'),
        flag: ({ ready }) => (ready ? '' : 'starting'),
      },
      number('clients', ({ connections }) => connections, count),
      number('sockets', ({ sockets }) => sockets, count),
      number(
        'CPU',
        ({ cpu }) => cpu,
        (share) => percent(share, 1),
      ),
      number('longest turn ms', ({ turnMax }) => turnMax, ms),
      number('turns p99 ms', ({ turnP99 }) => turnP99, ms),
      number('turns/s', ({ turns }) => turns),
      number('free buffers', ({ freeBuffers }) => freeBuffers, count),
      number('spliced', ({ spliced }) => spliced, perSecond),
      number('copied', ({ copied }) => copied, perSecond),
      number('handshakes/s', ({ handshakes }) => handshakes),
      {
        ...number('failed', ({ handshakeFailures }) => handshakeFailures),
        flag: ({ handshakeFailures }) => (handshakeFailures > 0 ? 'failing' : ''),
      },
    ],
  });
}

function errorsTable(): LiveTable<LiveError> {
  return new LiveTable<LiveError>(byId('errors'), {
    caption: 'The last refusals and endpoints that went out, newest first',
    none: 'None since the start.',
    ordered: true,
    key: ({ reason, listener, service, endpoint, rule, identity, at }) =>
      [reason, listener, service, endpoint, rule, identity, at].join(' '),
    columns: [
      { head: 'reason', text: ({ reason }) => reason },
      { head: 'at', text: ({ at }) => clock(at) },
      { head: 'times', number: true, text: ({ count: times }) => count(times) },
      { head: 'service', text: ({ service }) => service || '–' },
      { head: 'endpoint', text: ({ endpoint }) => endpoint || '–' },
      { head: 'listener', text: ({ listener }) => listener || '–' },
      { head: 'client', text: ({ client }) => client || '–' },
      { head: 'identity', text: ({ identity }) => identity || '–' },
      { head: 'rule', text: ({ rule }) => rule || '–' },
    ],
  });
}

/** Makes all tables. Returns a function that shows a state in them. */
export function tables(): (state: LiveState) => void {
  const services = servicesTable();
  const routes = routesTable();
  const endpoints = endpointsTable();
  const pools = poolsTable();
  const listeners = listenersTable();
  const verdicts = verdictsTable();
  const clients = clientsTable();
  const opaque = opaqueTable();
  const workers = workersTable();
  const errors = errorsTable();
  return (state) => {
    services.update(state.services, state.omitted.services);
    routes.update(state.services.flatMap(({ name, routes: all }) => all.map((route) => ({ ...route, service: name }))));
    endpoints.update(state.endpoints, state.omitted.endpoints);
    pools.update(state.endpoints, state.omitted.endpoints);
    listeners.update(state.listeners);
    verdicts.update(
      state.listeners.flatMap(({ name, verdicts: all }) => all.map((verdict) => ({ ...verdict, listener: name }))),
    );
    clients.update(state.clients, state.omitted.clients);
    opaque.update(opaqueOf(state));
    workers.update(state.workers);
    errors.update(state.errors);
  };
}
