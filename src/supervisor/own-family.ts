// Which address families are reachable from here.
import { networkInterfaces } from 'node:os';
import type { Family } from '../config/addresses.js';

export interface OwnAddress {
  readonly address: string;
  readonly family: string;
  readonly internal: boolean;
}

const thisMachine = (): OwnAddress[] => Object.values(networkInterfaces()).flatMap((list) => list ?? []);

const isLinkLocal = ({ address }: OwnAddress): boolean => /^(fe[89ab]|169\.254\.)/i.test(address);

/** The only family that this network namespace has an address of; undefined if it has both, or none. */
export function ownFamily(addresses: readonly OwnAddress[] = thisMachine()): Family | undefined {
  const global = addresses.filter((own) => !own.internal && !isLinkLocal(own));
  const has = (family: string): boolean => global.some((own) => own.family === family);
  if (has('IPv4') === has('IPv6')) return undefined;
  return has('IPv4') ? 4 : 6;
}
