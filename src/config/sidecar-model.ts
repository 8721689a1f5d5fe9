// What the configuration says of the pod that a proxy is in, and of whom it asks about everything else there is.
import type { Network } from './addresses.js';

/** The pod; each name is empty where nobody has said. */
export interface SidecarConfig {
  readonly pod: string;
  readonly namespace: string;
  readonly node: string;
  readonly account: string;
  /** Addresses outside of these are nobody's that a controller knows. */
  readonly clusterNetworks: readonly Network[];
}

/** Who knows what is behind an address. */
export type LookupSource =
  | {
      readonly kind: 'linkerd';
      /** `host:port` of a destination service. */
      readonly address: string;
      /** The name that its certificate must have; empty where this proxy has no identity, and asks in plain text. */
      readonly serverName: string;
    }
  /** The proxy itself, by what it reads of the API server. */
  | ({ readonly kind: 'kubernetes' } & KubernetesLookup);

export interface KubernetesLookup {
  /** Absolute path; null: as a pod is told. */
  readonly kubeconfig: string | null;
  /** Above `svc` in names of Services. */
  readonly clusterDomain: string;
  /** Of identities of pods. */
  readonly trustDomain: string;
  /** The namespace that names the mesh where a pod does not say. */
  readonly mesh: string;
}

export interface LookupConfig {
  readonly source: LookupSource;
  /** For a connection to it to stand, ms. */
  readonly timeoutMs: number;
  /** Bounds of the wait before the next try, ms. */
  readonly minBackoffMs: number;
  readonly maxBackoffMs: number;
  /** Silence after which it is asked whether it is still there, and how long the answer may take, ms. */
  readonly keepAliveMs: number;
  readonly keepAliveTimeoutMs: number;
  readonly maxMessageBytes: number;
  /** Endpoints of one service; those beyond are not used. */
  readonly maxEndpoints: number;
}
