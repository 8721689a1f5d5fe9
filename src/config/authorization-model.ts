// The configuration of authorization after parsing.
import type { Network } from './addresses.js';

/** Both ends included. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** The decision if no rule matches. `cluster-` means only from `clusterNetworks`, `authenticated` only with a verified identity. */
export const AUTHORIZATION_DEFAULTS = [
  'all-unauthenticated',
  'all-authenticated',
  'cluster-authenticated',
  'cluster-unauthenticated',
  'deny',
  'audit',
] as const;

export type AuthorizationDefault = (typeof AUTHORIZATION_DEFAULTS)[number];

/** The name under which a listener's default is counted; rules can't have it. */
export const DEFAULT_RULE = 'default';

/** A rule matches if all its conditions hold; null is no condition. */
export interface AuthorizationRule {
  readonly name: string;
  /** `audit` allows and logs. */
  readonly action: 'allow' | 'deny' | 'audit';
  /** The client's destination port, or else the listener's. */
  readonly ports: readonly PortRange[] | null;
  /** Full names, `*.` and a suffix, a SPIFFE ID prefix and `/*`, or `*`. */
  readonly identities: readonly string[] | null;
  readonly networks: readonly { readonly cidr: Network; readonly except: readonly Network[] }[] | null;
  readonly methods: readonly string[] | null;
  /** A path, or a prefix of whole segments. */
  readonly path: string | null;
  readonly exactPath: boolean;
}

export interface AuthorizationConfig {
  readonly default: AuthorizationDefault;
  readonly clusterNetworks: readonly Network[];
  /** The first match decides. */
  readonly rules: readonly AuthorizationRule[];
}
