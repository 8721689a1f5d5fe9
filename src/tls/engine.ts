// What drives OpenSSL: its part of the native module, and the numbers that come back from it. Connections and contexts are handles; bytes lie in the
// slab and are named by their offsets.

/** What a context is made of. */
export interface TlsContextOptions {
  readonly server: boolean;
  readonly certificates: readonly { readonly chain: string; readonly key: string; readonly names: readonly string[] }[];
  readonly anchors: readonly string[];
  /** Trusts what the system does. */
  readonly systemTrust: boolean;
  /** Of a server: 0 asks for none, 1 takes one, 2 wants one. */
  readonly clientCertificate: number;
  readonly minVersion: 0x0303 | 0x0304;
  readonly alpn: readonly string[];
  readonly tickets: boolean;
  /** A wildcard in a certificate is for nobody. */
  readonly wholeNames: boolean;
}

/** What a handshake has led to. */
export interface TlsPeer {
  /** `TLSv1.3`. */
  readonly version: string;
  readonly group: string;
  readonly cipher: string;
  readonly alpn: string;
  readonly serverName: string;
  /** SANs of the peer's certificate: URIs as they are, names of the DNS. */
  readonly names: readonly string[];
  readonly resumed: boolean;
}

/** Bits of what `tlsReceive`, `tlsSend` and `tlsShutdown` return. */
export const STATUS = {
  /** The handshake has come to its end in this call. */
  HANDSHAKE_DONE: 1,
  /** There is more plain text: the call is to be made again, without input. */
  MORE_PLAIN: 2,
  /** The peer has said close_notify. */
  END: 4,
  /** It is over: what was written is to be sent, an alert perhaps. */
  FAILED: 8,
  /** There was no room for all that is to be sent: the call is to be made again. */
  MORE_WIRE: 16,
  HANDSHAKING: 32,
} as const;

/** Cells of `tlsPage`, about the last call. */
export const PAGE = {
  /** Bytes of input, or of payload, that were taken. */
  CONSUMED: 0,
  /** Bytes of plain text that were written. */
  PLAIN: 1,
  /** Bytes to be sent that were written. */
  WIRE: 2,
  /** OpenSSL's reason of a failure (ERR_GET_REASON). */
  REASON: 3,
  /** X509_V_ERR_* of the peer's certificate. */
  VERIFY: 4,
  /** The alert that was received or sent. */
  ALERT: 5,
} as const;

/** The functions of the native module that TLS needs. */
export interface TlsEngine {
  /** Asked for once: an array for each call. */
  tlsPage(): Int32Array;
  tlsContext(options: TlsContextOptions): number;
  tlsContextFree(context: number): void;
  tlsOpen(context: number, serverName: string | null, expected: string | null): number;
  tlsReceive(
    connection: number,
    inAt: number,
    inLength: number,
    plainAt: number,
    plainCapacity: number,
    wireAt: number,
    wireCapacity: number,
  ): number;
  tlsSend(connection: number, plainAt: number, plainLength: number, wireAt: number, wireCapacity: number): number;
  tlsShutdown(connection: number, wireAt: number, wireCapacity: number): number;
  tlsClose(connection: number): void;
  tlsPeer(connection: number): TlsPeer;
}
