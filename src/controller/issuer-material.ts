// What issues the certificates of a mesh, as a Secret has it, and what proxies trust, as a ConfigMap has it: read and checked. The Secret's
// keys are those of cert-manager.
import { X509Certificate } from 'node:crypto';
import { trustProblem } from '../identity/chain.js';
import { checkAnchors } from '../identity/credentials.js';
import { Authority } from '../identity/issuing/authority.js';
import { CredentialProblem, type Part } from '../identity/problem.js';
import type { StoredObject } from './objects.js';

/** Keys of the Secret; those of roots' keys are in one that the controller has made. */
export const SECRET_KEYS = {
  certificate: 'tls.crt',
  key: 'tls.key',
  anchors: 'ca.crt',
  rootKey: 'ca.key',
  /** The root that comes next: it is trusted before it signs. */
  nextRoot: 'next-ca.crt',
  nextRootKey: 'next-ca.key',
} as const;
/** Key of the ConfigMap. */
export const BUNDLE_KEY = 'ca-bundle.crt';

/** Objects with this label are the controller's to renew; others are read only. */
export const OWNED = { 'app.kubernetes.io/managed-by': 'sluice-controller' } as const;

export const isOwned = ({ metadata }: StoredObject): boolean =>
  Object.entries(OWNED).every(([label, value]) => metadata.labels?.[label] === value);

const nameOf = (kind: string, { metadata }: StoredObject): string => `${kind} ${metadata.namespace}/${metadata.name}`;

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

/** What is in a Secret; null: there is no such key, or nothing in it. */
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

/** What signs, even if it has ended. Rejects with a CredentialProblem that names the object and the key. */
export function readAuthority(secret: StoredObject): Promise<Authority> {
  return Authority.load(required(secret, SECRET_KEYS.certificate), required(secret, SECRET_KEYS.key));
}

/** The anchors that come with an issuer, PEM, one each; none where the Secret has no such key. Throws a CredentialProblem. */
export function issuerAnchors(secret: StoredObject, nowMs: number): readonly string[] {
  const part = secretValue(secret, SECRET_KEYS.anchors);
  return part === null ? [] : checkAnchors(part, nowMs).anchors;
}

/** What proxies trust, PEM, one each. Throws a CredentialProblem. */
export function trustedAnchors(bundle: StoredObject, nowMs: number): readonly string[] {
  const value = recordOf(bundle.data)[BUNDLE_KEY];
  const file = `${nameOf('ConfigMap', bundle)}, key ${BUNDLE_KEY}`;
  if (typeof value !== 'string' || value === '') throw new CredentialProblem(file, 'is missing, or empty');
  return checkAnchors({ file, bytes: Buffer.from(value) }, nowMs).anchors;
}

/** Throws a CredentialProblem where an issuer has ended, or what it signs would not be trusted. */
export function checkIssuer(authority: Authority, secret: StoredObject, bundle: StoredObject, nowMs: number): void {
  const file = `${nameOf('Secret', secret)}, key ${SECRET_KEYS.certificate}`;
  const { notAfter } = authority;
  if (notAfter.getTime() <= nowMs)
    throw new CredentialProblem(file, `ended at ${notAfter.toISOString()}; a new issuer is due`);
  const anchors = trustedAnchors(bundle, nowMs).map((text) => new X509Certificate(text));
  const problem = trustProblem(authority.chain, anchors, `${nameOf('ConfigMap', bundle)}, key ${BUNDLE_KEY}`);
  if (problem !== null) throw new CredentialProblem(file, problem);
}
