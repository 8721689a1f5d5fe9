// Recognises the content of a file that should be PEM (RFC 7468). Other formats are named, because certificates come in many forms.
import { createPrivateKey, X509Certificate } from 'node:crypto';

export interface PemBlock {
  /** Such as `CERTIFICATE`. */
  readonly label: string;
  /** The block, including its first and last line. */
  readonly text: string;
  /** Where it begins. */
  readonly line: number;
}

const BLOCK = /^-----(BEGIN|END) ([A-Z0-9 .]+)-----[ \t]*\r?$/gm;

/** The blocks of a file; text: its problem, and a remedy. Text between blocks is ignored. */
export function pemBlocks(bytes: Uint8Array): readonly PemBlock[] | string {
  if (bytes.length === 0) return 'is empty; put a PEM file there';
  const foreign = recognise(bytes);
  if (foreign !== null) return foreign;
  const text = Buffer.from(bytes)
    .toString('latin1')
    .replace(/^\xef\xbb\xbf/, '');
  const blocks: PemBlock[] = [];
  let open: { label: string; at: number; line: number } | null = null;
  let line = 1;
  let seen = 0;
  for (const { 0: whole, 1: kind, 2: label, index } of text.matchAll(BLOCK)) {
    for (; seen < index; seen++) if (text.charCodeAt(seen) === 10) line++;
    if (kind === 'BEGIN') {
      if (open !== null) return unended(open.label, open.line, blocks.length + 1);
      open = { label, at: index, line };
    } else {
      if (open === null) return `has the end of a ${label} on line ${line}, and no beginning; write the file again`;
      if (open.label !== label)
        return `has a ${open.label} (block ${blocks.length + 1}) from line ${open.line} that ends as ${label}; write the file again`;
      blocks.push({ label, text: `${text.slice(open.at, index + whole.length).trimEnd()}\n`, line: open.line });
      open = null;
    }
  }
  if (open !== null) return unended(open.label, open.line, blocks.length + 1);
  if (blocks.length > 0) return blocks;
  return text.trim() === ''
    ? 'has nothing but white space; put a PEM file there'
    : 'has no PEM block; a certificate begins with -----BEGIN CERTIFICATE----- on a line of its own';
}

/** `block`: number of the block in the file, from 1. */
const unended = (label: string, line: number, block: number): string =>
  `has a ${label} (block ${block}) from line ${line} without an end: the file is cut off; write it again`;

const DER_SEQUENCE = 0x30;

/** Names another format; null if it may be PEM. */
function recognise(bytes: Uint8Array): string | null {
  const starts = (...octets: number[]): boolean => octets.every((octet, index) => bytes[index] === octet);
  if (starts(0xfe, 0xed, 0xfe, 0xed))
    return 'is a Java keystore; export it: keytool -importkeystore -deststoretype pkcs12, then openssl pkcs12 -nodes';
  if (starts(0xff, 0xfe) || starts(0xfe, 0xff)) return 'is UTF-16 text; save it as plain text';
  if (bytes[0] !== DER_SEQUENCE) return null;
  if (isPkcs12(bytes))
    return 'is PKCS#12 (.p12, .pfx); split it: openssl pkcs12 -in FILE -nodes -out FILE.pem has certificates and key';
  if (parses(() => new X509Certificate(bytes)))
    return 'is a certificate in DER; convert it: openssl x509 -inform der -in FILE -out FILE.pem';
  for (const type of ['pkcs8', 'pkcs1', 'sec1'] as const) {
    if (parses(() => createPrivateKey({ key: Buffer.from(bytes), format: 'der', type })))
      return 'is a private key in DER; convert it: openssl pkey -inform der -in FILE -out FILE.pem';
  }
  return null;
}

/** PFX ::= SEQUENCE { version INTEGER 3, … } (RFC 7292 section 4). */
function isPkcs12(bytes: Uint8Array): boolean {
  const content = bytes[1] >= 0x80 ? 2 + (bytes[1] & 0x7f) : 2;
  return bytes[content] === 0x02 && bytes[content + 1] === 1 && bytes[content + 2] === 3;
}

function parses(parse: () => unknown): boolean {
  try {
    parse();
    return true;
  } catch {
    return false;
  }
}

const WORDS: Readonly<Record<string, string>> = {
  'CERTIFICATE REQUEST': 'a request for a certificate; name the certificate that was issued for it',
  'NEW CERTIFICATE REQUEST': 'a request for a certificate; name the certificate that was issued for it',
  'TRUSTED CERTIFICATE': "a certificate in OpenSSL's own form; convert it: openssl x509 -in FILE -out FILE.pem",
  PKCS7: 'PKCS#7; split it: openssl pkcs7 -in FILE -print_certs -out FILE.pem',
  CMS: 'PKCS#7; split it: openssl pkcs7 -in FILE -print_certs -out FILE.pem',
  'X509 CRL': 'a list of revoked certificates; name the certificate',
  'PUBLIC KEY': 'a public key; name the private key that belongs to the certificate',
  'RSA PUBLIC KEY': 'a public key; name the private key that belongs to the certificate',
  'OPENSSH PRIVATE KEY': 'a key of OpenSSH; convert it: ssh-keygen -p -m PEM -f FILE',
};

export const isCertificate = ({ label }: PemBlock): boolean => label === 'CERTIFICATE' || label === 'X509 CERTIFICATE';
export const isKey = ({ label }: PemBlock): boolean => /(^| )PRIVATE KEY$/.test(label) && !label.startsWith('OPENSSH');

/** Describes what a file contains instead of what it should, for a message. */
export function instead(blocks: readonly PemBlock[], wanted: string): string {
  const other = blocks.find(({ label }) => WORDS[label] !== undefined);
  if (other !== undefined) return `has no ${wanted}, but ${WORDS[other.label]}`;
  if (blocks.some(isKey)) return `has a private key and no ${wanted}; are the two files mixed up?`;
  if (blocks.some(isCertificate)) return `has a certificate and no ${wanted}; are the two files mixed up?`;
  return `has no ${wanted}, but ${blocks[0].label}; name the right file`;
}
