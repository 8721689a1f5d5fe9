// The TLS engine of the native module: OpenSSL as exported by Node.js, operating on slab memory. It knows no sockets; only `tlsContext`,
// `tlsOpen` and `tlsPeer` allocate in JavaScript.

/** Elements of `tlsPage`, written by each call that returns a status. */
export const TLS_PAGE = {
  /** Bytes consumed of the input (`tlsReceive`) or of the payload (`tlsSend`). */
  CONSUMED: 0,
  /** Plaintext bytes written. */
  PLAIN: 1,
  /** Bytes written for sending. */
  WIRE: 2,
  /** The reason of a failure, for `tlsReason`; 0 if there was none. */
  REASON: 3,
  /** Why the peer's certificate was refused: X509_V_ERR_*, 0 if it was not. Unchanged after the handshake has set it. */
  VERIFY: 4,
  /** The last alert other than close_notify that was received, or sent (then with TLS_ALERT_SENT added); 0 without one. */
  ALERT: 5,
} as const;
export const TLS_PAGE_LENGTH = 6;
export const TLS_ALERT_SENT = 256;

/** Bits of a status. */
export const TLS = {
  /** The handshake was completed in this call: payload can pass, and `tlsPeer` answers. */
  HANDSHAKE_DONE: 1,
  /** The plaintext area is full: call again with the input that was not consumed, even if there is none. */
  MORE_PLAIN: 2,
  /** The peer has ended its direction with close_notify. */
  END: 4,
  /** The connection can't continue: send what is in wire (an alert), then close. What is in plain came before. */
  FAILED: 8,
  /** The output area was too small: call again with another. */
  MORE_WIRE: 16,
  /** The handshake continues. */
  HANDSHAKING: 32,
} as const;

/** Whether a server asks for a client certificate. One that is presented must be valid in any case. */
export const TLS_CLIENT_CERTIFICATE = { NONE: 0, OPTIONAL: 1, REQUIRED: 2 } as const;

export interface TlsContextOptions {
  readonly server: boolean;
  /**
   * PEM. `names`: lower-case server names for a certificate, either full names or `*.` and a domain. A server takes the certificates for
   * the full name, else those for the wildcard, else the first. A client has at most one.
   */
  readonly certificates: readonly { readonly chain: string; readonly key: string; readonly names: readonly string[] }[];
  /**
   * PEM, with one or more certificates each: what a chain must end in; intermediates count as well. Contexts with equal anchors share them.
   */
  readonly anchors: readonly string[];
  /** CAs at OpenSSL's own paths count too (and SSL_CERT_FILE, SSL_CERT_DIR). */
  readonly systemTrust: boolean;
  /** A TLS_CLIENT_CERTIFICATE; 0 for a client. */
  readonly clientCertificate: number;
  readonly minVersion: 0x0303 | 0x0304;
  readonly alpn: readonly string[];
  /** The server issues tickets. Not if it asks for certificates: those are checked each time. */
  readonly tickets: boolean;
  /** `expected` names are compared in full, like identities: wildcards in certificates match nothing. */
  readonly wholeNames: boolean;
  /** Client: accept any certificate. */
  readonly unverified?: boolean;
  /** Maximum bytes of a ClientHello, and of a peer's chain. Defaults: 20 KiB, and 64 KiB for a server's or 32 KiB for a client's. */
  readonly maxHello?: number;
  readonly maxChain?: number;
}

/** Results of a handshake. */
export interface TlsPeer {
  /** `TLSv1.3` or `TLSv1.2`. */
  readonly version: string;
  /** Group of the key exchange, e.g. `x25519` or `X25519MLKEM768`; empty if there was none. */
  readonly group: string;
  /** e.g. `TLS_AES_128_GCM_SHA256`. */
  readonly cipher: string;
  /** Empty if none was negotiated. */
  readonly alpn: string;
  /** The name the client asked for, in lower case; empty: none. */
  readonly serverName: string;
  /** Names in the peer's verified certificate, in order: DNS names in lower case and URIs. Empty without a certificate. */
  readonly names: readonly string[];
  readonly resumed: boolean;
}

export interface NativeTls {
  /** OpenSSL's version; empty if Node.js exports none, or none that is supported: then `tlsContext` throws. */
  tlsVersion(): string;
  /** This thread's results (TLS_PAGE). Each call creates an array, so ask once. */
  tlsPage(): Int32Array;
  /** Returns 1 or more. Throws an Error that says what is wrong with which certificate, anchor or key. */
  tlsContext(options: TlsContextOptions): number;
  /** Its connections stay open. */
  tlsContextFree(context: number): void;
  /**
   * Returns a connection (0 or more), or -errno. `serverName`: the SNI of a client (an IP address is not sent). `expected`: the name that
   * the peer's certificate must have, a DNS name, an IP address or a SPIFFE ID (`spiffe://…`); null: any name, but the chain must be valid.
   * To start, call `tlsReceive` without input for a client; nothing may be sent before.
   */
  tlsOpen(context: number, serverName: string | null, expected: string | null): number;
  /** All positions are offsets into the slab of this thread's ring, and must not overlap. Returns a status. */
  tlsReceive(
    connection: number,
    inAt: number,
    inLength: number,
    plainAt: number,
    plainCapacity: number,
    wireAt: number,
    wireCapacity: number,
  ): number;
  /**
   * Takes as much of the payload as fits: a record is as long as that and `wire` allow, at most 16 KiB. Takes none before the handshake is
   * complete.
   */
  tlsSend(connection: number, plainAt: number, plainLength: number, wireAt: number, wireCapacity: number): number;
  /** Writes close_notify, once; the peer may keep sending. */
  tlsShutdown(connection: number, wireAt: number, wireCapacity: number): number;
  tlsClose(connection: number): void;
  /**
   * Call once after the handshake: the next call frees OpenSSL's own connection, about 15 KiB, and an idle one takes no more than its keys.
   * Empty before and after.
   */
  tlsPeer(connection: number): TlsPeer;
  /** A REASON in words, for the log. */
  tlsReason(reason: number): string;
  /** A VERIFY in words. */
  tlsVerifyReason(verify: number): string;
}
