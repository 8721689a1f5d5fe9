// Protocols negotiated in a handshake (ALPN, RFC 7301), as small numbers.

export const ALPN = {
  /** None was negotiated. */
  NONE: 0,
  HTTP2: 1,
  HTTP1: 2,
  /** Linkerd's opaque transport. */
  TRANSPORT: 3,
  OTHER: 4,
} as const;

export const ALPN_NAMES = { HTTP2: 'h2', HTTP1: 'http/1.1', TRANSPORT: 'transport.l5d.io/v1' } as const;

/** The number of a negotiated protocol. */
export function alpnOf(name: string): number {
  switch (name) {
    case '':
      return ALPN.NONE;
    case ALPN_NAMES.HTTP2:
      return ALPN.HTTP2;
    case ALPN_NAMES.HTTP1:
    case 'http/1.0':
      return ALPN.HTTP1;
    case ALPN_NAMES.TRANSPORT:
      return ALPN.TRANSPORT;
    default:
      return ALPN.OTHER;
  }
}

/** The purpose of our own connection: of the profile's protocols, only the matching ones are offered. */
export const OFFER = {
  /** All of it. */
  ALL: 0,
  HTTP1: 1,
  HTTP2: 2,
  /** Bytes other than HTTP: no version of HTTP. */
  BYTES: 3,
  /** Only the opaque transport. */
  TRANSPORT: 4,
  /** Nothing: a mesh peer detects the content itself, and may refuse a client that offers unknown protocols. */
  NONE: 5,
} as const;
export const OFFERS = 6;

/** The part of `alpn` to offer. If the profile offers nothing suitable, its list is used as it is. */
export function offered(alpn: readonly string[], offer: number): readonly string[] {
  const only = (name: string): readonly string[] => (alpn.includes(name) ? [name] : alpn);
  switch (offer) {
    case OFFER.HTTP1:
      return only(ALPN_NAMES.HTTP1);
    case OFFER.HTTP2:
      return only(ALPN_NAMES.HTTP2);
    case OFFER.BYTES:
      return alpn.filter((name) => name !== ALPN_NAMES.HTTP1 && name !== ALPN_NAMES.HTTP2);
    case OFFER.TRANSPORT:
      return only(ALPN_NAMES.TRANSPORT);
    case OFFER.NONE:
      return [];
    default:
      return alpn;
  }
}
