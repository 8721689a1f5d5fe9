// The interface between sources of knowledge about a cluster and their clients: profiles of addresses, and endpoints of Services. Requests
// are by name, and answers continue for as long as the watch lasts, as in Linkerd's destination API.
import type { Family } from '../config/addresses.js';
import type { Address, ServiceProtocol } from '../config/model.js';
import type { Endpoint } from '../discovery/endpoint.js';
import type { Watch } from '../discovery/source.js';

/** Profile of an address that a client dials. */
export interface Profile {
  /** The authority for requesting its endpoints, `name.namespace.svc.cluster.local:port`; empty if it is not a Service's. */
  readonly authority: string;
  /** Its connections are relayed without detection. */
  readonly opaque: boolean;
  /** The protocol declared by the Service (`appProtocol`); `auto` if none. */
  readonly protocol: ServiceProtocol;
  /** The pod with this address; null if there is none, or if it is a Service's. */
  readonly endpoint: Endpoint | null;
}

export type ProfileUpdate =
  | { readonly kind: 'profile'; readonly profile: Profile }
  /** The cluster does not know the address: connections go to their original destination. */
  | { readonly kind: 'unknown' };

export type EndpointsUpdate =
  | { readonly kind: 'endpoints'; readonly endpoints: readonly Endpoint[] }
  /** There is no such Service, or it has no such port. */
  | { readonly kind: 'unknown' };

/** The client: a Service may have other endpoints for other places (topology hints). */
export interface Requester {
  readonly namespace: string;
  readonly pod: string;
  readonly node: string;
  /** Wanted address family if a Service has both; absent: the Service's preferred one. */
  readonly family?: Family;
}

export interface DestinationLookup {
  /**
   * Reports the profile of the address (or of a Service whose name replaces the host), and its changes. `report` may be called before this
   * returns, and only when something is known: until then (not synced yet, nobody to ask) it is not called, and the last report stays
   * valid.
   */
  watchProfile(address: Address, requester: Requester, report: (update: ProfileUpdate) => void): Watch;
  /**
   * The same for the endpoints of `name.namespace.svc.cluster.local:port`, or of one pod of a headless Service (`pod.name.namespace.svc…`).
   */
  watchEndpoints(authority: string, requester: Requester, report: (update: EndpointsUpdate) => void): Watch;
}
