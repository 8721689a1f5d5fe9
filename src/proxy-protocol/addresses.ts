// Addresses as text, `ip:port` and `[ip6]:port`, and as the bytes of a header.
import { isIPv4, isIPv6, SocketAddress } from 'node:net';

export interface Endpoint {
  readonly family: 4 | 6;
  /** Without brackets and scope. */
  readonly host: string;
  readonly port: number;
}

const GROUPS = 8;

export const nameOf = (host: string, port: number): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;

/** Parses a name; null if it is not a numeric address with a port. */
export function parseName(name: string): Endpoint | null {
  const parts = /^\[?([^\]%]+)(?:%[^\]]*)?\]?:(\d{1,5})$/.exec(name);
  if (parts === null) return null;
  const port = Number(parts[2]);
  if (port > 65_535) return null;
  if (isIPv4(parts[1])) return { family: 4, host: parts[1], port };
  return isIPv6(parts[1]) ? { family: 6, host: parts[1], port } : null;
}

/** The 4 or 16 bytes of a numeric address. */
export function bytesOf(host: string): number[] {
  if (!host.includes(':')) return host.split('.').map(Number);
  let text = host;
  const dot = text.indexOf('.');
  if (dot >= 0) {
    const at = text.lastIndexOf(':') + 1;
    const [a, b, c, d] = text.slice(at).split('.').map(Number);
    text = `${text.slice(0, at)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const [head, tail] = text.split('::').map((half) => half.split(':').filter((group) => group !== ''));
  const zeros = tail === undefined ? [] : new Array<string>(GROUPS - head.length - tail.length).fill('0');
  return [...head, ...zeros, ...(tail ?? [])].flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

/** The text of the 4 or 16 bytes at `at`. */
export function hostAt(bytes: Uint8Array, at: number, length: 4 | 16): string {
  if (length === 4) return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[at + i] << 8) | bytes[at + i + 1]).toString(16));
  return new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address;
}
