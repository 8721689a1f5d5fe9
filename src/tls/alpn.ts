// Protocols that are agreed on in a handshake (ALPN, RFC 7301), as small numbers.

export const ALPN = {
  /** None was agreed on. */
  NONE: 0,
  HTTP2: 1,
  HTTP1: 2,
  /** Linkerd's transport of streams to other ports. */
  TRANSPORT: 3,
  OTHER: 4,
} as const;

export const ALPN_NAMES = { HTTP2: 'h2', HTTP1: 'http/1.1', TRANSPORT: 'transport.l5d.io/v1' } as const;

/** The number of what a handshake has agreed on. */
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

/** What a connection that we make is for: of what its profile offers, only that is offered. */
export const OFFER = {
  /** All of it. */
  ALL: 0,
  HTTP1: 1,
  HTTP2: 2,
  /** No version of HTTP: bytes of something else go over it. */
  BYTES: 3,
  /** Nothing but the transport of streams. */
  TRANSPORT: 4,
  /** Nothing: a peer of the mesh finds out by itself what is inside, and may refuse who offers what it does not know. */
  NONE: 5,
} as const;
export const OFFERS = 6;

/** What is offered of `alpn`. A profile that does not offer what is wanted at all is taken at its word. */
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
