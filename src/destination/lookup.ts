// The seam between those who know a cluster and those who want to reach something in it: what is behind an address, and which endpoints a
// Service has. Asked by path and answered for as long as the watch goes on, as Linkerd's destination API has it.
import type { Family } from '../config/addresses.js';
import type { Address, ServiceProtocol } from '../config/model.js';
import type { Endpoint } from '../discovery/endpoint.js';
import type { Watch } from '../discovery/source.js';

/** What is behind an address that a client dials. */
export interface Profile {
  /** The authority under which its endpoints are asked for, `name.namespace.svc.cluster.local:port`; empty where it is no Service's. */
  readonly authority: string;
  /** Its connections are relayed without detection. */
  readonly opaque: boolean;
  /** What the Service says that it speaks (`appProtocol`); `auto` where it does not. */
  readonly protocol: ServiceProtocol;
  /** The pod that has the address itself; null where none does, or a Service has. */
  readonly endpoint: Endpoint | null;
}

export type ProfileUpdate =
  | { readonly kind: 'profile'; readonly profile: Profile }
  /** The address is nothing that the cluster knows: connections go where they were going. */
  | { readonly kind: 'unknown' };

export type EndpointsUpdate =
  | { readonly kind: 'endpoints'; readonly endpoints: readonly Endpoint[] }
  /** There is no such Service, or it has no such port. */
  | { readonly kind: 'unknown' };

/** Who asks: the same Service may have other endpoints for other places (topology hints). */
export interface Asker {
  readonly namespace: string;
  readonly pod: string;
  readonly node: string;
  /** Of the addresses that it wants, where a Service has both; absent: the one that the Service names first. */
  readonly family?: Family;
}

export interface DestinationLookup {
  /**
   * Reports what is behind the address, or the name of a Service in the place of its host, then whatever it becomes. `report` may be called before this returns, and only when something is
   * known: while nobody can say (not synced yet, nobody to ask) it is not called, and what was reported last holds.
   */
  watchProfile(address: Address, asker: Asker, report: (update: ProfileUpdate) => void): Watch;
  /** The same of the endpoints of `name.namespace.svc.cluster.local:port`, or of one pod of a headless Service (`pod.name.namespace.svc…`). */
  watchEndpoints(authority: string, asker: Asker, report: (update: EndpointsUpdate) => void): Watch;
}
