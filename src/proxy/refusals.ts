// Refusals by a worker, counted per reason until the main thread is told. The log gets at most one line per second and reason, however many
// there are. Only the first refusal of a reason allocates.
import { RESPONSE_REASONS } from '../http/response-reasons.js';
import type { PagedArray } from '../io/paged-array.js';
import { TLS_FAILURES } from '../tls/failures.js';
import type { TlsPeers } from '../tls/peers.js';
import type { Connections } from './connect/connections.js';

/** The names of failed TLS handshakes, with clients and with endpoints. */
export function tlsRefusal(cause: (typeof TLS_FAILURES)[number]): string {
  return `tls-${cause}`;
}
export function tlsDialRefusal(cause: (typeof TLS_FAILURES)[number]): string {
  return `endpoint-tls-${cause}`;
}

/** Reasons for refusing requests and connections, starting with the reasons of responses. */
export const REFUSALS = [
  ...RESPONSE_REASONS,
  'max-connections',
  'idle-closed',
  'no-service',
  'destinations',
  'proxy-header-missing',
  'proxy-header-malformed',
  'proxy-header-checksum',
  'proxy-header-too-long',
  'proxy-header-late',
  'proxy-stranger',
  'transport-stranger',
  'transport-header',
  'transport-port',
  'transport-loop',
  'transport-late',
  'audit',
  'transport-unspoken',
  ...TLS_FAILURES.map((cause) => tlsRefusal(cause)),
  ...TLS_FAILURES.map((cause) => tlsDialRefusal(cause)),
] as const;

const TLS_AT = REFUSALS.length - 2 * TLS_FAILURES.length;
/** The refusal for a TLS handshake failure TLS_FAILURES[cause], with a client or with an endpoint. */
export const tlsRefused = (dialled: boolean, cause: number): number =>
  TLS_AT + (dialled ? TLS_FAILURES.length : 0) + cause;

/** Reasons that are not in RESPONSE_REASONS. */
export const REFUSED = {
  /** The worker has reached its limit of clients. */
  MAX_CONNECTIONS: REFUSALS.indexOf('max-connections'),
  /** An idle client had to leave, because others wait for its file descriptors. */
  IDLE_CLOSED: REFUSALS.indexOf('idle-closed'),
  /** The listener has no service for the client's protocol. */
  NO_SERVICE: REFUSALS.indexOf('no-service'),
  /** The table of original destinations is full, and all are in use. */
  DESTINATIONS: REFUSALS.indexOf('destinations'),
  /** `proxyProtocol`: the first bytes are not a header; the header is malformed, or late. */
  PROXY_MISSING: REFUSALS.indexOf('proxy-header-missing'),
  PROXY_MALFORMED: REFUSALS.indexOf('proxy-header-malformed'),
  PROXY_CHECKSUM: REFUSALS.indexOf('proxy-header-checksum'),
  PROXY_TOO_LONG: REFUSALS.indexOf('proxy-header-too-long'),
  PROXY_LATE: REFUSALS.indexOf('proxy-header-late'),
  /** The client is outside the networks of `proxyProtocol.from`. */
  PROXY_STRANGER: REFUSALS.indexOf('proxy-stranger'),
  /** Opaque transport: no client certificate; the header is malformed, names no port or one of our own, or is late. */
  TRANSPORT_STRANGER: REFUSALS.indexOf('transport-stranger'),
  TRANSPORT_HEADER: REFUSALS.indexOf('transport-header'),
  TRANSPORT_PORT: REFUSALS.indexOf('transport-port'),
  TRANSPORT_LOOP: REFUSALS.indexOf('transport-loop'),
  TRANSPORT_LATE: REFUSALS.indexOf('transport-late'),
  /** No authorization rule allows it; or it is allowed but audited. */
  UNAUTHORIZED: REFUSALS.indexOf('unauthorized'),
  AUDIT: REFUSALS.indexOf('audit'),
  /** The proxy in front of an endpoint does not speak the opaque transport. */
  TRANSPORT_UNSPOKEN: REFUSALS.indexOf('transport-unspoken'),
} as const;

/** The refusals for one reason, with the first one's details. Unknown names are empty. */
export interface Refused {
  /** Index into REFUSALS. */
  readonly reason: number;
  readonly count: number;
  readonly listener: string;
  readonly client: string;
  readonly service: string;
  readonly endpoint: string;
  /** The authorization rule that decided, and the client's certified identity. */
  readonly rule: string;
  readonly identity: string;
}

/** What this needs of the worker's context. */
interface Shared {
  readonly connections: Connections;
  readonly listenerNames: readonly string[];
  readonly services: { readonly name: Pick<PagedArray<string>, 'get'> };
  readonly endpoints: { readonly address: Pick<PagedArray<string>, 'get'> };
  readonly peers: Pick<TlsPeers, 'identity' | 'nameOf'>;
}

export class Refusals {
  private readonly counts = new Int32Array(REFUSALS.length);
  private readonly first: Omit<Refused, 'count'>[] = [];

  constructor(private readonly context: Shared) {}

  /** Records a refusal for REFUSALS[reason]. -1: no such client, service or endpoint, or unknown. */
  note(reason: number, client: number, service: number, endpoint: number, rule = ''): void {
    if (this.counts[reason]++ > 0) return;
    const { connections, listenerNames, services, endpoints, peers } = this.context;
    const listener = client < 0 ? -1 : connections.listener[client];
    this.first.push({
      reason,
      listener: listener < 0 ? '' : (listenerNames[listener] ?? ''),
      client: connections.peerName(client),
      service: service < 0 ? '' : services.name.get(service),
      endpoint: endpoint < 0 ? '' : endpoints.address.get(endpoint),
      rule,
      identity: client < 0 ? '' : peers.nameOf(peers.identity[client]),
    });
  }

  /** Refusals since the last call. */
  take(): Refused[] {
    const all = this.first.map((first) => ({ ...first, count: this.counts[first.reason] }));
    this.first.length = 0;
    this.counts.fill(0);
    return all;
  }
}
