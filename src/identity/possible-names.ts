// Server names by which peers may ask for this proxy before it has a certificate that tells, derived from the configuration.
import type { IdentityConfig } from '../config/identity-model.js';
import { parseWorkloadName, serverNameOf } from './names.js';

export interface PossibleNames {
  /** Names that will certainly be ours. */
  readonly names: readonly string[];
  /** Any name below this may become ours; null: no such domain. */
  readonly domain: string | null;
}

export const NO_NAMES: PossibleNames = { names: [], domain: null };

/** In Kubernetes the trust domain is usually the cluster's domain, which also contains names other than workloads'. */
const SERVICES = ['svc', 'pod'];
/** A Kubernetes account: in Linkerd's form, and as the server name for its SPIFFE ID (`web.sa.shop.ns.example.org`). */
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
    // If the name is known, peers ask for that.
    domain: name === null ? trustDomain : null,
  };
}

/** Whether `name`, in lower case, may be meant for us. */
export function mayBeOurs(name: string, { names, domain }: PossibleNames): boolean {
  if (names.includes(name) || ACCOUNT.test(name)) return true;
  if (domain === null || !name.endsWith(`.${domain}`)) return false;
  return !SERVICES.some((one) => name.endsWith(`.${one}.${domain}`));
}
