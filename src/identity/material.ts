// What an identity consists of, ready to be used in TLS: checked, and in the forms that OpenSSL reads.

export interface IdentityMaterial {
  /** PEM: the leaf, then what signed it, in order. */
  readonly chain: string;
  /** PEM, without a passphrase. */
  readonly key: string;
  /** PEM, one certificate each: what the mesh trusts. Several while they are rotated. */
  readonly anchors: readonly string[];
  /** Whose certificate it is, as a SPIFFE URI or a DNS name, in canonical form: what peers' rules name. */
  readonly name: string;
  /** All workload names that the certificate has: URIs, then DNS names. */
  readonly names: readonly string[];
  /** Names that peers ask for us by (SNI), in lower case. */
  readonly serverNames: readonly string[];
  /** When it begins and ends, ms since 1970. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}
