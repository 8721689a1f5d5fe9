// Certificates, keys and bundles in files.
import { FileProblem, FileTooLarge, readBytes } from '../discovery/read-file.js';
import {
  type CertificateChecks,
  type CheckedAnchors,
  type CheckedCertificate,
  checkAnchors,
  checkCertificate,
} from './credentials.js';
import { isPem } from './pem-text.js';
import { CredentialProblem, type Part } from './problem.js';

/** A whole system's bundle has a quarter of this. */
const MAX_BYTES = 2 ** 20;
/** Read permission of everybody. */
const OTHERS_READ = 0o004;

export interface CertificateFiles {
  readonly certificate: string;
  readonly key: string;
}

/** Throws a CredentialProblem. */
export function readPart(file: string): Part & { readonly mode: number } {
  try {
    const tooLarge = (size: string): FileTooLarge =>
      new FileTooLarge(`has ${size}, more than the 1MiB that a file of certificates may have; name the right file`);
    const { bytes, mode } = readBytes(file, MAX_BYTES, tooLarge);
    return { file, bytes, mode };
  } catch (error) {
    if (error instanceof FileProblem) throw new CredentialProblem(file, error.message);
    throw error;
  }
}

/** Reads a file, or PEM text, for which `from` names the place. Throws a CredentialProblem. */
export const readPartOrText = (pathOrText: string, from: string): Part =>
  isPem(pathOrText) ? { file: from, bytes: Buffer.from(pathOrText, 'latin1') } : readPart(pathOrText);

/** Throws a CredentialProblem. */
export function readCertificate(files: CertificateFiles, checks: CertificateChecks): CheckedCertificate {
  const certificate = readPart(files.certificate);
  const key = readPart(files.key);
  const checked = checkCertificate(certificate, key, checks);
  if ((key.mode & OTHERS_READ) === 0) return checked;
  const warning = `${files.key} may be read by every user of this machine (mode ${key.mode.toString(8)}); chmod 600, and let this user own it`;
  return { ...checked, warnings: [...checked.warnings, warning] };
}

/** Throws a CredentialProblem. `tolerant`: as for `checkAnchors`. */
export function readAnchors(file: string, nowMs = Date.now(), tolerant = false): CheckedAnchors {
  return checkAnchors(readPart(file), nowMs, tolerant);
}
