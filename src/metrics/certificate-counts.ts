// Counters of certificates in files.

/** Counted by the main thread. */
export interface CertificateCounts {
  /** Number of times files were read, and could be used or not. */
  loaded: number;
  failed: number;
  /** Certificates and bundles whose current files can't be used. */
  broken: number;
  /** Those in use. */
  used: readonly UsedCertificate[];
}

export interface UsedCertificate {
  readonly use: 'listener' | 'service';
  /** Name of the listener or service. */
  readonly name: string;
  /** Its number in `certificates`, from 0; `client-authority`, `certificate` or `ca`. */
  readonly certificate: string;
  readonly notAfterMs: number;
}
