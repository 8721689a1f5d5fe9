// A throwaway certificate for TLS with oneself.
import { Authority } from '../identity/issuing/authority.js';
import { keyPem, makeKeys, publicKeyDer } from '../identity/issuing/keys.js';

export interface OwnCertificate {
  /** PEM. */
  readonly anchor: string;
  readonly chain: string;
  readonly key: string;
}

export async function ownCertificate(name: string): Promise<OwnCertificate> {
  const now = Date.now();
  const times = { notBefore: new Date(now - 60_000), notAfter: new Date(now + 86_400_000) };
  const { authority } = await Authority.root({ name: 'micro-benchmark', ...times, keys: 'ecdsa' });
  const pair = await makeKeys('ecdsa');
  const publicKey = await publicKeyDer(pair.publicKey);
  const leaf = await authority.issue({ publicKey, dns: [name], uris: [], ...times });
  return { anchor: authority.pem, chain: String(leaf.certificate), key: await keyPem(pair.privateKey) };
}
