// `match` of a service: original destinations, and ranges of them, that it takes over.
import type { AddressBits } from './addresses.js';
import { addressBits, formatBits, MAPPED_PREFIX } from './addresses.js';
import type { MatchRange } from './model.js';
import { describe, parsePort, ValueError } from './values.js';

const EXAMPLE = '"10.0.0.0/8:5432" or "[fd00::1]:80"';

/** Text that sorts by family, port and address, so that one order serves sorting, overlaps and look-ups. */
export const matchKey = ({ family, hex }: AddressBits, port: number): string =>
  `${family}${port.toString(16).padStart(4, '0')}${hex}`;

interface Parts {
  readonly address: string;
  /** Text after the slash; undefined if there is none. */
  readonly prefix: string | undefined;
  readonly port: string;
  readonly bracketed: boolean;
}

function splitMatch(input: string): Parts {
  const what = describe(input);
  const brackets = /^\[([^\]]*)\](.*)$/.exec(input);
  let range: string;
  let rest: string;
  if (brackets !== null) {
    [, range, rest] = brackets;
    const misplaced = /^\/(\d+)(.*)$/.exec(rest);
    if (misplaced !== null) {
      const [, prefix, port] = misplaced;
      throw new ValueError(
        `${what} has its prefix outside the brackets; write "[${range}/${prefix}]${port || ':443'}"`,
      );
    }
  } else {
    const colon = input.indexOf(':');
    range = colon < 0 ? input : input.slice(0, colon);
    rest = colon < 0 ? '' : input.slice(colon);
    const looksLikeIPv6 = rest.length > 1 && !range.includes('.') && rest.indexOf(':', 1) > 0;
    if (looksLikeIPv6)
      throw new ValueError(`${what} is ambiguous; put the IPv6 address in brackets: "[fd00::/64]:443"`);
  }
  if (!rest.startsWith(':')) throw new ValueError(`${what} has no port; write "${input}:80"`);
  const port = rest.slice(1);
  if (port.includes(':')) throw new ValueError(`${what} names two ports; write one entry for each port`);
  const late = /^(\d+)\/(\d+)$/.exec(port);
  if (late !== null)
    throw new ValueError(`${what} has its prefix after the port; write "${range}/${late[2]}:${late[1]}"`);
  const slash = range.indexOf('/');
  if (slash < 0) return { address: range, prefix: undefined, port, bracketed: brackets !== null };
  return { address: range.slice(0, slash), prefix: range.slice(slash + 1), port, bracketed: brackets !== null };
}

function bitsOf({ address, bracketed }: Parts, what: string): AddressBits {
  if (address.includes('%'))
    throw new ValueError(`${what} names an interface, which is not supported; remove the % part`);
  const bits = addressBits(address);
  if (bits === null) {
    throw new ValueError(
      `${what}: ${describe(address)} is not a numeric address; write one that clients connect to, such as ${EXAMPLE}`,
    );
  }
  if (bits.family === 4 && bracketed) throw new ValueError(`${what} has no IPv6 address in its brackets; remove them`);
  return bits;
}

function prefixOf(text: string | undefined, width: number, what: string): number {
  if (text === undefined) return width;
  const prefix = /^\d{1,3}$/.test(text) ? Number(text) : Number.NaN;
  if (!(prefix <= width)) {
    throw new ValueError(
      `${what}: "/${text}" is not a prefix length of IPv${width === 32 ? 4 : 6}; write /0 to /${width}`,
    );
  }
  return prefix;
}

/** The hexadecimal digits with all bits after the first `prefix` set to 0, or to 1. */
function fill(hex: string, prefix: number, ones: boolean): string {
  const free = BigInt(hex.length * 4 - prefix);
  const mask = (1n << free) - 1n;
  const value = BigInt(`0x${hex}`);
  return (ones ? value | mask : (value >> free) << free).toString(16).padStart(hex.length, '0');
}

/** `10.1.2.3:80`, `10.0.0.0/8:5432`, `[fd00::1]:80` or `[fd00::/64]:443`. IPv4 mapped into IPv6 is treated as IPv4. */
export function parseMatch(input: unknown): MatchRange {
  const what = describe(input);
  if (typeof input === 'object' && input !== null)
    throw new ValueError(
      `found ${what}; put each entry in quotes, as YAML takes brackets for a list: "[fd00::/64]:443"`,
    );
  if (typeof input !== 'string' || input === '')
    throw new ValueError(`found ${what}; write an address or a range, and a port, such as ${EXAMPLE}`);
  if (/^[a-z]+:\/\//i.test(input))
    throw new ValueError(`${what} is a URL; write address and port only, such as ${EXAMPLE}`);
  const parts = splitMatch(input);
  let { family, hex } = bitsOf(parts, what);
  let prefix = prefixOf(parts.prefix, hex.length * 4, what);
  const port = parsePort(parts.port, 1);
  const network = fill(hex, prefix, false);
  if (network !== hex) {
    const host = formatBits({ family, hex: network });
    const instead = family === 4 ? `${host}/${prefix}:${port}` : `[${host}/${prefix}]:${port}`;
    throw new ValueError(
      `${what} has bits set beyond its prefix of ${prefix}; write "${instead}" for the range, or leave out the prefix for the one address`,
    );
  }
  if (family === 6 && hex.startsWith(MAPPED_PREFIX) && prefix >= MAPPED_PREFIX.length * 4) {
    family = 4;
    hex = hex.slice(MAPPED_PREFIX.length);
    prefix -= MAPPED_PREFIX.length * 4;
  }
  const first = matchKey({ family, hex }, port);
  const last = prefix === hex.length * 4 ? first : matchKey({ family, hex: fill(hex, prefix, true) }, port);
  return { text: input, family, prefix, port, first, last };
}
