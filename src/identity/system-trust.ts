// The system's CAs, for services without CAs of their own.
import { existsSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import { readAnchors } from './credential-files.js';
import type { CheckedAnchors } from './credentials.js';

/** Locations of the bundle in distributions: Debian and Alpine, Red Hat, others. */
const PLACES = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt', '/etc/ssl/cert.pem'];

/** The last moment of a Date. */
const LAST_MS = 8.64e15;

/** The file with the system's CAs: the one that SSL_CERT_FILE names, or the distribution's; null without any. */
export function systemTrustFile(env: NodeJS.ProcessEnv): string | null {
  const { SSL_CERT_FILE: named } = env;
  if (named !== undefined && named !== '') return named;
  return PLACES.find((place) => existsSync(place)) ?? null;
}

/** Throws a CredentialProblem. Without a file, those built into Node.js. */
export function systemAnchors(file: string | null, nowMs: number): CheckedAnchors {
  if (file === null) return { anchors: rootCertificates, notAfterMs: LAST_MS, warnings: [] };
  const { anchors, notAfterMs } = readAnchors(file, nowMs, true);
  // The user can't do anything about expired ones.
  return { anchors, notAfterMs, warnings: [] };
}
