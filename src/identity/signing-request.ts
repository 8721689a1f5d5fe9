// Creates a new key and a certificate request for it (PKCS#10, RFC 2986), for an identity service.
import { generateKeyPair, sign } from 'node:crypto';
import { promisify } from 'node:util';
import { oid, sequence, set, tlv } from './der-writer.js';

const ECDSA_WITH_SHA256 = sequence(oid('1.2.840.10045.4.3.2'));
/** RFC 2985 section 5.4.2. */
const EXTENSION_REQUEST = oid('1.2.840.113549.1.9.14');
const SUBJECT_ALT_NAME = oid('2.5.29.17');
const VERSION_1 = tlv(0x02, Uint8Array.of(0));
/** GeneralName (RFC 5280 section 4.2.1.6), context tags [2] and [6]. */
const DNS_NAME = 0x82;
const URI = 0x86;
const ATTRIBUTES = 0xa0;

export interface SigningRequest {
  /** DER. */
  readonly request: Buffer;
  /** PKCS#8, PEM. */
  readonly key: string;
}

/** For a workload name. The subject is empty: the name is in the extension. */
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
