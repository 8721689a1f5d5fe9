// What a worker is told about TLS: plain data, made by the main thread of the configuration and of the identity, and checked there.

/** A certificate with its chain, and its key. */
export interface TlsCertificate {
  /** PEM: the leaf, then what signed it, in order. */
  readonly chain: string;
  /** PEM, without a passphrase. */
  readonly key: string;
  /** Server names that it is for, in lower case: whole names, or `*.` and a domain. Empty where it is nobody's choice but the last. */
  readonly names: readonly string[];
}

/** One way of speaking TLS; listeners, services and the mesh name it by its slot. */
export interface TlsProfile {
  /** 1 or more; 0 is plain text. */
  readonly slot: number;
  /** Changes with everything in it: a worker keeps what it has made of the same generation. */
  readonly generation: number;
  readonly role: 'server' | 'client';
  /** Of a server the first is for clients that name no server that is known. A client has one at most. */
  readonly certificates: readonly TlsCertificate[];
  /** PEM, one certificate each, that peers' chains must end in; of a client none means: as the system trusts. */
  readonly anchors: readonly string[];
  /** Whether a server asks for a client's certificate. */
  readonly clientCertificate: 'none' | 'optional' | 'required';
  readonly minVersion: '1.2' | '1.3';
  /** In the order of preference; empty: the extension is not spoken. */
  readonly alpn: readonly string[];
  readonly tickets: boolean;
  /** Of a client: the name it asks for, which the certificate must be for. null: the endpoint's identity (of the mesh). */
  readonly serverName: string | null;
  /** Names are compared whole, as identities of the mesh are: a wildcard in a certificate is for nobody. */
  readonly wholeNames: boolean;
}
