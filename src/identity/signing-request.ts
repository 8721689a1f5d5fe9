// A new key, and the request for a certificate of it (PKCS#10, RFC 2986) that an identity service is sent.
import { generateKeyPair, sign } from 'node:crypto';
import { promisify } from 'node:util';
import { oid, sequence, set, tlv } from './der-writer.js';

const ECDSA_WITH_SHA256 = sequence(oid('1.2.840.10045.4.3.2'));
/** RFC 2985 section 5.4.2. */
const EXTENSION_REQUEST = oid('1.2.840.113549.1.9.14');
const SUBJECT_ALT_NAME = oid('2.5.29.17');
const VERSION_1 = tlv(0x02, Uint8Array.of(0));
/** Of GeneralName (RFC 5280 section 4.2.1.6): in context, [2] and [6]. */
const DNS_NAME = 0x82;
const URI = 0x86;
const ATTRIBUTES = 0xa0;

export interface SigningRequest {
  /** DER. */
  readonly request: Buffer;
  /** PKCS#8, PEM. */
  readonly key: string;
}

/** For a name of a workload. The subject is empty: the name is one of the extension's. */
export async function makeSigningRequest(name: string): Promise<SigningRequest> {
  const { publicKey, privateKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' });
  const text = Buffer.from(name, 'latin1');
  const alternative = sequence(tlv(name.startsWith('spiffe:') ? URI : DNS_NAME, text));
  const extensions = sequence(sequence(SUBJECT_ALT_NAME, tlv(0x04, alternative)));
  const info = sequence(
    VERSION_1,
    sequence(),
    publicKey.export({ type: 'spki', format: 'der' }),
    tlv(ATTRIBUTES, sequence(EXTENSION_REQUEST, set(extensions))),
  );
  const signature = sign('sha256', info, { key: privateKey, dsaEncoding: 'der' });
  const request = sequence(info, ECDSA_WITH_SHA256, tlv(0x03, Uint8Array.of(0), signature));
  return { request, key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
}
