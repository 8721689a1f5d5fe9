// `ipBlock`: a range of addresses without some of them.
import type { Network } from '../../config/addresses.js';
import { parseNetwork } from '../../config/networks.js';
import { ValueError } from '../../config/values.js';
import type { Reading } from './reading.js';

export interface Block {
  readonly text: string;
  readonly cidr: Network;
  readonly except: readonly Network[];
}

/** Ranges that clusters take addresses of pods from (RFC 1918, RFC 6598, RFC 4193). */
const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7'].map(parseNetwork);

/** Kubernetes takes bits beyond the prefix for what they are not: they count for nothing. */
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
    reading.wrong(path, `${JSON.stringify(value)} is no range such as 10.0.0.0/8`);
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    reading.wrong(path, error.message);
  }
  return null;
}

export function readBlock(reading: Reading, value: unknown, path: string): Block | null {
  const map = reading.map(value, path);
  const cidr = readNetwork(reading, map.cidr, `${path}.cidr`);
  const except = reading
    .list(map.except, `${path}.except`)
    .map((entry, i) => readNetwork(reading, entry, `${path}.except[${i}]`))
    .filter((network) => network !== null);
  return cidr === null ? null : { text: cidr.text, cidr, except };
}

const overlaps = (a: Network, b: Network): boolean => a.family === b.family && a.first <= b.last && b.first <= a.last;
const contains = (a: Network, b: Network): boolean => a.family === b.family && a.first <= b.first && b.last <= a.last;

/** Whether addresses of pods may be among these. */
export const mayHavePods = ({ cidr, except }: Block): boolean =>
  PRIVATE.some((range) => {
    if (!overlaps(cidr, range)) return false;
    const common = contains(range, cidr) ? cidr : range;
    return !except.some((network) => contains(network, common));
  });

/** Whether all of `narrow` is in `wide`. */
export const blockCovers = (wide: Block, narrow: Block): boolean =>
  contains(wide.cidr, narrow.cidr) &&
  wide.except.every((network) => !overlaps(network, narrow.cidr) || narrow.except.some((it) => contains(it, network)));
