// Certificate requests (PKCS#10) from strangers: what they ask for is compared with what they may have, and only their key gets into a
// certificate.
import 'reflect-metadata';
import { createPublicKey } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { keyProblem } from './keys.js';
import { Refusal } from './refusal.js';

/** A request with one name and an RSA key of 4,096 bits has less than 2 KiB. */
export const MAX_SIGNING_REQUEST_BYTES = 8192;
/** Maximum number of names to show in a refusal. */
const MAX_SHOWN = 3;

export interface Asked {
  /** DER (SubjectPublicKeyInfo). */
  readonly publicKey: Uint8Array;
  /** Requested URIs: the caller checks whether they are the account's. */
  readonly uris: readonly string[];
}

/** The content of `der`, if it asks for `name` and no other DNS name; throws a Refusal. */
export async function readSigningRequest(der: Uint8Array, name: string): Promise<Asked> {
  if (der.length === 0) throw new Refusal('bad-request', 'there is no certificate signing request');
  if (der.length > MAX_SIGNING_REQUEST_BYTES)
    throw new Refusal(
      'bad-request',
      `the certificate signing request has more than ${MAX_SIGNING_REQUEST_BYTES} bytes`,
    );
  const request = parse(der);
  const publicKey = new Uint8Array(request.publicKey.rawData);
  // Before the signature is checked: a key of a forbidden size would cost time.
  checkKey(publicKey);
  const uris = checkNames(request, name);
  await checkSignature(request);
  return { publicKey, uris };
}

function parse(der: Uint8Array): x509.Pkcs10CertificateRequest {
  try {
    // The library also accepts PEM, base 64 and hexadecimal digits, and ignores trailing bytes.
    if (!isOneSequence(der)) throw new Error('it is not a DER sequence, or something follows it');
    const request = new x509.Pkcs10CertificateRequest(Buffer.from(der));
    // They are parsed on access.
    void request.extensions.length;
    void request.subjectName.toString();
    void request.publicKey.rawData;
    return request;
  } catch (error) {
    throw unreadable(error);
  }
}

/** X.690, 8.1: one sequence, with one or two extra length bytes: that is how long a request is. */
function isOneSequence(der: Uint8Array): boolean {
  if (der.length < 4 || der[0] !== 0x30) return false;
  if (der[1] === 0x81) return der.length === 3 + der[2];
  return der[1] === 0x82 && der.length === 4 + der[2] * 256 + der[3];
}

const unreadable = (error: unknown): Refusal =>
  new Refusal(
    'bad-signing-request',
    "the certificate signing request can't be read: it must be PKCS#10 in DER",
    `the certificate signing request can't be read: ${error instanceof Error ? error.message : String(error)}`,
  );

function checkKey(spki: Uint8Array): void {
  let problem: string | null;
  try {
    problem = keyProblem(createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' }));
  } catch (error) {
    throw unreadable(error);
  }
  if (problem !== null) throw new Refusal('bad-key', `the certificate signing request has ${problem}`);
}

async function checkSignature(request: x509.Pkcs10CertificateRequest): Promise<void> {
  let right = false;
  try {
    right = await request.verify();
  } catch (error) {
    throw unreadable(error);
  }
  if (!right) throw new Refusal('bad-signing-request', 'the signature of the certificate signing request is wrong');
}

const tooMuch = (message: string): Refusal => new Refusal('asks-too-much', message);

/** Checks the names, and returns the URIs. */
function checkNames(request: x509.Pkcs10CertificateRequest, dns: string): string[] {
  const uris: string[] = [];
  let asksForName = false;
  // The library reads only the first list of extensions.
  if (request.attributes.filter(({ type }) => type === EXTENSIONS).length > 1)
    throw tooMuch('the certificate signing request has more than one list of extensions');
  for (const extension of request.extensions) {
    if (extension instanceof x509.BasicConstraintsExtension && extension.ca)
      throw tooMuch('the certificate signing request asks for an authority (CA:TRUE)');
    if (extension instanceof x509.KeyUsagesExtension && (extension.usages & AUTHORITY_USAGES) !== 0)
      throw tooMuch('the certificate signing request asks for the key usage of an authority');
    if (!(extension instanceof x509.SubjectAlternativeNameExtension)) continue;
    if (!onlyKnown(extension)) throw tooMuch('the certificate signing request asks for names of an unknown kind');
    for (const { type, value } of extension.names.items) {
      if (type === 'dns' && value.toLowerCase() === dns) asksForName = true;
      else if (type === 'url') uris.push(value);
      else throw tooMuch(`the certificate signing request asks for more than ${dns}: ${shown(extension)}`);
    }
  }
  for (const common of request.subjectName.getField('CN'))
    if (common !== '' && common.toLowerCase() !== dns)
      throw tooMuch(`the certificate signing request has a common name other than ${dns}: ${clipped(common)}`);
  if (!asksForName) throw tooMuch(`the certificate signing request does not ask for ${dns}`);
  return [...new Set(uris)];
}

/** PKCS#9, extensionRequest. */
const EXTENSIONS = '1.2.840.113549.1.9.14';

/** The library drops names of unknown types: rebuilt from the known ones, the extension must be identical. */
function onlyKnown({ names, value }: x509.SubjectAlternativeNameExtension): boolean {
  const again = new x509.SubjectAlternativeNameExtension(names.toJSON());
  return Buffer.from(again.value).equals(Buffer.from(value));
}

const AUTHORITY_USAGES = x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign;

function shown(extension: x509.SubjectAlternativeNameExtension): string {
  const { items } = extension.names;
  const names = items.slice(0, MAX_SHOWN).map(({ type, value }) => `${type} ${clipped(value)}`);
  return names.join(', ') + (items.length > MAX_SHOWN ? ` and ${items.length - MAX_SHOWN} more` : '');
}

const clipped = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
