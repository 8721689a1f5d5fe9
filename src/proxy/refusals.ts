// What a worker refuses, counted by reason until the main thread is told of it: the log has a line a second for each reason at most,
// however much is refused. Nothing is allocated here but for the first of a reason.
import { RESPONSE_REASONS } from '../http/response-reasons.js';
import type { Paged } from '../io/paged.js';
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

/** Why requests and connections are refused: first the reasons of responses. */
export const REFUSALS = [
  ...RESPONSE_REASONS,
  'max-connections',
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
/** The refusal of a TLS handshake for TLS_FAILURES[cause]: with a client, or with an endpoint. */
export const tlsRefused = (dialled: boolean, cause: number): number =>
  TLS_AT + (dialled ? TLS_FAILURES.length : 0) + cause;

/** Those that RESPONSE_REASONS has not. */
export const REFUSED = {
  /** The worker has as many clients as it may. */
  MAX_CONNECTIONS: REFUSALS.indexOf('max-connections'),
  /** The listener has no service for what the client speaks. */
  NO_SERVICE: REFUSALS.indexOf('no-service'),
  /** The table of original destinations is full of such as are in use. */
  DESTINATIONS: REFUSALS.indexOf('destinations'),
  /** Of a listener with `proxyProtocol`: the first bytes are something else than a header; it is not as it should be, or not in time. */
  PROXY_MISSING: REFUSALS.indexOf('proxy-header-missing'),
  PROXY_MALFORMED: REFUSALS.indexOf('proxy-header-malformed'),
  PROXY_CHECKSUM: REFUSALS.indexOf('proxy-header-checksum'),
  PROXY_TOO_LONG: REFUSALS.indexOf('proxy-header-too-long'),
  PROXY_LATE: REFUSALS.indexOf('proxy-header-late'),
  /** It comes from no network of `proxyProtocol.from`. */
  PROXY_STRANGER: REFUSALS.indexOf('proxy-stranger'),
  /** Of the opaque transport: who asks for it has no certificate; its header is none, names no port, or one of ours, or does not come in time. */
  TRANSPORT_STRANGER: REFUSALS.indexOf('transport-stranger'),
  TRANSPORT_HEADER: REFUSALS.indexOf('transport-header'),
  TRANSPORT_PORT: REFUSALS.indexOf('transport-port'),
  TRANSPORT_LOOP: REFUSALS.indexOf('transport-loop'),
  TRANSPORT_LATE: REFUSALS.indexOf('transport-late'),
  /** No rule of authorization allows it; and what is allowed, but to be told of. */
  UNAUTHORIZED: REFUSALS.indexOf('unauthorized'),
  AUDIT: REFUSALS.indexOf('audit'),
  /** The proxy in front of an endpoint does not speak the opaque transport. */
  TRANSPORT_UNSPOKEN: REFUSALS.indexOf('transport-unspoken'),
} as const;

/** What was refused for one reason, and who was the first. Names that are not known are empty. */
export interface Refused {
  /** Index into REFUSALS. */
  readonly reason: number;
  readonly count: number;
  readonly listener: string;
  readonly client: string;
  readonly service: string;
  readonly endpoint: string;
  /** The rule of authorization that has decided, and who the client is by its certificate. */
  readonly rule: string;
  readonly identity: string;
}

/** What this needs of the worker's context. */
interface Shared {
  readonly connections: Connections;
  readonly listenerNames: readonly string[];
  readonly services: { readonly name: Pick<Paged<string>, 'get'> };
  readonly endpoints: { readonly address: Pick<Paged<string>, 'get'> };
  readonly peers: Pick<TlsPeers, 'identity' | 'nameOf'>;
}

export class Refusals {
  private readonly counts = new Int32Array(REFUSALS.length);
  private readonly first: Omit<Refused, 'count'>[] = [];

  constructor(private readonly context: Shared) {}

  /** Somebody was refused for REFUSALS[reason]; -1: there is no such client, service or endpoint, or it is not known. */
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

  /** What was refused since it was asked last. */
  take(): Refused[] {
    const all = this.first.map((first) => ({ ...first, count: this.counts[first.reason] }));
    this.first.length = 0;
    this.counts.fill(0);
    return all;
  }
}
