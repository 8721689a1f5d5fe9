// What the metrics know of certificates in files.

/** What the main thread counts of certificates. */
export interface CertificateCounts {
  /** Times that files were read, and could be used or not. */
  loaded: number;
  failed: number;
  /** Certificates and bundles of which the files as they are now can't be used. */
  broken: number;
  /** Those that are used. */
  used: readonly UsedCertificate[];
}

export interface UsedCertificate {
  readonly use: 'listener' | 'service';
  /** Of the listener or service. */
  readonly name: string;
  /** Its number in `certificates`, from 0; `client-authority`, `certificate` or `ca`. */
  readonly certificate: string;
  readonly notAfterMs: number;
}
