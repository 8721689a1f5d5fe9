// Validates a certificate with its key, or a bundle of CAs. This happens before a worker gets any of it, so that problems are reported
// once, in words, and the previous content stays in use.
import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import {
  certificateAt,
  isSelfSigned,
  orderProblem,
  publicKeyOf,
  readCertificates,
  subjectOf,
  trustProblem,
} from './chain.js';
import { type AlternativeNames, alternativeNames, KEY_USAGE, keyUsage, weakDigest } from './der.js';
import { readPrivateKey, weakness } from './private-key.js';
import { CredentialProblem, orProblem, type Part } from './problem.js';

/** Use of a certificate: one side of connections, or a mesh workload for both. */
export type Purpose = 'server' | 'client' | 'workload';

export interface CertificateChecks {
  readonly purpose: Purpose;
  /** PEM, one each, in which the chain must end, and where they come from; without them it is unknown what peers trust. */
  readonly anchors?: { readonly pem: readonly string[]; readonly from: string };
  /** Server names that it will be used for, in lower case; null: its own. */
  readonly names?: readonly string[] | null;
  /** ms since 1970. */
  readonly nowMs?: number;
}

export interface CheckedCertificate {
  /** PEM: the leaf, followed by its chain in order. */
  readonly chain: string;
  /** PEM. */
  readonly key: string;
  readonly subject: string;
  /** Names of the leaf. */
  readonly names: AlternativeNames;
  readonly notBeforeMs: number;
  /** When the first certificate of the chain expires, not counting roots. */
  readonly notAfterMs: number;
  /** Problems that do not prevent its use. */
  readonly warnings: readonly string[];
}

export interface CheckedAnchors {
  /** PEM, one each. */
  readonly anchors: readonly string[];
  /** When the last of them expires. */
  readonly notAfterMs: number;
  readonly warnings: readonly string[];
}

const EXTENDED = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2', any: '2.5.29.37.0' } as const;
const EXTENDED_WORDS = { server: 'servers (serverAuth)', client: 'clients (clientAuth)' } as const;
/** 112 bits, the default of Node.js 24 and OpenSSL 3.5 and later. */
const CIPHERS = 'DEFAULT@SECLEVEL=2';

const beginMs = (certificate: X509Certificate): number => Date.parse(certificate.validFrom);
const endMs = (certificate: X509Certificate): number => Date.parse(certificate.validTo);
const dateText = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;

function unreadableDates(certificate: X509Certificate): string | null {
  if (Number.isFinite(beginMs(certificate)) && Number.isFinite(endMs(certificate))) return null;
  return `has an invalid date (from ${certificate.validFrom} to ${certificate.validTo}); have it reissued`;
}

function datesProblem(chain: readonly X509Certificate[], nowMs: number): string | null {
  for (const [index, certificate] of chain.entries()) {
    const unreadable = unreadableDates(certificate);
    if (unreadable !== null) return `${certificateAt(chain, index)} ${unreadable}`;
    if (endMs(certificate) < nowMs && !(index > 0 && isSelfSigned(certificate)))
      return `${certificateAt(chain, index)} expired on ${dateText(endMs(certificate))}; renew it`;
    if (beginMs(certificate) > nowMs)
      return `${certificateAt(chain, index)} is not valid before ${dateText(beginMs(certificate))}; is the clock of this machine right? If so, wait, or use another one until then`;
  }
  return null;
}

function usageProblem(leaf: X509Certificate, purpose: Purpose): string | null {
  const usage = keyUsage(leaf.raw);
  if (usage !== null && (usage & KEY_USAGE.DIGITAL_SIGNATURE) === 0)
    return `certificate 1 (${subjectOf(leaf)}) has a key usage without digitalSignature, so that TLS 1.3 can't use it; have it reissued`;
  const sides = purpose === 'workload' ? (['server', 'client'] as const) : [purpose];
  // Node's `keyUsage` is the extended key usage.
  const extended = (leaf.keyUsage as readonly string[] | undefined) ?? null;
  for (const side of sides) {
    if (extended === null || extended.includes(EXTENDED[side]) || extended.includes(EXTENDED.any)) continue;
    return `certificate 1 (${subjectOf(leaf)}) is not for ${EXTENDED_WORDS[side]} by its extended key usage; have it reissued, or use another one`;
  }
  return null;
}

function authorityProblem(leaf: X509Certificate, purpose: Purpose): string | null {
  // Certificates from `openssl req -x509` claim to be CAs, and peers that trust them accept them.
  if (!leaf.ca || (purpose !== 'workload' && isSelfSigned(leaf))) return null;
  return `certificate 1 (${subjectOf(leaf)}) is a CA certificate; use one that this CA has issued, with its key`;
}

function keyProblem(certificate: X509Certificate): string | null {
  const key = publicKeyOf(certificate);
  return key === null ? 'has a key of an unknown kind; use EC with P-256, or RSA' : weakness(key, 'key');
}

function strengthProblem(chain: readonly X509Certificate[]): string | null {
  for (const [index, certificate] of chain.entries()) {
    const problem = keyProblem(certificate);
    if (problem !== null) return `${certificateAt(chain, index)} ${problem}`;
    // The signature of a root is not checked.
    const digest = isSelfSigned(certificate) ? null : weakDigest(certificate.raw);
    if (digest !== null)
      return `${certificateAt(chain, index)} is signed with ${digest}, which peers refuse; have it reissued with SHA-256`;
  }
  return null;
}

/** Whether one of a certificate's names is `name`, or a matching wildcard. */
function covers(names: readonly string[], name: string): boolean {
  const domain = name.slice(name.indexOf('.'));
  return names.some((known) => known === name || (known.startsWith('*.') && known.slice(1) === domain));
}

function nameProblem(leaf: X509Certificate, names: readonly string[] | null): string | null {
  const { dns } = alternativeNames(leaf.raw);
  const missing = names?.find((name) => !covers(dns, name));
  if (missing === undefined) return null;
  const has = dns.length === 0 ? 'no DNS name' : dns.join(', ');
  return `certificate 1 (${subjectOf(leaf)}) is not for ${missing}, as \`names\` says: it has ${has}; correct names, or have it reissued`;
}

/** OpenSSL's own verdict, for everything not checked above. */
function openSslProblem(chain: string, key: string): string | null {
  try {
    createSecureContext({ cert: chain, key, ciphers: CIPHERS });
    return null;
  } catch (error) {
    const { reason, message } = error as Error & { reason?: string };
    return `OpenSSL rejects it: ${reason ?? message}; have it reissued`;
  }
}

const pemOf = (certificates: readonly X509Certificate[]): string =>
  certificates.map((certificate) => certificate.toString()).join('');

/** Checks a certificate with its chain, and its key. Throws a CredentialProblem that names the file at fault. */
export function checkCertificate(certificate: Part, key: Part, checks: CertificateChecks): CheckedCertificate {
  const { purpose, anchors, names: wanted = null, nowMs = Date.now() } = checks;
  const { file } = certificate;
  const chain = orProblem(file, readCertificates(certificate.bytes));
  const privateKey = readPrivateKey(key);
  const [leaf] = chain;
  const text = pemOf(chain);
  const problem =
    orderProblem(chain, privateKey.key)?.replace('the key', `the key of ${key.file}`) ??
    authorityProblem(leaf, purpose) ??
    datesProblem(chain, nowMs) ??
    usageProblem(leaf, purpose) ??
    nameProblem(leaf, wanted) ??
    strengthProblem(chain) ??
    (anchors === undefined ? null : trustProblem(chain, parseAnchors(anchors.pem), anchors.from)) ??
    openSslProblem(text, privateKey.pem);
  if (problem !== null) throw new CredentialProblem(file, problem);
  const warnings: string[] = [];
  if (leaf.ca)
    warnings.push(`certificate 1 (${subjectOf(leaf)}) says that it is a CA certificate, which some clients refuse`);
  const names = alternativeNames(leaf.raw);
  if (purpose === 'server' && names.dns.length + names.uris.length + names.addresses.length === 0)
    warnings.push(`certificate 1 (${subjectOf(leaf)}) has no subjectAltName: clients have no name to compare`);
  const mortal = chain.filter((one, index) => index === 0 || !isSelfSigned(one));
  return {
    chain: text,
    key: privateKey.pem,
    subject: subjectOf(leaf),
    names,
    notBeforeMs: Math.max(...mortal.map(beginMs)),
    notAfterMs: Math.min(...mortal.map(endMs)),
    warnings,
  };
}

const parseAnchors = (pem: readonly string[]): X509Certificate[] => pem.map((text) => new X509Certificate(text));

function anchorProblem(certificate: X509Certificate): string | null {
  // A server's self-signed certificate may itself be trusted.
  if (!certificate.ca && !isSelfSigned(certificate)) return 'is not a CA certificate; name the one that signed it';
  return keyProblem(certificate) ?? unreadableDates(certificate);
}

/**
 * Checks a bundle of CAs in which peers' chains may end. Throws a CredentialProblem. `tolerant`: skips invalid ones, because the user did
 * not put them there.
 */
export function checkAnchors({ file, bytes }: Part, nowMs = Date.now(), tolerant = false): CheckedAnchors {
  const found = orProblem(file, readCertificates(bytes, tolerant));
  const seen = new Set<string>();
  const live: X509Certificate[] = [];
  const warnings: string[] = [];
  for (const [index, certificate] of found.entries()) {
    if (seen.has(certificate.fingerprint256)) continue;
    seen.add(certificate.fingerprint256);
    const place = certificateAt(found, index);
    const problem = anchorProblem(certificate);
    if (problem !== null) {
      if (tolerant) continue;
      throw new CredentialProblem(file, `${place} ${problem}`);
    }
    if (endMs(certificate) < nowMs)
      warnings.push(`${place} expired on ${dateText(endMs(certificate))} and is left out; remove it`);
    else live.push(certificate);
  }
  if (live.length === 0)
    throw new CredentialProblem(
      file,
      `has ${found.length} certificates, and none of them can be used any more; update it`,
    );
  return {
    anchors: live.map((certificate) => certificate.toString()),
    notAfterMs: Math.max(...live.map(endMs)),
    warnings,
  };
}
