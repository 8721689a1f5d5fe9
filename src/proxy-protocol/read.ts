// The header of the PROXY protocol, versions 1 and 2 (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt): the client of a
// connection that a proxy has made. Once per connection, so strings may be created here.
import { isIPv4, isIPv6 } from 'node:net';
import { hostAt, nameOf } from './addresses.js';
import { crc32c } from './crc32c.js';

/** Results of `readHeader` other than the length of a header. */
export const HEADER = {
  /** Valid so far, but incomplete. */
  MORE: 0,
  /** The bytes are something else. */
  NONE: -1,
  MALFORMED: -2,
  /** The checksum is wrong. */
  CHECKSUM: -3,
  /** It is too long. */
  TOO_LONG: -4,
} as const;

/** Addresses as `ip:port` or `[ip6]:port`; '' if the header has none, so that those of the connection apply. */
export interface Header {
  source: string;
  destination: string;
}

/** Longest header of version 1, including its CRLF (section 2.1). */
export const MAX_V1_BYTES = 107;
const V1_SIGNATURE = Buffer.from('PROXY ', 'latin1');
const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const V2_FIXED = 16;
const LOCAL = 0x20;
const PROXY = 0x21;
const TCP4 = 0x11;
const TCP6 = 0x21;
const TYPE_CRC32C = 0x03;

/** Reads the header at the start of `bytes[start..end)`. Returns its length, at most `limit`, or a HEADER. */
export function readHeader(bytes: Uint8Array, start: number, end: number, limit: number, into: Header): number {
  into.source = '';
  into.destination = '';
  if (start === end) return HEADER.MORE;
  const signature = bytes[start] === V1_SIGNATURE[0] ? V1_SIGNATURE : V2_SIGNATURE;
  const seen = Math.min(end - start, signature.length);
  for (let i = 0; i < seen; i++) if (bytes[start + i] !== signature[i]) return HEADER.NONE;
  if (seen < signature.length) return HEADER.MORE;
  return signature === V1_SIGNATURE ? readV1(bytes, start, end, into) : readV2(bytes, start, end, limit, into);
}

function readV1(bytes: Uint8Array, start: number, end: number, into: Header): number {
  const stop = Math.min(end, start + MAX_V1_BYTES);
  const lf = bytes.subarray(start, stop).indexOf(0x0a);
  if (lf < 0) return stop - start === MAX_V1_BYTES ? HEADER.MALFORMED : HEADER.MORE;
  const line = Buffer.from(bytes.buffer, bytes.byteOffset + start, lf + 1).toString('latin1');
  if (/^PROXY UNKNOWN(?: [^\r\n]*)?\r\n$/.test(line)) return line.length;
  const parts = /^PROXY (TCP4|TCP6) ([0-9.a-fA-F:]+) ([0-9.a-fA-F:]+) (\d+) (\d+)\r\n$/.exec(line);
  if (parts === null) return HEADER.MALFORMED;
  const [, family, source, destination, sourcePort, destinationPort] = parts;
  const isAddress = family === 'TCP4' ? isIPv4 : isIPv6;
  if (!isAddress(source) || !isAddress(destination) || !isPort(sourcePort) || !isPort(destinationPort))
    return HEADER.MALFORMED;
  into.source = nameOf(source.toLowerCase(), Number(sourcePort));
  into.destination = nameOf(destination.toLowerCase(), Number(destinationPort));
  return line.length;
}

/** Decimal, without leading zeros, and at most 65535. */
const isPort = (text: string): boolean => /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535;

function readV2(bytes: Uint8Array, start: number, end: number, limit: number, into: Header): number {
  if (end - start < V2_FIXED) return HEADER.MORE;
  const command = bytes[start + 12];
  const family = bytes[start + 13];
  if (command !== LOCAL && command !== PROXY) return HEADER.MALFORMED;
  const length = V2_FIXED + ((bytes[start + 14] << 8) | bytes[start + 15]);
  if (length > limit) return HEADER.TOO_LONG;
  // Families 0 to 3 of transports 0 to 2 are defined (section 2.2).
  if (family >> 4 > 3 || (family & 15) > 2) return HEADER.MALFORMED;
  if (end - start < length) return HEADER.MORE;
  // A connection of the proxy itself, such as a health check: the rest of the header is skipped.
  if (command === LOCAL) return length;
  const addresses = addressBytes(family);
  if (addresses > length - V2_FIXED) return HEADER.MALFORMED;
  const problem = checkExtensions(bytes, start, start + V2_FIXED + addresses, start + length);
  if (problem !== 0) return problem;
  if (family === TCP4) readAddresses(bytes, start + V2_FIXED, 4, into);
  else if (family === TCP6) readAddresses(bytes, start + V2_FIXED, 16, into);
  return length;
}

/** Length of both addresses with their ports. */
function addressBytes(family: number): number {
  switch (family >> 4) {
    case 1:
      return 12;
    case 2:
      return 36;
    case 3:
      return 216;
    default:
      return 0;
  }
}

function readAddresses(bytes: Uint8Array, at: number, length: 4 | 16, into: Header): void {
  const ports = at + 2 * length;
  into.source = nameOf(hostAt(bytes, at, length), (bytes[ports] << 8) | bytes[ports + 1]);
  into.destination = nameOf(hostAt(bytes, at + length, length), (bytes[ports + 2] << 8) | bytes[ports + 3]);
}

/** Type, length and value of each extension: skipped, except for a checksum over the whole header. Returns 0, or a HEADER. */
function checkExtensions(bytes: Uint8Array, start: number, from: number, end: number): number {
  let at = from;
  while (at < end) {
    if (at + 3 > end) return HEADER.MALFORMED;
    const type = bytes[at];
    const value = at + 3;
    const length = (bytes[at + 1] << 8) | bytes[at + 2];
    at = value + length;
    if (at > end) return HEADER.MALFORMED;
    if (type !== TYPE_CRC32C) continue;
    if (length !== 4) return HEADER.MALFORMED;
    const said = ((bytes[value] << 24) | (bytes[value + 1] << 16) | (bytes[value + 2] << 8) | bytes[value + 3]) >>> 0;
    if (said !== crc32c(bytes, start, end, value)) return HEADER.CHECKSUM;
  }
  return 0;
}
