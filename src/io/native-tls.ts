// The TLS engine of the native module: OpenSSL as Node.js exports it, driven over memory of the slab. It knows no sockets, and nothing
// is allocated in JavaScript but by `tlsContext`, `tlsOpen` and `tlsPeer`.

/** Elements of `tlsPage`, written by each call that returns a status. */
export const TLS_PAGE = {
  /** Bytes of the input (`tlsReceive`) or of the payload (`tlsSend`) that were taken. */
  CONSUMED: 0,
  /** Bytes written to the place for plaintext. */
  PLAIN: 1,
  /** Bytes written to the place for what is to be sent. */
  WIRE: 2,
  /** Why it failed, for `tlsReason`; 0 where it did not. */
  REASON: 3,
  /** Why the peer's certificate was refused: X509_V_ERR_*, 0 where it was not. Stays as it is once the handshake has told. */
  VERIFY: 4,
  /** The last alert but close_notify that was received, or that was sent (then TLS_ALERT_SENT is added); 0 without one. */
  ALERT: 5,
} as const;
export const TLS_PAGE_LENGTH = 6;
export const TLS_ALERT_SENT = 256;

/** Bits of a status. */
export const TLS = {
  /** The handshake ended in this call: payload can pass, and `tlsPeer` answers. */
  HANDSHAKE_DONE: 1,
  /** The place for plaintext is full: call again with the input that was not consumed, also where that is none. */
  MORE_PLAIN: 2,
  /** The peer has ended its direction with close_notify. */
  END: 4,
  /** The connection can't go on: send what is in wire (an alert), then close. What is in plain came before. */
  FAILED: 8,
  /** The place for what is to be sent was too small: call again with another. */
  MORE_WIRE: 16,
  /** The handshake goes on. */
  HANDSHAKING: 32,
} as const;

/** Whether a server asks for a client's certificate. One that is sent has to be valid in any case. */
export const TLS_CLIENT_CERTIFICATE = { NONE: 0, OPTIONAL: 1, REQUIRED: 2 } as const;

export interface TlsContextOptions {
  readonly server: boolean;
  /**
   * PEM. `names` are the server names that a certificate is for, in lower case: whole names or `*.` and a domain. A server takes the
   * certificates of the whole name, else those of the wildcard, else the first. A client has one at most.
   */
  readonly certificates: readonly { readonly chain: string; readonly key: string; readonly names: readonly string[] }[];
  /** PEM, one or more certificates in each: what a chain must end in; intermediates count as well. Contexts with the same share them. */
  readonly anchors: readonly string[];
  /** What OpenSSL finds at its own paths counts too (and SSL_CERT_FILE, SSL_CERT_DIR). */
  readonly systemTrust: boolean;
  /** A TLS_CLIENT_CERTIFICATE; of a client 0. */
  readonly clientCertificate: number;
  readonly minVersion: 0x0303 | 0x0304;
  readonly alpn: readonly string[];
  /** A server hands out tickets. Not where it asks for certificates: those are checked each time. */
  readonly tickets: boolean;
  /** `expected` names are compared whole, as identities are: a wildcard in a certificate is for nobody. */
  readonly wholeNames: boolean;
  /** Octets of a ClientHello, and of the chain that a peer shows. Without them 20 KiB, and 64 KiB of a server or 32 KiB of a client. */
  readonly maxHello?: number;
  readonly maxChain?: number;
}

/** What a handshake has brought. */
export interface TlsPeer {
  /** `TLSv1.3` or `TLSv1.2`. */
  readonly version: string;
  /** Of the key exchange, e.g. `x25519` or `X25519MLKEM768`; empty where there was none. */
  readonly group: string;
  /** e.g. `TLS_AES_128_GCM_SHA256`. */
  readonly cipher: string;
  /** Empty: none was agreed on. */
  readonly alpn: string;
  /** That the client has named, in lower case; empty: none. */
  readonly serverName: string;
  /** Of the peer's certificate, which is valid: DNS names in lower case and URIs, in its order. Empty without a certificate. */
  readonly names: readonly string[];
  readonly resumed: boolean;
}

export interface NativeTls {
  /** OpenSSL's version; empty where Node.js exports none, or none that is known here: then `tlsContext` throws. */
  tlsVersion(): string;
  /** This thread's results (TLS_PAGE); one array for each call, so it is asked for once. */
  tlsPage(): Int32Array;
  /** 1 or more. Throws an Error that says what is wrong with which certificate, anchor or key. */
  tlsContext(options: TlsContextOptions): number;
  /** Connections of it live on. */
  tlsContextFree(context: number): void;
  /**
   * A connection (0 or more), or -errno. `serverName` is what a client asks for (an IP address is not sent); `expected` the name that
   * the peer's certificate must have: a DNS name, an IP address or a SPIFFE identity (`spiffe://…`). null: any name will do, but the
   * chain must hold. Nothing is to be sent before `tlsReceive` is called, without input, for a client.
   */
  tlsOpen(context: number, serverName: string | null, expected: string | null): number;
  /** All places are offsets into the slab of this thread's ring, and must not overlap. Returns a status. */
  tlsReceive(
    connection: number,
    inAt: number,
    inLength: number,
    plainAt: number,
    plainCapacity: number,
    wireAt: number,
    wireCapacity: number,
  ): number;
  /** Takes as much of the payload as fits: a record is as long as it and `wire` allow, at most 16 KiB. Takes none before the handshake is done. */
  tlsSend(connection: number, plainAt: number, plainLength: number, wireAt: number, wireCapacity: number): number;
  /** Writes close_notify, once; the peer may go on sending. */
  tlsShutdown(connection: number, wireAt: number, wireCapacity: number): number;
  tlsClose(connection: number): void;
  /**
   * To be asked once, when the handshake is done: with the next call OpenSSL's own connection, some 15 KiB, goes, and an idle one costs
   * no more than its keys. Empty before and after.
   */
  tlsPeer(connection: number): TlsPeer;
  /** A REASON in words, for the log. */
  tlsReason(reason: number): string;
  /** A VERIFY in words. */
  tlsVerifyReason(verify: number): string;
}
