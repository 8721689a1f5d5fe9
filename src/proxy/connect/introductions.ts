// The PROXY header that a service may want at the beginning of each connection to an endpoint: who the client is that it is made for.
import { parseName } from '../../proxy-protocol/addresses.js';
import { writeHeader } from '../../proxy-protocol/write.js';
import type { Context } from '../context.js';

export class Introductions {
  /** 1 where the connection to an endpoint has its header, or has it queued. */
  private readonly made: Uint8Array;

  constructor(private readonly context: Context) {
    this.made = new Uint8Array(context.sockets.capacity);
  }

  /** A connection to an endpoint begins. */
  reset(upstream: number): void {
    this.made[upstream] = 0;
  }

  /** `upstream` gets all that was queued for another one, the header included. */
  inherited(upstream: number): void {
    this.made[upstream] = 1;
  }

  /** Queues the header before anything else is, where the service wants one. False if there is no memory for it. */
  make(client: number, upstream: number): boolean {
    const { endpoints, services, connections, slab, sockets } = this.context;
    const service = endpoints.service[connections.endpoint[upstream]];
    const version = service < 0 ? 0 : services.proxyProtocol[service];
    if (version === 0 || this.made[upstream] === 1) return true;
    const bid = slab.take();
    if (bid < 0) return false;
    const at = slab.dataStart(bid);
    const source = connections.peerName(client);
    const length = writeHeader(version === 1 ? 1 : 2, source, this.destination(client), slab.bytes, at);
    this.made[upstream] = 1;
    sockets.queue(upstream, at, length, bid);
    return true;
  }

  /** Where the client was going: as a header has said, or netfilter knows, or the address at which it was accepted. */
  private destination(client: number): string {
    const { connections, destinations, native, sockets } = this.context;
    const said = connections.destinationName(client);
    if (said !== '') return said;
    const fd = sockets.fd[client];
    const original = destinations.isOriginal(connections.destination[client]) ? native.originalDestination(fd) : '';
    return parseName(original) === null ? native.localName(fd) : original;
  }
}
