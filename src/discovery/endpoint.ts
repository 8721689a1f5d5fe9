// An endpoint as reported by sources, with everything that may be known besides its address.
import type { Address, PeerProxy, ServiceProtocol } from '../config/model.js';

export interface Endpoint {
  readonly address: Address;
  /** Where it runs; empty if unknown. */
  readonly zone: string;
  /** Its share of the traffic, relative to its siblings. */
  readonly weight: number;
  /** Its protocol; `auto` if unknown. */
  readonly protocol: ServiceProtocol;
  /** The name that its certificate must have; empty for none. */
  readonly identity: string;
  readonly proxy: PeerProxy;
  readonly metadata: Readonly<Record<string, string>>;
}

/** No proxy is known. */
export const NO_PROXY: PeerProxy = Object.freeze({ port: 0, http2: false });
const NO_METADATA: Readonly<Record<string, string>> = Object.freeze({});

type Known = { readonly [K in Exclude<keyof Endpoint, 'address'>]?: Endpoint[K] | undefined };

/** An endpoint with the given properties, and defaults for the rest. */
export function endpointAt(address: Address, known: Known = {}): Endpoint {
  const { zone = '', weight = 1, protocol = 'auto', identity = '', proxy = NO_PROXY, metadata = NO_METADATA } = known;
  return { address, zone, weight, protocol, identity, proxy, metadata };
}

function sameMetadata(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  if (a === b) return true;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}

export function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return (
    a === b ||
    (a.address.host === b.address.host &&
      a.address.port === b.address.port &&
      a.zone === b.zone &&
      a.weight === b.weight &&
      a.protocol === b.protocol &&
      a.identity === b.identity &&
      a.proxy.port === b.proxy.port &&
      a.proxy.http2 === b.proxy.http2 &&
      sameMetadata(a.metadata, b.metadata))
  );
}

/** Whether both lists have the same endpoints in the same order. */
export function sameEndpoints(a: readonly Endpoint[], b: readonly Endpoint[]): boolean {
  return a === b || (a.length === b.length && a.every((endpoint, index) => sameEndpoint(endpoint, b[index])));
}

/** The endpoints of all lists in order; of several with the same address, the first. */
export function mergeEndpoints(lists: readonly (readonly Endpoint[])[]): readonly Endpoint[] {
  if (lists.length === 1) return lists[0];
  const byAddress = new Map<string, Endpoint>();
  for (const list of lists) {
    for (const endpoint of list) {
      const key = `${endpoint.address.host} ${endpoint.address.port}`;
      if (!byAddress.has(key)) byAddress.set(key, endpoint);
    }
  }
  return [...byAddress.values()];
}
