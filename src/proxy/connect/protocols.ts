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

/** How long what is known holds, ms, where nothing else is configured: the endpoint may be another program by then. */
const EXPIRY_MS = 600_000;
/**
 * How long a refusal holds that may have been an accident, ms: a connection that ended without a word, as those of an endpoint that
 * restarts do. Twice as long each time it is repeated, up to the expiry.
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
  private readonly known = [new Uint8Array(ENDPOINT_SLOTS), new Uint8Array(ENDPOINT_SLOTS)] as const;
  private readonly since = [new Float64Array(ENDPOINT_SLOTS), new Float64Array(ENDPOINT_SLOTS)] as const;
  /** How long a refusal holds, ms, by version - 1 and endpoint. 0: it has none. */
  private readonly holds = [new Float64Array(ENDPOINT_SLOTS), new Float64Array(ENDPOINT_SLOTS)] as const;

  constructor(private readonly context: Shared) {}

  /** Notes what was seen of `endpoint`. `doubtful`: a refusal that may have been an accident. */
  learn(endpoint: number, version: number, known: number, doubtful = false): void {
    if (this.known[version - 1][endpoint] === known && known !== KNOWN.REFUSED) {
      this.since[version - 1][endpoint] = this.context.reactor.now;
      return;
    }
    const holds = this.holds[version - 1];
    if (known === KNOWN.SPOKEN) holds[endpoint] = 0;
    else if (known === KNOWN.REFUSED)
      holds[endpoint] = doubtful ? Math.min(Math.max(holds[endpoint] * 2, DOUBTFUL_MS), this.expiryMs) : CERTAIN;
    // An endpoint that had refused the other version, and refuses this one now, is another program: the other is to be tried again.
    if (known === KNOWN.REFUSED && this.known[2 - version][endpoint] === KNOWN.REFUSED)
      this.known[2 - version][endpoint] = KNOWN.UNKNOWN;
    this.known[version - 1][endpoint] = known;
    this.since[version - 1][endpoint] = this.context.reactor.now;
    const { values, endpoints } = this.context;
    if (!endpoints.hasOwnSeries(endpoint)) return;
    // A bit for each version, which is its value: see ENDPOINT_PROTOCOLS.
    const one = this.spoken(endpoint, VERSION.HTTP1) ? VERSION.HTTP1 : 0;
    const two = this.spoken(endpoint, VERSION.HTTP2) ? VERSION.HTTP2 : 0;
    values[endpoints.base[endpoint] + E.PROTOCOL] = one | two;
  }

  /** The slot means another endpoint from here on. */
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

  /** Whether it is not known what `endpoint` makes of `version` now: it was never seen, or long ago. */
  uncertain(endpoint: number, version: number): boolean {
    if (this.known[version - 1][endpoint] === KNOWN.SPOKEN) return this.expired(endpoint, version, CERTAIN);
    return !this.refused(endpoint, version);
  }

  /**
   * The version in which a request of `service` that would like `wanted` goes to `endpoint`. `light`: it is easily sent again, so that it may
   * find out whether HTTP/1 is refused still. HTTP/2 is asked for without a request.
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

  /** Whether `endpoint` of `service` speaks HTTP/2 and nothing else, as far as is known: it greets nobody. */
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
