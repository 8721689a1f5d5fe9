// Networks: addresses and ranges of addresses, without a port.
import type { Network } from './addresses.js';
import { addressBits, formatBits, MAPPED_PREFIX, plainAddressBits } from './addresses.js';
import { describe, ValueError } from './values.js';

const EXAMPLE = '"10.0.0.0/8" or "fd00::/8"';

/** `10.1.2.3`, `10.0.0.0/8`, `fd00::1` or `fd00::/8`. IPv4 mapped into IPv6 is treated as IPv4. */
export function parseNetwork(input: unknown): Network {
  const what = describe(input);
  if (typeof input !== 'string' || input === '')
    throw new ValueError(`found ${what}; write a network such as ${EXAMPLE}`);
  const [host, prefixText, ...more] = input.split('/');
  const bits = addressBits(host);
  if (bits === null || more.length > 0)
    throw new ValueError(`${what} is not a numeric address or range; write a network such as ${EXAMPLE}`);
  const width = bits.hex.length * 4;
  const prefix = prefixText === undefined ? width : /^\d{1,3}$/.test(prefixText) ? Number(prefixText) : Number.NaN;
  if (!(prefix <= width))
    throw new ValueError(
      `${what}: "/${prefixText}" is not a prefix length of IPv${bits.family}; write /0 to /${width}`,
    );
  const free = BigInt(width - prefix);
  const value = BigInt(`0x${bits.hex}`);
  const lowest = (value >> free) << free;
  const digits = (number: bigint): string => number.toString(16).padStart(bits.hex.length, '0');
  if (lowest !== value) {
    const instead = `${formatBits({ family: bits.family, hex: digits(lowest) })}/${prefix}`;
    throw new ValueError(`${what} has bits set beyond its prefix of ${prefix}; write "${instead}"`);
  }
  const first = digits(lowest);
  const last = digits(lowest | ((1n << free) - 1n));
  const isMapped = bits.family === 6 && first.startsWith(MAPPED_PREFIX) && last.startsWith(MAPPED_PREFIX);
  if (!isMapped) return { text: input, family: bits.family, first, last };
  return { text: input, family: 4, first: first.slice(MAPPED_PREFIX.length), last: last.slice(MAPPED_PREFIX.length) };
}

/** Whether one of `networks` contains the numeric address `host`. */
export function inNetworks(networks: readonly Network[], host: string): boolean {
  const bits = plainAddressBits(host.replace(/%.*$/, ''));
  if (bits === null) return false;
  const { family, hex } = bits;
  return networks.some((network) => network.family === family && network.first <= hex && hex <= network.last);
}
