// Which versions of HTTP endpoints have been seen to speak. Each version separately: an endpoint may speak both, and an answer in one says
// nothing about the other.
import { column } from '../../http/columns.js';
import { E } from '../../metrics/layout.js';
import { ENDPOINT_SLOTS } from '../capacity.js';

/** Versions of HTTP. */
export const VERSION = { HTTP1: 1, HTTP2: 2 } as const;

/** What is known about an endpoint and a version. */
export const KNOWN = { UNKNOWN: 0, SPOKEN: 1, REFUSED: 2 } as const;

/** What the endpoints of a service speak. AUTO is learned per endpoint. */
export const SERVICE_PROTOCOL = { AUTO: 0, HTTP1: 1, HTTP2: 2, OPAQUE: 3 } as const;

/** How long this knowledge lasts by default, ms: later the endpoint may be another program. */
const EXPIRY_MS = 600_000;
/**
 * How long to remember a refusal that may have been an accident, ms: a connection that ended without a word, as happens when an endpoint
 * restarts. Doubled with each repetition, up to the expiry.
 */
const DOUBTFUL_MS = 5000;
const CERTAIN = Number.POSITIVE_INFINITY;

/** What this needs of the worker's context. */
interface Shared {
  readonly values: Float64Array;
  readonly reactor: { readonly now: number };
  readonly services: { readonly protocol: Uint8Array };
  readonly endpoints: { readonly base: Int32Array; hasOwnSeries(endpoint: number): boolean };
}

export class Protocols {
  /** `limits.protocolExpiry`, ms. */
  expiryMs = EXPIRY_MS;
  /** KNOWN and since when, ms, by version - 1 and endpoint. */
  private readonly known = [column(Uint8Array, ENDPOINT_SLOTS), column(Uint8Array, ENDPOINT_SLOTS)] as const;
  private readonly since = [column(Float64Array, ENDPOINT_SLOTS), column(Float64Array, ENDPOINT_SLOTS)] as const;
  /** How long a refusal lasts, ms, by version - 1 and endpoint. 0: none. */
  private readonly holds = [column(Float64Array, ENDPOINT_SLOTS), column(Float64Array, ENDPOINT_SLOTS)] as const;

  constructor(private readonly context: Shared) {}

  /** Records what was seen of `endpoint`. `doubtful`: a refusal that may have been an accident. */
  learn(endpoint: number, version: number, known: number, doubtful = false): void {
    if (this.known[version - 1][endpoint] === known && known !== KNOWN.REFUSED) {
      this.since[version - 1][endpoint] = this.context.reactor.now;
      return;
    }
    const holds = this.holds[version - 1];
    if (known === KNOWN.SPOKEN) holds[endpoint] = 0;
    else if (known === KNOWN.REFUSED)
      holds[endpoint] = doubtful ? Math.min(Math.max(holds[endpoint] * 2, DOUBTFUL_MS), this.expiryMs) : CERTAIN;
    // An endpoint that had refused the other version and now refuses this one is another program: the other version is worth trying again.
    if (known === KNOWN.REFUSED && this.known[2 - version][endpoint] === KNOWN.REFUSED)
      this.known[2 - version][endpoint] = KNOWN.UNKNOWN;
    this.known[version - 1][endpoint] = known;
    this.since[version - 1][endpoint] = this.context.reactor.now;
    const { values, endpoints } = this.context;
    if (!endpoints.hasOwnSeries(endpoint)) return;
    // Each version is a bit, with its own value: see ENDPOINT_PROTOCOLS.
    const one = this.spoken(endpoint, VERSION.HTTP1) ? VERSION.HTTP1 : 0;
    const two = this.spoken(endpoint, VERSION.HTTP2) ? VERSION.HTTP2 : 0;
    values[endpoints.base[endpoint] + E.PROTOCOL] = one | two;
  }

  /** The slot belongs to another endpoint from now on. */
  forget(endpoint: number): void {
    this.learn(endpoint, VERSION.HTTP1, KNOWN.UNKNOWN);
    this.learn(endpoint, VERSION.HTTP2, KNOWN.UNKNOWN);
    this.holds[0][endpoint] = 0;
    this.holds[1][endpoint] = 0;
  }

  spoken(endpoint: number, version: number): boolean {
    return this.known[version - 1][endpoint] === KNOWN.SPOKEN;
  }

  unknown(endpoint: number, version: number): boolean {
    return this.known[version - 1][endpoint] === KNOWN.UNKNOWN;
  }

  /** Whether it is unknown how `endpoint` reacts to `version`: never seen, or long ago. */
  uncertain(endpoint: number, version: number): boolean {
    if (this.known[version - 1][endpoint] === KNOWN.SPOKEN) return this.expired(endpoint, version, CERTAIN);
    return !this.refused(endpoint, version);
  }

  /**
   * The version for a request of `service` to `endpoint` that prefers `wanted`. `light`: it is easy to send again, so it may test whether
   * HTTP/1 is still refused. HTTP/2 can be tested without a request.
   */
  choose(service: number, endpoint: number, wanted: number, light = true): number {
    switch (this.context.services.protocol[service]) {
      case SERVICE_PROTOCOL.HTTP1:
        return VERSION.HTTP1;
      case SERVICE_PROTOCOL.HTTP2:
        return VERSION.HTTP2;
      default: {
        const other = 3 - wanted;
        if (this.refused(endpoint, wanted)) return this.refused(endpoint, other) ? wanted : other;
        const refusedOnce = this.known[wanted - 1][endpoint] === KNOWN.REFUSED;
        return refusedOnce && wanted === VERSION.HTTP1 && !light && this.spoken(endpoint, other) ? other : wanted;
      }
    }
  }

  /** Whether `endpoint` of `service` speaks only HTTP/2, as far as is known: then it does not greet. */
  onlyHttp2(service: number, endpoint: number): boolean {
    const declared = this.context.services.protocol[service];
    return (
      declared === SERVICE_PROTOCOL.HTTP2 ||
      (declared === SERVICE_PROTOCOL.AUTO && this.spoken(endpoint, VERSION.HTTP2))
    );
  }

  /** Whether `endpoint` is known not to speak `version`. */
  refused(endpoint: number, version: number): boolean {
    if (this.known[version - 1][endpoint] !== KNOWN.REFUSED) return false;
    return !this.expired(endpoint, version, this.holds[version - 1][endpoint]);
  }

  private expired(endpoint: number, version: number, holds: number): boolean {
    return this.context.reactor.now >= this.since[version - 1][endpoint] + Math.min(this.expiryMs, holds);
  }
}
