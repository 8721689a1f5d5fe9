// The endpoints that each service has, with the slots that they get and the labels that say how they are dialled; workers are told of them.
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
  /** Whether workers have been told of the service: of a new one they hear with its settings. */
  isTold(service: string): boolean;
  broadcast(message: ToWorker): void;
}

export class ServiceEndpoints {
  /** Of each service, by name, as they were given last. */
  readonly #endpoints = new Map<string, readonly EndpointSnapshot[]>();
  /** Services that have more endpoints than there is room for. */
  readonly #crowded = new Set<string>();
  /** Services of which no endpoint has been heard of yet. */
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

  /** Services that have an endpoint. */
  get ready(): number {
    return [...this.#endpoints.values()].filter((of) => of.length > 0).length;
  }

  get isLarge(): boolean {
    return isLarge([...this.#endpoints.values()]);
  }

  /** Gives services their slots. Throws where there is none left. */
  add(services: readonly Pick<ServiceConfig, 'name'>[]): void {
    const { destinations } = this.deps;
    destinations.sweep();
    for (const { name } of services) destinations.addService(name);
  }

  drop(service: string): void {
    const { destinations } = this.deps;
    this.#tell(service, []);
    for (const endpoint of this.of(service)) destinations.dropEndpoint(service, endpoint);
    this.#endpoints.delete(service);
    this.#unresolved.delete(service);
    this.#crowded.delete(service);
    destinations.dropService(service);
  }

  /** `resolved`: something has been heard of them. */
  set(service: string, endpoints: readonly Endpoint[], resolved: boolean): void {
    const { destinations, isTold } = this.deps;
    if (resolved) this.#unresolved.delete(service);
    else this.#unresolved.add(service);
    const after: EndpointSnapshot[] = [];
    for (const endpoint of endpoints) {
      const placed = destinations.addEndpoint(service, endpoint.address, endpoint);
      if (placed !== undefined) after.push(placed);
    }
    this.#tellCrowding(service, endpoints.length - after.length);
    const before = this.of(service);
    this.#endpoints.set(service, after);
    this.#label(service, this.#dialledWith.get(service) ?? null, after);
    if (isTold(service)) this.#tell(service, after);
    const kept = new Set(after.map(({ slot }) => slot));
    for (const endpoint of before) if (!kept.has(endpoint.slot)) destinations.dropEndpoint(service, endpoint);
  }

  /** There is another configuration. */
  configured(config: Config): void {
    this.#dialledWith = dialledWith(config);
    for (const { name, tls } of config.services) this.#label(name, tls, this.of(name));
  }

  #tell(service: string, endpoints: readonly EndpointSnapshot[]): void {
    this.deps.broadcast({
      kind: 'endpoints',
      service: this.deps.destinations.slotOf(service),
      endpoints,
      resolved: this.isResolved(service),
    });
  }

  /** Says once of a service that there is no room for all of its endpoints. */
  #tellCrowding(service: string, unused: number): void {
    if (unused === 0) this.#crowded.delete(service);
    else if (!this.#crowded.has(service)) {
      this.#crowded.add(service);
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

/** `tls` of the services that have it. */
const dialledWith = ({ services }: Config): Map<string, ServiceConfig['tls']> =>
  new Map(services.flatMap(({ name, tls }) => (tls === null ? [] : [[name, tls]])));
