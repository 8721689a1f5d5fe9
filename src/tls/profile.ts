// TLS settings for workers: plain data, made and checked by the main thread from the configuration and the identity.

/** A certificate with its chain, and its key. */
export interface TlsCertificate {
  /** PEM: the leaf, followed by its chain in order. */
  readonly chain: string;
  /** PEM, without a passphrase. */
  readonly key: string;
  /** Its server names, in lower case: full names, or `*.` and a domain. Empty if it is only the default. */
  readonly names: readonly string[];
}

/** A set of TLS settings; listeners, services and the mesh refer to it by slot. */
export interface TlsProfile {
  /** 1 or more; 0 is plain text. */
  readonly slot: number;
  /** Changes with any content: a worker keeps its context for the same generation. */
  readonly generation: number;
  readonly role: 'server' | 'client';
  /** For a server, the first one is the default. A client has at most one. */
  readonly certificates: readonly TlsCertificate[];
  /** PEM, one certificate each, in which peers' chains must end. None, for a client: the system's CAs. */
  readonly anchors: readonly string[];
  /** Whether a server asks for a client's certificate. */
  readonly clientCertificate: 'none' | 'optional' | 'required';
  readonly minVersion: '1.2' | '1.3';
  /** In order of preference; empty: no ALPN. */
  readonly alpn: readonly string[];
  readonly tickets: boolean;
  /** For a client: the SNI, which the certificate must be for. null: the endpoint's mesh identity. */
  readonly serverName: string | null;
  /** Names are compared in full, like mesh identities: wildcards in certificates match nothing. */
  readonly wholeNames: boolean;
  /** Of a client: whatever certificate a server shows is good. Of the load generator alone; no configuration of a proxy leads here. */
  readonly unverified?: boolean;
}
