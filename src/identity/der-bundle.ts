// Converts certificates and keys that services send in DER to PEM (RFC 7468), which everything else here uses.

const SEQUENCE = 0x30;

export function pemOf(label: string, der: Uint8Array): string {
  const lines = Buffer.from(der)
    .toString('base64')
    .replace(/.{64}(?!$)/g, '$&\n');
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

/** Splits concatenated sequences, the Workload API's form of certificates. null for anything else. */
export function splitSequences(bytes: Uint8Array): Uint8Array[] | null {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = endOfSequence(bytes, at);
    if (end < 0) return null;
    parts.push(bytes.subarray(at, end));
    at = end;
  }
  return parts;
}

/** End of the sequence that begins at `at`; -1 if there is none. */
function endOfSequence(bytes: Uint8Array, at: number): number {
  if (bytes.length - at < 2 || bytes[at] !== SEQUENCE) return -1;
  let length = bytes[at + 1];
  let start = at + 2;
  if (length >= 0x80) {
    const octets = length & 0x7f;
    if (octets === 0 || octets > 4 || start + octets > bytes.length) return -1;
    length = 0;
    for (const octet of bytes.subarray(start, start + octets)) length = length * 256 + octet;
    start += octets;
  }
  const end = start + length;
  return end <= bytes.length ? end : -1;
}
