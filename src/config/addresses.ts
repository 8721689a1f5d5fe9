// Numeric addresses as fixed-width text that sorts like the numbers, for ranges, overlaps and look-ups.
import { isIP, SocketAddress } from 'node:net';

export type Family = 4 | 6;

export interface AddressBits {
  readonly family: Family;
  /** 8 hexadecimal digits of IPv4, 32 of IPv6. */
  readonly hex: string;
}

/** An IPv4 address within IPv6 (RFC 4291 section 2.5.5.2). */
export const MAPPED_PREFIX = '00000000000000000000ffff';

const IPV6_GROUPS = 8;

const ipv4Hex = (text: string): string =>
  text
    .split('.')
    .map((part) => Number(part).toString(16).padStart(2, '0'))
    .join('');

function ipv6Hex(text: string): string {
  const dot = text.indexOf('.');
  let groups = text;
  if (dot >= 0) {
    const tailAt = text.lastIndexOf(':') + 1;
    const tail = ipv4Hex(text.slice(tailAt));
    groups = `${text.slice(0, tailAt)}${tail.slice(0, 4)}:${tail.slice(4)}`;
  }
  const [head, tail] = groups.split('::').map((half) => half.split(':').filter((group) => group !== ''));
  const zeros = tail === undefined ? [] : Array(IPV6_GROUPS - head.length - tail.length).fill('0');
  return [...head, ...zeros, ...(tail ?? [])].map((group) => group.padStart(4, '0').toLowerCase()).join('');
}

/** The bits of a numeric address without brackets and scope; null if `host` is not one. IPv4 in IPv6 stays IPv6. */
export function addressBits(host: string): AddressBits | null {
  const family = isIP(host);
  if (family === 4) return { family: 4, hex: ipv4Hex(host) };
  if (family !== 6 || host.includes('%')) return null;
  return { family: 6, hex: ipv6Hex(host) };
}

/** The bits of a numeric address; an IPv4 address mapped into IPv6 becomes IPv4. */
export function plainAddressBits(host: string): AddressBits | null {
  const bits = addressBits(host);
  if (bits?.family !== 6 || !bits.hex.startsWith(MAPPED_PREFIX)) return bits;
  return { family: 4, hex: bits.hex.slice(MAPPED_PREFIX.length) };
}

/** The canonical text of an address. */
export function formatBits({ family, hex }: AddressBits): string {
  if (family === 4) return (hex.match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16)).join('.');
  return new SocketAddress({ address: (hex.match(/.{4}/g) ?? []).join(':'), family: 'ipv6' }).address;
}

/** A range of addresses, both ends included, as hexadecimal digits of one length. */
export interface Network {
  readonly text: string;
  readonly family: Family;
  readonly first: string;
  readonly last: string;
}
