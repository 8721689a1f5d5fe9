// Addresses and identities of endpoints, as typed arrays.
import type { PeerProxy } from '../config/model.js';
import { column } from '../http/columns.js';
import { parseWorkloadName, serverNameOf } from '../identity/names.js';
import { PagedArray } from '../io/paged-array.js';
import { ENDPOINT_SLOTS, MAX_ENDPOINTS } from './capacity.js';

/** SNI can carry only DNS names. */
function sniOf(identity: string): string {
  const name = identity === '' ? '' : parseWorkloadName(identity);
  return typeof name === 'string' ? '' : (serverNameOf(name) ?? '');
}

/** Endpoints by slot. A slot is undefined until a service assigns it. */
export class EndpointTable {
  readonly service = column(Int32Array, ENDPOINT_SLOTS);
  readonly family = column(Uint8Array, ENDPOINT_SLOTS);
  readonly addressAt = column(Int32Array, ENDPOINT_SLOTS);
  readonly addressLength = column(Int32Array, ENDPOINT_SLOTS);
  readonly address = new PagedArray<string>(ENDPOINT_SLOTS, '');
  /**
   * Slot of the endpoint's series in the metrics, and the first value of its block there. Several endpoints may share the overflow series.
   */
  readonly series = column(Int32Array, ENDPOINT_SLOTS);
  readonly base = column(Int32Array, ENDPOINT_SLOTS);
  /** The name its certificate must be for, if the TLS profile does not say; empty if unknown. */
  readonly identity = new PagedArray<string>(ENDPOINT_SLOTS, '');
  /** The SNI to send, if it differs from the identity. */
  readonly serverName = new PagedArray<string>(ENDPOINT_SLOTS, '');
  /** 1: the mesh proxy in front of it carries HTTP/1 over HTTP/2. */
  readonly origProto = column(Uint8Array, ENDPOINT_SLOTS);
  /** Port of that proxy, for all connections, with the opaque transport; 0: connect to the endpoint's own port. */
  readonly proxyPort = column(Uint16Array, ENDPOINT_SLOTS);
  /** Port of the endpoint itself. */
  readonly port = column(Uint16Array, ENDPOINT_SLOTS);
  /** Slab position of that proxy's address, like `addressAt`. */
  readonly proxyAt = column(Int32Array, ENDPOINT_SLOTS);

  /** Whether the endpoint has a series to itself. A state (as opposed to a sum) is only shown for such an endpoint. */
  hasOwnSeries(endpoint: number): boolean {
    return this.series[endpoint] > 0 && endpoint < MAX_ENDPOINTS;
  }

  /** Whether this identity or proxy makes it a different endpoint than before. */
  identityChanged(slot: number, identity: string, { port, http2 }: PeerProxy): boolean {
    return (
      this.identity.get(slot) !== identity || this.proxyPort[slot] !== port || (this.origProto[slot] === 1) !== http2
    );
  }

  /** Sets its identity, proxy and port. */
  setIdentity(slot: number, identity: string, proxy: PeerProxy, port: number): void {
    this.identity.set(slot, identity);
    this.serverName.set(slot, sniOf(identity));
    this.origProto[slot] = proxy.http2 ? 1 : 0;
    this.proxyPort[slot] = proxy.port;
    this.port[slot] = port;
  }
}
