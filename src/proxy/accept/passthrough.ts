// Passthrough: the worker's own services for original destinations without a configured service. Each has one endpoint, the address itself,
// so that HTTP to it is pooled, retried and accounted like any other.
import { column } from '../../http/columns.js';
import { MAX_LISTENERS } from '../../metrics/layout.js';
import { LOCAL_DESTINATIONS, MAX_ENDPOINTS, MAX_SERVICES } from '../capacity.js';
import type { Context } from '../context.js';

const IPV6_BYTES = 28;

export class Passthrough {
  private readonly used = column(Uint8Array, LOCAL_DESTINATIONS);

  /** `removed` is told of removed endpoints, so that connections kept to them can be closed. */
  constructor(
    private readonly context: Context,
    private readonly removed: (endpoint: number) => void,
  ) {}

  /** Settings have changed, and with them those of each service. */
  configured(): void {
    for (let i = 0; i < LOCAL_DESTINATIONS; i++) if (this.used[i] === 1) this.name(i);
  }

  /** The service for a destination slot, whose address is `sockaddr` (28 bytes for IPv6, else 16), or `text`. */
  open(destination: number, sockaddr: Uint8Array, text: string): number {
    const i = destination - MAX_LISTENERS;
    const service = MAX_SERVICES + i;
    if (this.used[i] === 1) return service;
    this.used[i] = 1;
    this.context.configureLocal(i);
    const { endpoints, balancer, bytes, reactor } = this.context;
    const endpoint = MAX_ENDPOINTS + i;
    // The slot may have been another address before; its history does not apply.
    balancer.reset(endpoint);
    endpoints.address.set(endpoint, text);
    endpoints.family[endpoint] = sockaddr.length === IPV6_BYTES ? 6 : 4;
    endpoints.addressLength[endpoint] = sockaddr.length;
    bytes.set(sockaddr, endpoints.addressAt[endpoint]);
    endpoints.service[endpoint] = service;
    this.context.protocols.forget(endpoint);
    this.name(i);
    balancer.setEndpoints(service, [endpoint], reactor.clockMs());
    return service;
  }

  /** The destination has been dropped. */
  close(destination: number): void {
    const i = destination - MAX_LISTENERS;
    if (this.used[i] === 0) return;
    this.used[i] = 0;
    const endpoint = MAX_ENDPOINTS + i;
    this.context.endpoints.service[endpoint] = -1;
    this.context.balancer.setEndpoints(MAX_SERVICES + i, [], this.context.reactor.clockMs());
    this.removed(endpoint);
  }

  private name(i: number): void {
    const { context } = this;
    context.configureLocal(i);
    const service = MAX_SERVICES + i;
    context.setHost(service, context.endpoints.address.get(MAX_ENDPOINTS + i));
    context.services.connectTimeoutMs[service] =
      context.connectTimeoutMs[context.destinations.listener[MAX_LISTENERS + i]];
  }
}
