// Counters of the identity, for the metrics.
import { IDENTITY_FAILURES, type IdentityFailure } from './source.js';

export interface IdentityCounts {
  /** Whether the configuration has an identity. */
  wanted: boolean;
  /** Expiry of the current certificate, ms since 1970; 0 without one. */
  notAfterMs: number;
  /** When it was put to use. */
  refreshedMs: number;
  /** Trust anchors. */
  anchors: number;
  /** Times that an identity was put to use, including the first. */
  refreshes: number;
  readonly failures: Record<IdentityFailure, number>;
}

export function noCounts(): IdentityCounts {
  const failures = Object.fromEntries(IDENTITY_FAILURES.map((reason) => [reason, 0]));
  return {
    wanted: false,
    notAfterMs: 0,
    refreshedMs: 0,
    anchors: 0,
    refreshes: 0,
    failures: failures as Record<IdentityFailure, number>,
  };
}
