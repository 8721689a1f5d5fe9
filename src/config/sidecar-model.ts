// The configuration of a sidecar's pod, and of its discovery.
import type { Network } from './addresses.js';

/** The pod; names are empty if not set. */
export interface SidecarConfig {
  /** Whether listeners of a sidecar were added to those of the configuration. */
  readonly enabled: boolean;
  readonly pod: string;
  readonly namespace: string;
  readonly node: string;
  readonly account: string;
  /** A controller knows nothing about addresses outside these networks. */
  readonly clusterNetworks: readonly Network[];
}

/** The source of discovery. */
export type LookupSource =
  | {
      readonly kind: 'linkerd';
      /** `host:port` of a destination service. */
      readonly address: string;
      /** The name that its certificate must have; empty if this proxy has no identity and uses plain text. */
      readonly serverName: string;
    }
  /** The proxy itself, from the API server. */
  | ({ readonly kind: 'kubernetes' } & KubernetesLookup);

export interface KubernetesLookup {
  /** Absolute path; null: the pod's own credentials. */
  readonly kubeconfig: string | null;
  /** The domain after `svc` in names of Services. */
  readonly clusterDomain: string;
  /** Trust domain of pod identities. */
  readonly trustDomain: string;
  /** The control plane's namespace for pods that do not name one. */
  readonly mesh: string;
}

export interface LookupConfig {
  readonly source: LookupSource;
  /** Timeout for connecting to it, ms. */
  readonly timeoutMs: number;
  /** Bounds of the wait before the next attempt, ms. */
  readonly minBackoffMs: number;
  readonly maxBackoffMs: number;
  /** Silence before a ping, and time for its answer, ms. */
  readonly keepAliveMs: number;
  readonly keepAliveTimeoutMs: number;
  readonly maxMessageBytes: number;
  /** Maximum number of endpoints of a service; the rest are not used. */
  readonly maxEndpoints: number;
}
