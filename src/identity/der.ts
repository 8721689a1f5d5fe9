// Reads what node:crypto does not expose of a certificate, its extensions, from the DER (RFC 5280 section 4.1). OpenSSL has parsed the
// certificate before, so its outer form is right; anything unexpected counts as absent.

const SEQUENCE = 0x30;
const BOOLEAN = 0x01;
const BIT_STRING = 0x03;
/** `[3]` of a certificate: its extensions. */
const EXTENSIONS = 0xa3;

interface Element {
  readonly tag: number;
  /** Its content. */
  readonly bytes: Uint8Array;
}

/** Consecutive elements in `bytes`. */
function elements(bytes: Uint8Array): Element[] {
  const found: Element[] = [];
  let at = 0;
  while (at + 2 <= bytes.length) {
    const tag = bytes[at];
    let length = bytes[at + 1];
    at += 2;
    if (length > 0x80) {
      const digits = length & 0x7f;
      length = 0;
      for (let i = 0; i < digits; i++) length = length * 256 + (bytes[at + i] ?? 0);
      at += digits;
    }
    if (at + length > bytes.length) break;
    found.push({ tag, bytes: bytes.subarray(at, at + length) });
    at += length;
  }
  return found;
}

/** Object identifiers as they are in DER. */
const OID = { keyUsage: '551d0f', subjectAltName: '551d11' } as const;

/** The content of an extension; undefined if the certificate does not have it. */
function extension(certificate: Uint8Array, oid: string): Uint8Array | undefined {
  const [outer] = elements(certificate);
  const [body] = outer === undefined ? [] : elements(outer.bytes);
  const list = body === undefined ? undefined : elements(body.bytes).find(({ tag }) => tag === EXTENSIONS);
  const [sequence] = list === undefined ? [] : elements(list.bytes);
  for (const item of sequence === undefined ? [] : elements(sequence.bytes)) {
    if (item.tag !== SEQUENCE) continue;
    const [id, second, third] = elements(item.bytes);
    if (id === undefined || Buffer.from(id.bytes).toString('hex') !== oid) continue;
    // `critical` may precede the content.
    return (second?.tag === BOOLEAN ? third : second)?.bytes;
  }
  return undefined;
}

/** Signatures whose digests can be forged, by their object identifiers. */
const WEAK_SIGNATURES: Readonly<Record<string, string>> = {
  '2a864886f70d010102': 'MD2',
  '2a864886f70d010104': 'MD5',
  '2a864886f70d010105': 'SHA-1',
  '2a8648ce3d0401': 'SHA-1',
};

/** The digest of a certificate's signature if it is too weak; else null. */
export function weakDigest(certificate: Uint8Array): string | null {
  const [outer] = elements(certificate);
  const [, algorithm] = outer === undefined ? [] : elements(outer.bytes);
  const [id] = algorithm === undefined ? [] : elements(algorithm.bytes);
  return id === undefined ? null : (WEAK_SIGNATURES[Buffer.from(id.bytes).toString('hex')] ?? null);
}

/** Bits of the first octet of a key's usage (RFC 5280 section 4.2.1.3). */
export const KEY_USAGE = { DIGITAL_SIGNATURE: 0x80, KEY_ENCIPHERMENT: 0x20, CERTIFICATES: 0x04 } as const;

/** Key usage of a certificate; null if it does not say. */
export function keyUsage(certificate: Uint8Array): number | null {
  const content = extension(certificate, OID.keyUsage);
  const [bits] = content === undefined ? [] : elements(content);
  return bits?.tag === BIT_STRING ? (bits.bytes[1] ?? 0) : null;
}

export interface AlternativeNames {
  /** In lower case. */
  readonly dns: readonly string[];
  readonly uris: readonly string[];
  /** Octets of addresses, 4 or 16. */
  readonly addresses: readonly Uint8Array[];
}

/** Tags of a GeneralName (section 4.2.1.6). */
const DNS_NAME = 0x82;
const URI = 0x86;
const IP_ADDRESS = 0x87;

/** Names of a certificate. */
export function alternativeNames(certificate: Uint8Array): AlternativeNames {
  const content = extension(certificate, OID.subjectAltName);
  const [sequence] = content === undefined ? [] : elements(content);
  const names = sequence === undefined ? [] : elements(sequence.bytes);
  const of = (wanted: number): Uint8Array[] => names.filter(({ tag }) => tag === wanted).map(({ bytes }) => bytes);
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
  return {
    dns: of(DNS_NAME).map((bytes) => text(bytes).toLowerCase()),
    uris: of(URI).map(text),
    addresses: of(IP_ADDRESS),
  };
}
