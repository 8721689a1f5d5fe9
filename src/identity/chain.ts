// Certificate chains: in order, each signed by the next, up to an anchor if the anchors are known.
import { type KeyObject, X509Certificate } from 'node:crypto';
import { alternativeNames } from './der.js';
import { instead, isCertificate, pemBlocks } from './pem.js';

/** More would exceed what peers read of a handshake. */
const MAX_CHAIN = 10;

/** The certificates in a file, in order; text: the problem. `tolerant`: skips unreadable ones. */
export function readCertificates(bytes: Uint8Array, tolerant = false): readonly X509Certificate[] | string {
  const blocks = pemBlocks(bytes);
  if (typeof blocks === 'string') return blocks;
  const found = blocks.filter(isCertificate);
  if (found.length === 0) return instead(blocks, 'certificate');
  const certificates: X509Certificate[] = [];
  for (const [index, { text, line }] of found.entries()) {
    try {
      certificates.push(new X509Certificate(text));
    } catch {
      if (tolerant) continue;
      return `certificate ${index + 1} of ${found.length} (from line ${line}) can't be read: it is damaged; replace it`;
    }
  }
  return certificates;
}

const MAX_SUBJECT = 100;

/** For messages: the certificate's subject in one line. */
export function subjectOf(certificate: X509Certificate): string {
  const { dns, uris } = alternativeNames(certificate.raw);
  const text = certificate.subject?.replaceAll('\n', ', ') || uris[0] || dns[0] || 'no subject';
  const short = text.length <= MAX_SUBJECT ? text : `${text.slice(0, MAX_SUBJECT)}...`;
  // It may contain anything, and be shown on a terminal.
  return short.replace(/\p{C}/gu, '?');
}

/** `certificate 2 of 3 (CN=issuer)`. */
export function certificateAt(all: readonly X509Certificate[], index: number): string {
  return `certificate ${index + 1} of ${all.length} (${subjectOf(all[index])})`;
}

export function signedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  if (!certificate.checkIssued(issuer)) return false;
  try {
    return certificate.verify(issuer.publicKey);
  } catch {
    return false;
  }
}

/** null: of an unknown kind. */
export function publicKeyOf(certificate: X509Certificate): KeyObject | null {
  try {
    return certificate.publicKey;
  } catch {
    return null;
  }
}

export const isSelfSigned = (certificate: X509Certificate): boolean => signedBy(certificate, certificate);

/** The problem with the order of a chain whose leaf has this key; null if it is right. */
export function orderProblem(chain: readonly X509Certificate[], key: KeyObject): string | null {
  if (chain.length > MAX_CHAIN)
    return `has ${chain.length} certificates; a chain has ${MAX_CHAIN} at most: keep the leaf and what signed it`;
  if (!chain[0].checkPrivateKey(key)) {
    const at = chain.findIndex((certificate) => certificate.checkPrivateKey(key));
    if (at > 0)
      return `is in the wrong order: the key belongs to ${certificateAt(chain, at)}; write that first, then what signed it, and so on`;
    return `does not belong to the key: ${certificateAt(chain, 0)} has a different one; name the two that belong together`;
  }
  for (let i = 0; i + 1 < chain.length; i++) {
    if (signedBy(chain[i], chain[i + 1])) continue;
    const signer = chain.findIndex((other, index) => index !== i && signedBy(chain[i], other));
    const place = `${certificateAt(chain, i + 1)} did not sign ${certificateAt(chain, i)}`;
    return signer < 0
      ? `${place}; an intermediate is missing between them, or what follows does not belong there`
      : `is in the wrong order: ${place}, but ${certificateAt(chain, signer)} did; write each certificate before the one that signed it`;
  }
  return null;
}

/** Why a chain does not end in one of the anchors; null if it does. */
export function trustProblem(
  chain: readonly X509Certificate[],
  anchors: readonly X509Certificate[],
  where: string,
): string | null {
  for (const certificate of chain) {
    for (const anchor of anchors) {
      if (certificate.fingerprint256 === anchor.fingerprint256 || signedBy(certificate, anchor)) return null;
    }
  }
  const last = chain.length - 1;
  const sameName = anchors.some((anchor) => anchor.subject === chain[last].issuer);
  const what = `${certificateAt(chain, last)} was signed by ${chain[last].issuer?.replaceAll('\n', ', ') || 'nobody named'}`;
  return sameName
    ? `${what}, but with a different key from the one in ${where}: the authority has been renewed; update one of the two`
    : `${what}, which is not in ${where}; add the intermediate that is missing to the chain, or the authority to the anchors`;
}
