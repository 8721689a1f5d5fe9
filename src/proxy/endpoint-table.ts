// Where endpoints are and who they are, as typed arrays.
import type { PeerProxy } from '../config/model.js';
import { parseWorkloadName, serverNameOf } from '../identity/names.js';
import { Paged } from '../io/paged.js';
import { ENDPOINT_SLOTS, MAX_ENDPOINTS } from './capacity.js';

/** SNI has room for names of the DNS only. */
function nameToAskFor(identity: string): string {
  const name = identity === '' ? '' : parseWorkloadName(identity);
  return typeof name === 'string' ? '' : (serverNameOf(name) ?? '');
}

/** Where an endpoint is. A slot means nothing before it is one of a service's. */
export class EndpointTable {
  readonly service = new Int32Array(ENDPOINT_SLOTS).fill(-1);
  readonly family = new Uint8Array(ENDPOINT_SLOTS);
  readonly addressAt = new Int32Array(ENDPOINT_SLOTS);
  readonly addressLength = new Int32Array(ENDPOINT_SLOTS);
  readonly address = new Paged<string>(ENDPOINT_SLOTS, '');
  /** Slot of the endpoint's series in the metrics, and first value of its block there. Several may share the overflow series. */
  readonly series = new Int32Array(ENDPOINT_SLOTS);
  readonly base = new Int32Array(ENDPOINT_SLOTS);
  /** The name that its certificate must be for, where the TLS profile has none; empty where nobody has said. */
  readonly identity = new Paged<string>(ENDPOINT_SLOTS, '');
  /** The name that it is asked for by in TLS (SNI), where that is not its identity. */
  readonly serverName = new Paged<string>(ENDPOINT_SLOTS, '');
  /** 1: a proxy of the mesh is in front of it that carries HTTP/1 over HTTP/2. */
  readonly carries = new Uint8Array(ENDPOINT_SLOTS);
  /** Port of that proxy, to which every connection goes by the opaque transport; 0: they go to the endpoint's own. */
  readonly proxyPort = new Uint16Array(ENDPOINT_SLOTS);
  /** Port of the endpoint itself. */
  readonly port = new Uint16Array(ENDPOINT_SLOTS);
  /** Where in the slab the address of that proxy is, as `addressAt`. */
  readonly proxyAt = new Int32Array(ENDPOINT_SLOTS);

  /** Whether the endpoint shares its series with no other: what is one's state, and no sum, is shown of such a one only. */
  hasOwnSeries(endpoint: number): boolean {
    return this.series[endpoint] > 0 && endpoint < MAX_ENDPOINTS;
  }

  /** Whether it would be another one with this name, or behind this proxy, than it was. */
  isAnother(slot: number, identity: string, { port, http2 }: PeerProxy): boolean {
    return (
      this.identity.get(slot) !== identity || this.proxyPort[slot] !== port || (this.carries[slot] === 1) !== http2
    );
  }

  /** Who it is, behind which proxy, and on which port. */
  is(slot: number, identity: string, proxy: PeerProxy, port: number): void {
    this.identity.set(slot, identity);
    this.serverName.set(slot, nameToAskFor(identity));
    this.carries[slot] = proxy.http2 ? 1 : 0;
    this.proxyPort[slot] = proxy.port;
    this.port[slot] = port;
  }
}
