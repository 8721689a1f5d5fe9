// The PROXY header that a service may require at the start of each connection to an endpoint: it names the client.
import { column } from '../../http/columns.js';
import { parseName } from '../../proxy-protocol/addresses.js';
import { writeHeader } from '../../proxy-protocol/write.js';
import type { Context } from '../context.js';

export class ProxyHeaderWriter {
  /** 1 if the connection to an endpoint has sent or queued its header. */
  private readonly written: Uint8Array;

  constructor(private readonly context: Context) {
    this.written = column(Uint8Array, context.sockets.capacity);
  }

  /** A connection to an endpoint begins. */
  reset(upstream: number): void {
    this.written[upstream] = 0;
  }

  /** `upstream` takes over everything queued for another connection, including the header unless that goes before TLS. */
  queueMoved(upstream: number): void {
    this.written[upstream] = this.aheadOfTls(upstream) ? 0 : 1;
  }

  /** `upstream`, another dial for the same client, is to race the one whose queue it will take over. False as for `write`. */
  writeForHedge(client: number, upstream: number): boolean {
    this.reset(upstream);
    return !this.aheadOfTls(upstream) || this.write(client, upstream);
  }

  /**
   * Queues the header before everything else if the service wants one. It goes before the service's TLS, because its reader wants to know
   * the client first. False if there is no memory for it.
   */
  write(client: number, upstream: number): boolean {
    const { endpoints, services, connections, slab, sockets } = this.context;
    const service = endpoints.service[connections.endpoint[upstream]];
    const version = service < 0 ? 0 : services.proxyProtocol[service];
    if (version === 0 || this.written[upstream] === 1) return true;
    const bid = slab.take();
    if (bid < 0) return false;
    const at = slab.dataStart(bid);
    const source = connections.peerName(client);
    const length = writeHeader(version === 1 ? 1 : 2, source, this.destination(client), slab.bytes, at);
    this.written[upstream] = 1;
    if (this.aheadOfTls(upstream)) sockets.transportSockets?.sendAhead(upstream, at, length, bid);
    else sockets.queue(upstream, at, length, bid);
    return true;
  }

  /** Whether the service itself dials with TLS. (With the mesh's TLS the header is sent to the endpoint inside.) */
  private aheadOfTls(upstream: number): boolean {
    const { endpoints, services, connections, sockets } = this.context;
    const service = endpoints.service[connections.endpoint[upstream]];
    return service >= 0 && services.tls[service] !== 0 && sockets.layer[upstream] !== 0;
  }

  /** The client's destination: from a header, from netfilter, or the address where it was accepted. */
  private destination(client: number): string {
    const { connections, destinations, native, sockets } = this.context;
    const proxied = connections.destinationName(client);
    if (proxied !== '') return proxied;
    const fd = sockets.fd[client];
    const original = destinations.isOriginal(connections.destination[client]) ? native.originalDestination(fd) : '';
    return parseName(original) === null ? native.localName(fd) : original;
  }
}
