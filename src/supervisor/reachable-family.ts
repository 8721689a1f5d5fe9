// Which address families are reachable from here.
import { networkInterfaces } from 'node:os';
import type { Family } from '../config/addresses.js';

export interface LocalAddress {
  readonly address: string;
  readonly family: string;
  readonly internal: boolean;
}

const localAddresses = (): LocalAddress[] => Object.values(networkInterfaces()).flatMap((list) => list ?? []);

const isLinkLocal = ({ address }: LocalAddress): boolean => /^(fe[89ab]|169\.254\.)/i.test(address);

/** The only family that this network namespace has an address of; undefined if it has both, or none. */
export function reachableFamily(addresses: readonly LocalAddress[] = localAddresses()): Family | undefined {
  const global = addresses.filter((own) => !own.internal && !isLinkLocal(own));
  const has = (family: string): boolean => global.some((own) => own.family === family);
  if (has('IPv4') === has('IPv6')) return undefined;
  return has('IPv4') ? 4 : 6;
}
