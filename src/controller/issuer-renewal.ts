// The controller's own issuer, if nobody provides one, and its renewal: the issuer repeatedly under the same root, and the root early
// enough for its successor to be trusted long before it signs. Proxies learn the anchors when they are injected.
import { X509Certificate } from 'node:crypto';
import { Authority } from '../identity/issuing/authority.js';
import type { Part } from '../identity/problem.js';
import { issuerAnchors, SECRET_KEYS, secretValue } from './issuer-material.js';
import type { StoredObject } from './objects.js';

const DAY_MS = 86_400_000;

export interface IssuerLifetimes {
  readonly rootMs: number;
  readonly issuerMs: number;
}

export const ISSUER_LIFETIMES: IssuerLifetimes = { rootMs: 3650 * DAY_MS, issuerMs: 365 * DAY_MS };

/** Shares of a lifetime: renew the issuer; trust the next root; sign with the next root. */
const RENEW_SHARE = 2 / 3;
const PREPARE_SHARE = 0.5;
const SWITCH_SHARE = 0.8;
/** How far in the past certificates begin, for slow clocks. */
const SKEW_MS = 60_000;

/** Values of the Secret, in base64. */
export type SecretData = Readonly<Record<string, string>>;

export interface Renewal {
  readonly data: SecretData;
  /** For the log. */
  readonly what: 'issuer renewed' | 'next root made' | 'next root signs';
}

const encoded = (text: string): string => Buffer.from(text).toString('base64');

interface Root {
  readonly authority: Authority;
  readonly key: string;
}

function makeRoot(lifetimes: IssuerLifetimes, nowMs: number): Promise<Root> {
  const notBefore = new Date(nowMs - SKEW_MS);
  // Consecutive roots have different names, so that they cannot be confused.
  const name = `Sluice root of ${notBefore.toISOString().slice(0, 19)}Z`;
  return Authority.root({ name, keys: 'ecdsa', notBefore, notAfter: new Date(nowMs + lifetimes.rootMs) });
}

async function issuerBelow(root: Authority, lifetimes: IssuerLifetimes, nowMs: number): Promise<SecretData> {
  const notAfter = new Date(Math.min(nowMs + lifetimes.issuerMs, root.notAfter.getTime()));
  const notBefore = new Date(nowMs - SKEW_MS);
  const issuer = await root.subordinate({ name: 'Sluice issuer', keys: 'ecdsa', notBefore, notAfter });
  return {
    [SECRET_KEYS.certificate]: encoded(issuer.authority.pem),
    [SECRET_KEYS.key]: encoded(issuer.key),
  };
}

/** A root and an issuer below it. */
export async function makeIssuer(lifetimes: IssuerLifetimes, nowMs: number): Promise<SecretData> {
  const { authority, key } = await makeRoot(lifetimes, nowMs);
  return {
    ...(await issuerBelow(authority, lifetimes, nowMs)),
    [SECRET_KEYS.anchors]: encoded(authority.pem),
    [SECRET_KEYS.rootKey]: encoded(key),
  };
}

/** The renewal that is due for the controller's own issuer; null: none. `issuer`: the Secret's; `anchors`: trusted ones. */
export async function renewal(
  secret: StoredObject,
  issuer: Authority,
  anchors: readonly string[],
  lifetimes: IssuerLifetimes,
  nowMs: number,
): Promise<Renewal | null> {
  const root = await rootOf(secret, issuer, nowMs);
  const next = await nextRootOf(secret);
  const data = (secret.data ?? {}) as SecretData;
  // Without its key the root can't sign another issuer: then the next root is for this issuer's expiry.
  const horizon = root ?? issuer;
  const spent = shareOf(horizon, nowMs);
  if (next !== null && spent >= SWITCH_SHARE && anchors.includes(String(next.own))) {
    const { [SECRET_KEYS.nextRoot]: _, [SECRET_KEYS.nextRootKey]: nextKey, ...others } = data;
    const issued = await issuerBelow(next, lifetimes, nowMs);
    return { data: { ...others, ...issued, [SECRET_KEYS.rootKey]: nextKey }, what: 'next root signs' };
  }
  if (next === null && spent >= PREPARE_SHARE) {
    const made = await makeRoot(lifetimes, nowMs);
    const brought = [...issuerAnchors(secret, nowMs), made.authority.pem].join('');
    const added = {
      [SECRET_KEYS.anchors]: encoded(brought),
      [SECRET_KEYS.nextRoot]: encoded(made.authority.pem),
      [SECRET_KEYS.nextRootKey]: encoded(made.key),
    };
    return { data: { ...data, ...added }, what: 'next root made' };
  }
  if (root === null || shareOf(issuer, nowMs) < RENEW_SHARE || issuer.notAfter >= root.notAfter) return null;
  return { data: { ...data, ...(await issuerBelow(root, lifetimes, nowMs)) }, what: 'issuer renewed' };
}

/** Elapsed share of a lifetime. */
function shareOf({ own }: Authority, nowMs: number): number {
  const begin = Date.parse(own.validFrom);
  return (nowMs - begin) / (Date.parse(own.validTo) - begin);
}

/** The issuer's root, if its key is available. */
async function rootOf(secret: StoredObject, issuer: Authority, nowMs: number): Promise<Authority | null> {
  const key = secretValue(secret, SECRET_KEYS.rootKey);
  if (key === null) return null;
  const pem = issuerAnchors(secret, nowMs).find((text) => issuer.own.checkIssued(new X509Certificate(text)));
  const file = `${key.file.replace(SECRET_KEYS.rootKey, SECRET_KEYS.anchors)}`;
  return pem === undefined ? null : Authority.load(partOf(file, pem), key);
}

async function nextRootOf(secret: StoredObject): Promise<Authority | null> {
  const certificate = secretValue(secret, SECRET_KEYS.nextRoot);
  const key = secretValue(secret, SECRET_KEYS.nextRootKey);
  return certificate === null || key === null ? null : Authority.load(certificate, key);
}

const partOf = (file: string, text: string): Part => ({ file, bytes: Buffer.from(text) });
