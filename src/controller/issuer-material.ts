// Reads and checks a mesh's issuer in a Secret, and the trusted anchors in a ConfigMap. The Secret's keys are cert-manager's.
import { X509Certificate } from 'node:crypto';
import { trustProblem } from '../identity/chain.js';
import { checkAnchors } from '../identity/credentials.js';
import { Authority } from '../identity/issuing/authority.js';
import { CredentialProblem, type Part } from '../identity/problem.js';
import type { StoredObject } from './objects.js';

/** Keys of the Secret; roots' private keys are only in one that the controller has created. */
export const SECRET_KEYS = {
  certificate: 'tls.crt',
  key: 'tls.key',
  anchors: 'ca.crt',
  rootKey: 'ca.key',
  /** The next root: trusted before it signs. */
  nextRoot: 'next-ca.crt',
  nextRootKey: 'next-ca.key',
} as const;
/** Key of the ConfigMap. */
export const BUNDLE_KEY = 'ca-bundle.crt';

/** The controller renews objects with this label; others are only read. */
export const OWNED = { 'app.kubernetes.io/managed-by': 'sluice-controller' } as const;

export const isOwned = ({ metadata }: StoredObject): boolean =>
  Object.entries(OWNED).every(([label, value]) => metadata.labels?.[label] === value);

const nameOf = (kind: string, { metadata }: StoredObject): string => `${kind} ${metadata.namespace}/${metadata.name}`;

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

/** A value in a Secret; null if missing or empty. */
export function secretValue(secret: StoredObject, key: string): Part | null {
  const value = recordOf(secret.data)[key];
  if (typeof value !== 'string' || value === '') return null;
  return { file: `${nameOf('Secret', secret)}, key ${key}`, bytes: Buffer.from(value, 'base64') };
}

function required(secret: StoredObject, key: string): Part {
  const part = secretValue(secret, key);
  if (part === null) throw new CredentialProblem(`${nameOf('Secret', secret)}, key ${key}`, 'is missing, or empty');
  return part;
}

/** The authority, even if expired. Rejects with a CredentialProblem that names the object and the key. */
export function readAuthority(secret: StoredObject): Promise<Authority> {
  return Authority.load(required(secret, SECRET_KEYS.certificate), required(secret, SECRET_KEYS.key));
}

/** The anchors that come with an issuer, PEM, one each; empty if the Secret has no such key. Throws a CredentialProblem. */
export function issuerAnchors(secret: StoredObject, nowMs: number): readonly string[] {
  const part = secretValue(secret, SECRET_KEYS.anchors);
  return part === null ? [] : checkAnchors(part, nowMs).anchors;
}

/** The trusted anchors, PEM, one each. Throws a CredentialProblem. */
export function trustedAnchors(bundle: StoredObject, nowMs: number): readonly string[] {
  const value = recordOf(bundle.data)[BUNDLE_KEY];
  const file = `${nameOf('ConfigMap', bundle)}, key ${BUNDLE_KEY}`;
  if (typeof value !== 'string' || value === '') throw new CredentialProblem(file, 'is missing, or empty');
  return checkAnchors({ file, bytes: Buffer.from(value) }, nowMs).anchors;
}

/** Throws a CredentialProblem if an issuer has expired, or if what it signs would not be trusted. */
export function checkIssuer(authority: Authority, secret: StoredObject, bundle: StoredObject, nowMs: number): void {
  const file = `${nameOf('Secret', secret)}, key ${SECRET_KEYS.certificate}`;
  const { notAfter } = authority;
  if (notAfter.getTime() <= nowMs)
    throw new CredentialProblem(file, `expired at ${notAfter.toISOString()}; a new issuer is due`);
  const anchors = trustedAnchors(bundle, nowMs).map((text) => new X509Certificate(text));
  const problem = trustProblem(authority.chain, anchors, `${nameOf('ConfigMap', bundle)}, key ${BUNDLE_KEY}`);
  if (problem !== null) throw new CredentialProblem(file, problem);
}
