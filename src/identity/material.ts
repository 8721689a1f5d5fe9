// The parts of an identity, ready for use in TLS: validated, and in the forms that OpenSSL reads.

export interface IdentityMaterial {
  /** PEM: the leaf, followed by its chain in order. */
  readonly chain: string;
  /** PEM, without a passphrase. */
  readonly key: string;
  /** PEM, one certificate each: the mesh's trust anchors. Several during a rotation. */
  readonly anchors: readonly string[];
  /** Its name, as a SPIFFE URI or a DNS name in canonical form: peers' rules refer to it. */
  readonly name: string;
  /** All workload names in the certificate: URIs, then DNS names. */
  readonly names: readonly string[];
  /** Names by which peers ask for us (SNI), in lower case. */
  readonly serverNames: readonly string[];
  /** When it begins and ends, ms since 1970. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}
