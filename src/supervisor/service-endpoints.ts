// The endpoints of each service, with their slots and TLS labels; reports them to the workers.
import type { Config, ServiceConfig } from '../config/model.js';
import type { Endpoint } from '../discovery/endpoint.js';
import { addressText } from '../discovery/text.js';
import { isLarge } from '../io/heap.js';
import type { MetricsReader } from '../metrics/reader.js';
import type { EndpointSnapshot, ToWorker } from '../proxy/snapshot.js';
import type { Destinations } from './destinations.js';
import { endpointTls } from './tls-labels.js';

export interface ServiceEndpointsDeps {
  readonly destinations: Destinations;
  readonly reader: Pick<MetricsReader, 'identities' | 'setEndpoint'>;
  readonly logger: { error(message: string, fields?: Record<string, unknown>): void };
  config(): Config;
  /** Whether workers know the service: a new one's endpoints are sent with its settings. */
  isPublished(service: string): boolean;
  broadcast(message: ToWorker): void;
}

export class ServiceEndpoints {
  /** Current endpoints by service name. */
  readonly #endpoints = new Map<string, readonly EndpointSnapshot[]>();
  /** Services with more endpoints than there is room for. */
  readonly #beyondCapacity = new Set<string>();
  /** Services whose endpoints are not known yet. */
  readonly #unresolved = new Set<string>();
  #dialledWith: Map<string, ServiceConfig['tls']>;

  constructor(private readonly deps: ServiceEndpointsDeps) {
    this.#dialledWith = dialledWith(deps.config());
  }

  of(service: string): readonly EndpointSnapshot[] {
    return this.#endpoints.get(service) ?? [];
  }

  isResolved(service: string): boolean {
    return !this.#unresolved.has(service);
  }

  /** Number of services that have an endpoint. */
  get ready(): number {
    return [...this.#endpoints.values()].filter((of) => of.length > 0).length;
  }

  get isLarge(): boolean {
    return isLarge([...this.#endpoints.values()]);
  }

  /** Assigns services their slots. Throws if there is none left. */
  add(services: readonly Pick<ServiceConfig, 'name'>[]): void {
    const { destinations } = this.deps;
    destinations.sweep();
    for (const { name } of services) destinations.addService(name);
  }

  drop(service: string): void {
    const { destinations } = this.deps;
    this.#publish(service, []);
    for (const endpoint of this.of(service)) destinations.dropEndpoint(service, endpoint);
    this.#endpoints.delete(service);
    this.#unresolved.delete(service);
    this.#beyondCapacity.delete(service);
    destinations.dropService(service);
  }

  /** `resolved`: the endpoints are known. */
  set(service: string, endpoints: readonly Endpoint[], resolved: boolean): void {
    const { destinations, isPublished } = this.deps;
    if (resolved) this.#unresolved.delete(service);
    else this.#unresolved.add(service);
    const after: EndpointSnapshot[] = [];
    for (const endpoint of endpoints) {
      const placed = destinations.addEndpoint(service, endpoint.address, endpoint);
      if (placed !== undefined) after.push(placed);
    }
    this.#warnOfCapacity(service, endpoints.length - after.length);
    const before = this.of(service);
    this.#endpoints.set(service, after);
    this.#label(service, this.#dialledWith.get(service) ?? null, after);
    if (isPublished(service)) this.#publish(service, after);
    const kept = new Set(after.map(({ slot }) => slot));
    for (const endpoint of before) if (!kept.has(endpoint.slot)) destinations.dropEndpoint(service, endpoint);
  }

  /** There is a new configuration. */
  configured(config: Config): void {
    this.#dialledWith = dialledWith(config);
    for (const { name, tls } of config.services) this.#label(name, tls, this.of(name));
  }

  #publish(service: string, endpoints: readonly EndpointSnapshot[]): void {
    this.deps.broadcast({
      kind: 'endpoints',
      service: this.deps.destinations.slotOf(service),
      endpoints,
      resolved: this.isResolved(service),
    });
  }

  /** Logs once per service that there is no room for all its endpoints. */
  #warnOfCapacity(service: string, unused: number): void {
    if (unused === 0) this.#beyondCapacity.delete(service);
    else if (!this.#beyondCapacity.has(service)) {
      this.#beyondCapacity.add(service);
      this.deps.logger.error('too many endpoints: some are not used', { service, unused });
    }
  }

  #label(service: string, tls: ServiceConfig['tls'], endpoints: readonly EndpointSnapshot[]): void {
    const { reader, config } = this.deps;
    for (const { series, host, port, identity } of endpoints) {
      if (series === 0) continue;
      const labels = endpointTls(config(), tls, { host, identity }, (name) => reader.identities.of(name));
      reader.setEndpoint(series, { service, address: addressText({ host, port }), ...(labels && { tls: labels }) });
    }
  }
}

/** The `tls` sections of services that have one. */
const dialledWith = ({ services }: Config): Map<string, ServiceConfig['tls']> =>
  new Map(services.flatMap(({ name, tls }) => (tls === null ? [] : [[name, tls]])));
