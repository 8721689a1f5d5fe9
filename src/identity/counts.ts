// What the metrics know of the identity.
import { IDENTITY_FAILURES, type IdentityFailure } from './source.js';

export interface IdentityCounts {
  /** Whether the configuration has an identity. */
  wanted: boolean;
  /** End of the present certificate, ms since 1970; 0 without one. */
  notAfterMs: number;
  /** When it was taken over. */
  refreshedMs: number;
  /** Trust anchors. */
  anchors: number;
  /** Times that an identity was taken over, the first included. */
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
