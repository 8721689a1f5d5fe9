// Which versions of HTTP endpoints speak, as far as they have been seen to. Each version for itself: an endpoint may speak both, and an
// answer in one says nothing about the other.
import { E } from '../../metrics/layout.js';
import { ENDPOINT_SLOTS } from '../capacity.js';

/** Versions of HTTP. */
export const VERSION = { HTTP1: 1, HTTP2: 2 } as const;

/** What is known of an endpoint and a version. */
export const KNOWN = { UNKNOWN: 0, SPOKEN: 1, REFUSED: 2 } as const;

/** What the endpoints of a service speak. AUTO is found out for each endpoint. */
export const SERVICE_PROTOCOL = { AUTO: 0, HTTP1: 1, HTTP2: 2, OPAQUE: 3 } as const;

/** What was refused is asked for again after this, ms: the endpoint may be another program by then. */
const REFUSED_MS = 600_000;

/** What this needs of the worker's context. */
interface Shared {
  readonly values: Float64Array;
  readonly reactor: { readonly now: number };
  readonly services: { readonly protocol: Uint8Array };
  readonly endpoints: { readonly base: Int32Array; hasOwnSeries(endpoint: number): boolean };
}

export class Protocols {
  /** KNOWN and since when, ms, by version - 1 and endpoint. */
  private readonly known = [new Uint8Array(ENDPOINT_SLOTS), new Uint8Array(ENDPOINT_SLOTS)] as const;
  private readonly since = [new Float64Array(ENDPOINT_SLOTS), new Float64Array(ENDPOINT_SLOTS)] as const;

  constructor(private readonly context: Shared) {}

  /** Notes what was seen of `endpoint`. */
  learn(endpoint: number, version: number, known: number): void {
    if (this.known[version - 1][endpoint] === known && known !== KNOWN.REFUSED) return;
    // An endpoint that had refused the other version, and refuses this one now, is another program: the other is to be tried again.
    if (known === KNOWN.REFUSED && this.known[2 - version][endpoint] === KNOWN.REFUSED)
      this.known[2 - version][endpoint] = KNOWN.UNKNOWN;
    this.known[version - 1][endpoint] = known;
    this.since[version - 1][endpoint] = this.context.reactor.now;
    const { values, endpoints } = this.context;
    if (!endpoints.hasOwnSeries(endpoint)) return;
    const one = this.known[0][endpoint] === KNOWN.SPOKEN;
    const two = this.known[1][endpoint] === KNOWN.SPOKEN;
    values[endpoints.base[endpoint] + E.PROTOCOL] = two ? VERSION.HTTP2 : one ? VERSION.HTTP1 : 0;
  }

  /** The slot means another endpoint from here on. */
  forget(endpoint: number): void {
    this.learn(endpoint, VERSION.HTTP1, KNOWN.UNKNOWN);
    this.learn(endpoint, VERSION.HTTP2, KNOWN.UNKNOWN);
  }

  spoken(endpoint: number, version: number): boolean {
    return this.known[version - 1][endpoint] === KNOWN.SPOKEN;
  }

  unknown(endpoint: number, version: number): boolean {
    return this.known[version - 1][endpoint] === KNOWN.UNKNOWN;
  }

  /** The version in which a request of `service` that would like `wanted` goes to `endpoint`. */
  choose(service: number, endpoint: number, wanted: number): number {
    switch (this.context.services.protocol[service]) {
      case SERVICE_PROTOCOL.HTTP1:
        return VERSION.HTTP1;
      case SERVICE_PROTOCOL.HTTP2:
        return VERSION.HTTP2;
      default:
        return this.refused(endpoint, wanted) && !this.refused(endpoint, 3 - wanted) ? 3 - wanted : wanted;
    }
  }

  /** Whether `endpoint` of `service` speaks HTTP/2 and nothing else, as far as is known: it greets nobody. */
  onlyHttp2(service: number, endpoint: number): boolean {
    const declared = this.context.services.protocol[service];
    return (
      declared === SERVICE_PROTOCOL.HTTP2 ||
      (declared === SERVICE_PROTOCOL.AUTO && this.spoken(endpoint, VERSION.HTTP2))
    );
  }

  private refused(endpoint: number, version: number): boolean {
    if (this.known[version - 1][endpoint] !== KNOWN.REFUSED) return false;
    return this.context.reactor.now < this.since[version - 1][endpoint] + REFUSED_MS;
  }
}
