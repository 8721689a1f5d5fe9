// By which server names peers may ask for this proxy, as long as it has no certificate that would say so: what the configuration knows.
import type { IdentityConfig } from '../config/model.js';
import { parseWorkloadName, serverNameOf } from './names.js';

export interface PossibleNames {
  /** Names that will be ours. */
  readonly names: readonly string[];
  /** Any name below this one may come to be ours; null: none does for that reason. */
  readonly domain: string | null;
}

export const NO_NAMES: PossibleNames = { names: [], domain: null };

/** In Kubernetes the trust domain is mostly the domain of the cluster, which has others than workloads in it. */
const SERVICES = ['svc', 'pod'];
/** An account of Kubernetes: in Linkerd's form, and as its SPIFFE ID is asked for (`web.sa.shop.ns.example.org`). */
const ACCOUNT = /\.serviceaccount\.identity\.|^[^.]+(?:\.[^.]+)*\.sa\.[^.]+\.ns\./;

export function possibleNames(
  identity: Pick<IdentityConfig, 'name' | 'serverName' | 'trustDomain'> | null,
): PossibleNames {
  if (identity === null) return NO_NAMES;
  const { name, serverName, trustDomain } = identity;
  const parsed = name === null ? '' : parseWorkloadName(name);
  const asked = typeof parsed === 'string' ? null : serverNameOf(parsed);
  return {
    names: [serverName, asked].filter((text) => text !== null),
    // Whose name is known is asked for by that.
    domain: name === null ? trustDomain : null,
  };
}

/** Whether `name`, in lower case, may be meant for us. */
export function mayBeOurs(name: string, { names, domain }: PossibleNames): boolean {
  if (names.includes(name) || ACCOUNT.test(name)) return true;
  if (domain === null || !name.endsWith(`.${domain}`)) return false;
  return !SERVICES.some((one) => name.endsWith(`.${one}.${domain}`));
}
