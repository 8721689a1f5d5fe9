// `ipBlock`: a range of addresses with exceptions.
import type { Network } from '../../config/addresses.js';
import { parseNetwork } from '../../config/networks.js';
import { ValueError } from '../../config/values.js';
import type { Reading } from './reading.js';

export interface Block {
  readonly text: string;
  readonly cidr: Network;
  readonly except: readonly Network[];
}

/** Ranges from which clusters take pod addresses (RFC 1918, RFC 6598, RFC 4193). */
const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7'].map(parseNetwork);

/** Kubernetes ignores bits after the prefix. */
function withoutHostBits(text: string): Network {
  try {
    return parseNetwork(text);
  } catch (error) {
    const instead =
      error instanceof ValueError ? /beyond its prefix of \d+; write "([^"]+)"/.exec(error.message) : null;
    if (instead === null) throw error;
    return parseNetwork(instead[1]);
  }
}

function readNetwork(reading: Reading, value: unknown, path: string): Network | null {
  try {
    if (typeof value === 'string' && value.includes('/')) return withoutHostBits(value);
    reading.wrong(path, `${JSON.stringify(value)} is not a range such as 10.0.0.0/8`);
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    reading.wrong(path, error.message);
  }
  return null;
}

const overlaps = (a: Network, b: Network): boolean => a.family === b.family && a.first <= b.last && b.first <= a.last;
const contains = (a: Network, b: Network): boolean => a.family === b.family && a.first <= b.first && b.last <= a.last;

export function readBlock(reading: Reading, value: unknown, path: string): Block | null {
  const map = reading.map(value, path);
  const cidr = readNetwork(reading, map.cidr, `${path}.cidr`);
  const except = reading
    .list(map.except, `${path}.except`)
    .map((entry, i) => {
      const network = readNetwork(reading, entry, `${path}.except[${i}]`);
      if (network !== null && cidr !== null && (!contains(cidr, network) || contains(network, cidr)))
        reading.wrong(`${path}.except[${i}]`, `${network.text} is not part of ${cidr.text}`);
      return network;
    })
    .filter((network) => network !== null);
  return cidr === null ? null : { text: cidr.text, cidr, except };
}

const numberOf = (hex: string): bigint => BigInt(`0x${hex}`);

/** Whether every address of `network` is in one of `others`. Two ranges are either nested or disjoint. */
function isCovered(network: Network, others: readonly Network[]): boolean {
  if (others.some((other) => contains(other, network))) return true;
  const within = others.filter((other) => contains(network, other)).sort((a, b) => (a.first < b.first ? -1 : 1));
  let next = numberOf(network.first);
  for (const { first, last } of within) {
    if (numberOf(first) > next) return false;
    const behind = numberOf(last) + 1n;
    if (behind > next) next = behind;
  }
  return next > numberOf(network.last);
}

/** Whether it may include pod addresses. */
export const mayHavePods = ({ cidr, except }: Block): boolean =>
  PRIVATE.some((range) => overlaps(cidr, range) && !isCovered(contains(range, cidr) ? cidr : range, except));

/** Whether `wide` includes all of `narrow`. */
export const blockCovers = (wide: Block, narrow: Block): boolean =>
  contains(wide.cidr, narrow.cidr) &&
  wide.except.every(
    (network) =>
      !overlaps(network, narrow.cidr) ||
      isCovered(contains(network, narrow.cidr) ? narrow.cidr : network, narrow.except),
  );
