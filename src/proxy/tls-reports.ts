// Outcomes of TLS handshakes, for metrics and log; and the TLS profile of each connection.
import type { TlsPeer } from '../io/native-tls.js';
import {
  LIMITS,
  SEEN,
  TLS_GROUPS,
  TLS_VERSIONS,
  tlsDoneField,
  tlsFailedField,
  W,
  WORKER_HISTOGRAMS,
  workerHistogram,
} from '../metrics/layout.js';
import { OFFER } from '../tls/alpn.js';
import { FAILURE } from '../tls/failures.js';
import type { TlsReports } from '../tls/sockets.js';
import type { TlsTargets, TlsTransport } from '../tls/transport.js';
import { PURPOSE } from './connect/dialer.js';
import { SERVICE_PROTOCOL } from './connect/protocols.js';
import type { Context } from './context.js';
import { tlsRefused } from './refusals.js';

const SERVER = 0;
const CLIENT = 1;
const LIMIT_HANDSHAKES = W.LIMIT + LIMITS.indexOf('tls-handshakes');
const LIMIT_TIME = W.LIMIT + LIMITS.indexOf('tls-handshake-time');
const LIMIT_TURN = W.LIMIT + LIMITS.indexOf('tls-handshakes-per-turn');
const DURATIONS = [
  workerHistogram(WORKER_HISTOGRAMS.indexOf('tls_accept_us')),
  workerHistogram(WORKER_HISTOGRAMS.indexOf('tls_dial_us')),
] as const;
/** Other names of groups, and of those in TLS_GROUPS, in lower case. */
const GROUPS: Readonly<Record<string, number>> = {
  ...Object.fromEntries(TLS_GROUPS.map((group, index) => [group.toLowerCase(), index])),
  secp256r1: TLS_GROUPS.indexOf('P-256'),
  prime256v1: TLS_GROUPS.indexOf('P-256'),
  secp384r1: TLS_GROUPS.indexOf('P-384'),
  secp521r1: TLS_GROUPS.indexOf('P-521'),
};

export class TlsStats implements TlsReports {
  constructor(private readonly context: Context) {}

  established(slot: number, server: boolean, peer: TlsPeer, ms: number): void {
    const { values, metrics, connections } = this.context;
    const role = server ? SERVER : CLIENT;
    const version = TLS_VERSIONS.indexOf(peer.version === 'TLSv1.2' ? '1.2' : '1.3');
    const group = GROUPS[peer.group.toLowerCase()] ?? TLS_GROUPS.indexOf('other');
    values[tlsDoneField(role, version, group)]++;
    if (peer.resumed) values[W.TLS_RESUMED + role]++;
    metrics.record(DURATIONS[role], ms * 1000);
    if (server) connections.identified(slot, SEEN.ENDED);
  }

  failed(slot: number, server: boolean, cause: number): void {
    const { values, connections, endpoints, refusals } = this.context;
    values[tlsFailedField(server ? SERVER : CLIENT, cause)]++;
    if (cause === FAILURE.TIMEOUT) values[LIMIT_TIME]++;
    if (cause === FAILURE.DISPLACED) values[LIMIT_HANDSHAKES]++;
    const endpoint = server ? -1 : connections.endpoint[slot];
    const service = endpoint < 0 ? -1 : endpoints.service[endpoint];
    refusals.note(tlsRefused(!server, cause), server ? slot : -1, service, endpoint);
  }

  broken(_slot: number, server: boolean, truncated: boolean): void {
    this.context.values[(truncated ? W.TLS_TRUNCATED : W.TLS_BROKEN) + (server ? SERVER : CLIENT)]++;
  }

  /** Updates the gauges. */
  sample({ open, handshakes }: TlsTransport): void {
    const { values } = this.context;
    values[W.TLS_OPEN] = open;
    values[W.TLS_HANDSHAKING] = handshakes.inProgress;
    values[W.TLS_WAITING] = handshakes.waiting;
    values[LIMIT_TURN] = handshakes.deferrals;
  }
}

/** Chooses the TLS profile of a connection. */
export class ProxyTlsTargets implements TlsTargets {
  constructor(
    private readonly context: Context,
    private readonly dialer: { purposeOf(socket: number): number },
  ) {}

  accepts(listener: number): number {
    return this.context.listenerTls[listener];
  }

  dials(endpoint: number): number {
    const { endpoints, services } = this.context;
    const service = endpoints.service[endpoint];
    if (service < 0 || services.tls[service] !== 0) return service < 0 ? 0 : services.tls[service];
    return endpoints.identity.get(endpoint) === '' ? 0 : this.context.meshClient;
  }

  serverNameOf(endpoint: number): string {
    return this.context.endpoints.serverName.get(endpoint);
  }

  identityOf(endpoint: number): string {
    return this.context.endpoints.identity.get(endpoint);
  }

  offer(slot: number): number {
    const { endpoints, services, connections } = this.context;
    const endpoint = connections.endpoint[slot];
    if (this.context.isMeshEndpoint(endpoint)) return endpoints.proxyPort[endpoint] > 0 ? OFFER.TRANSPORT : OFFER.NONE;
    switch (this.dialer.purposeOf(slot)) {
      case PURPOSE.HTTP1:
        return OFFER.HTTP1;
      case PURPOSE.HTTP2:
        return OFFER.HTTP2;
      default: {
        const service = endpoints.service[endpoint];
        const opaque = service >= 0 && services.protocol[service] === SERVICE_PROTOCOL.OPAQUE;
        return opaque ? OFFER.ALL : OFFER.BYTES;
      }
    }
  }
}
