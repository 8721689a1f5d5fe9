// Private keys in PEM files.
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { instead, isKey, pemBlocks } from './pem.js';
import { orProblem, type Part } from './problem.js';

export interface PrivateKey {
  readonly key: KeyObject;
  /** PEM of the key only. */
  readonly pem: string;
}

/** OpenSSL's security level 2, and NIST SP 800-57: 112 bits. */
const MIN_RSA_BITS = 2048;
/** Curves with signatures in TLS 1.3 (RFC 8446 section 4.2.3). */
const CURVES: readonly (string | undefined)[] = ['prime256v1', 'secp384r1', 'secp521r1'];

/** Throws a CredentialProblem. */
export function readPrivateKey({ file, bytes }: Part): PrivateKey {
  return orProblem(file, parse(bytes));
}

function parse(bytes: Uint8Array): PrivateKey | string {
  const blocks = pemBlocks(bytes);
  if (typeof blocks === 'string') return blocks;
  const keys = blocks.filter(isKey);
  if (keys.length === 0) return instead(blocks, 'private key');
  if (keys.length > 1)
    return `has ${keys.length} private keys, on lines ${keys.map(({ line }) => line).join(' and ')}; leave the one that belongs to the certificate`;
  const [{ label, text, line }] = keys;
  if (label === 'ENCRYPTED PRIVATE KEY' || /^Proc-Type:.*ENCRYPTED/m.test(text))
    return 'has a key with a passphrase, which nobody can type here; remove it: openssl pkey -in FILE -out FILE.plain, and keep that file readable by this user only';
  let key: KeyObject;
  try {
    key = createPrivateKey(text);
  } catch {
    // OpenSSL's message might quote the key.
    return `has a key from line ${line} that can't be read: it is damaged, or of an unknown kind; write the file again`;
  }
  return weakness(key, 'key') ?? { key, pem: text };
}

/** Why peers would refuse a key, public or private; null if it is strong enough and usable in TLS. */
export function weakness(key: KeyObject, what: string): string | null {
  const { asymmetricKeyType: type = 'unknown', asymmetricKeyDetails: details = {} } = key;
  switch (type) {
    case 'rsa':
    case 'rsa-pss': {
      const bits = details.modulusLength ?? 0;
      return bits >= MIN_RSA_BITS
        ? null
        : `has an RSA ${what} of ${bits} bits, which is too weak; use ${MIN_RSA_BITS} bits, or EC with P-256`;
    }
    case 'ec':
      return CURVES.includes(details.namedCurve)
        ? null
        : `has an EC ${what} of the curve ${details.namedCurve}, which TLS 1.3 does not have; use P-256, P-384 or P-521`;
    case 'ed25519':
    case 'ed448':
      return null;
    default:
      return `has a ${what} of the kind ${type}, which is not for TLS; use EC with P-256, or RSA`;
  }
}
