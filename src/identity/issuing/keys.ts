// Keys of certificates: their kinds, and conversion between PEM and WebCrypto, which the X.509 library uses.
import type { KeyObject, webcrypto as types } from 'node:crypto';
import { createPrivateKey, webcrypto } from 'node:crypto';

export type CryptoKey = types.CryptoKey;

export interface KeyPair {
  readonly publicKey: CryptoKey;
  readonly privateKey: CryptoKey;
}

export const KEY_KINDS = ['ecdsa', 'rsa'] as const;
/** `ecdsa`: P-256. `rsa`: 2,048 bits. */
export type KeyKind = (typeof KEY_KINDS)[number];

const RSA = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } as const;
const GENERATED = {
  ecdsa: { name: 'ECDSA', namedCurve: 'P-256' },
  rsa: { ...RSA, modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) },
} as const;

/** Curves by OpenSSL's names. */
const CURVES: Readonly<Record<string, string>> = { prime256v1: 'P-256', secp384r1: 'P-384' };

export function makeKeys(kind: KeyKind): Promise<KeyPair> {
  return webcrypto.subtle.generateKey(GENERATED[kind], true, ['sign', 'verify']) as Promise<KeyPair>;
}

/** The problem with a key; null: it may sign and be certified. Small keys can be broken, and large ones cost peers time. */
export function keyProblem(key: KeyObject): string | null {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === 'ec') {
    const curve = details?.namedCurve ?? 'unknown';
    return curve in CURVES ? null : `an ECDSA key on the curve ${curve}; P-256 and P-384 are supported`;
  }
  if (type !== 'rsa') return `a key of the kind ${type ?? 'unknown'}; ECDSA and RSA are supported`;
  const bits = details?.modulusLength ?? 0;
  if (bits < 2048 || bits > 4096) return `an RSA key of ${bits} bits; 2048 to 4096 are allowed`;
  return (details?.publicExponent ?? 0n) < 65537n ? 'an RSA key with a small exponent; 65537 is usual' : null;
}

/** A private key without a `keyProblem`, in the library's form. */
export async function signingKey(key: KeyObject): Promise<CryptoKey> {
  const curve = CURVES[key.asymmetricKeyDetails?.namedCurve ?? ''];
  const algorithm = key.asymmetricKeyType === 'ec' ? { name: 'ECDSA', namedCurve: curve } : RSA;
  const der = key.export({ type: 'pkcs8', format: 'der' });
  return webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);
}

/** The signature algorithm of a key: on P-384 with a hash of the same length. */
export function signingAlgorithm({ algorithm }: CryptoKey): { name: string; hash: string } {
  const { namedCurve } = algorithm as { namedCurve?: string };
  return { name: algorithm.name, hash: namedCurve === 'P-384' ? 'SHA-384' : 'SHA-256' };
}

/** PKCS#8, PEM. */
export async function keyPem(key: CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key));
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    .export({ type: 'pkcs8', format: 'pem' })
    .toString();
}

/** DER (SubjectPublicKeyInfo). */
export async function publicKeyDer(key: CryptoKey): Promise<Uint8Array> {
  return new Uint8Array(await webcrypto.subtle.exportKey('spki', key));
}
