// The endpoints of every service: watches the sources that the configuration names, merges what they report, and
// publishes what has changed. Main thread, cold.
import type { EndpointSource, ServiceConfig } from '../config/model.js';
import { type Endpoint, mergeEndpoints, sameEndpoints } from './endpoint.js';
import type { EndpointUpdate, Report, Sources, Watch, WatchSpec } from './source.js';
import { sourceText } from './text.js';

export interface DiscoveryDeps {
  readonly sources: Sources;
  /** Called with all endpoints of a service, first at the start and then on each change. Never for removed services. */
  onEndpoints(service: string, endpoints: readonly Endpoint[]): void;
}

export interface Unresolvable {
  readonly service: string;
  readonly endpoint: string;
  readonly reason: string;
}

/** Endpoints that have no address at the start or in a new configuration. */
export class DiscoveryError extends Error {
  readonly failures: readonly Unresolvable[];

  constructor(failures: readonly Unresolvable[]) {
    const lines = failures.map(
      ({ service, endpoint, reason }) => `  service ${service}, endpoint ${endpoint}: ${reason}`,
    );
    super(
      `${failures.length === 1 ? 'an endpoint' : `${failures.length} endpoints`} could not be resolved:\n` +
        `${lines.join('\n')}\n` +
        'Check the spelling and that the name resolves on this machine (getent hosts NAME, or dig NAME SRV), ' +
        'or give the endpoint as IP:PORT.',
    );
    this.name = 'DiscoveryError';
    this.failures = failures;
  }
}

/** A source of a service, and what it has reported last. */
interface Entry {
  readonly source: EndpointSource;
  readonly minTtlMs: number;
  readonly maxTtlMs: number;
  endpoints: readonly Endpoint[];
  watch: Watch | null;
  /** The service that its reports are for; null until that is taken over, and after it is gone. */
  service: Service | null;
  /** Called with its first report. */
  first: Report | null;
}

interface Service {
  readonly name: string;
  readonly entries: readonly Entry[];
  published: readonly Endpoint[];
}

/** What makes two watches of a service the same. */
const watchKey = (source: EndpointSource, minTtlMs: number, maxTtlMs: number): string =>
  `${minTtlMs} ${maxTtlMs} ${sourceText(source)}`;

export class Discovery {
  readonly #deps: DiscoveryDeps;
  #services = new Map<string, Service>();
  #stopped = false;
  #queue: Promise<void> = Promise.resolve();

  constructor(deps: DiscoveryDeps) {
    this.#deps = deps;
  }

  /** Watches every source, then reports each service. Rejects with a DiscoveryError that lists all failures. */
  start(services: readonly ServiceConfig[]): Promise<void> {
    return this.update(services);
  }

  /** Takes over a new set of services. When it rejects (DiscoveryError), nothing has changed. */
  update(services: readonly ServiceConfig[]): Promise<void> {
    const turn = this.#queue.then(() => this.#replace(services));
    this.#queue = turn.catch(() => {});
    return turn;
  }

  /** Ends all watching; answers under way are dropped. */
  stop(): void {
    this.#stopped = true;
    for (const { entries } of this.#services.values()) for (const entry of entries) end(entry);
    this.#services.clear();
  }

  /** The endpoints of a service as last reported; empty where it is not known. */
  endpoints(service: string): readonly Endpoint[] {
    return this.#services.get(service)?.published ?? [];
  }

  async #replace(configs: readonly ServiceConfig[]): Promise<void> {
    if (this.#stopped) return;
    const failures: Unresolvable[] = [];
    const known = this.#lastKnown();
    const started: Entry[] = [];
    const waits: Promise<void>[] = [];
    const kept = new Set<Entry>();
    const services = configs.map((config): Service => {
      const before = this.#watchesOf(config.name);
      const entries = config.endpoints.map((source) => {
        // A watch that goes on has nothing to find out.
        const key = source.kind === 'static' ? '' : watchKey(source, config.dnsMinTtlMs, config.dnsMaxTtlMs);
        const running = before.get(key);
        if (running !== undefined) {
          kept.add(running);
          return running;
        }
        const entry = this.#enter(config, source, known, failures, waits);
        started.push(entry);
        return entry;
      });
      return { name: config.name, entries, published: this.#services.get(config.name)?.published ?? [] };
    });
    await Promise.all(waits);
    if (failures.length > 0 || this.#stopped) {
      for (const entry of started) end(entry);
      if (failures.length > 0) throw new DiscoveryError(failures);
      return;
    }
    this.#takeOver(services, kept);
  }

  #takeOver(services: readonly Service[], kept: ReadonlySet<Entry>): void {
    for (const { entries } of this.#services.values()) for (const entry of entries) if (!kept.has(entry)) end(entry);
    const previous = this.#services;
    this.#services = new Map(services.map((service) => [service.name, service]));
    for (const service of services) {
      // Since the services were put together, a watch that goes on may have reported to the one before.
      service.published = previous.get(service.name)?.published ?? [];
      for (const entry of service.entries) entry.service = service;
      this.#publish(service);
    }
  }

  #watchesOf(name: string): Map<string, Entry> {
    const watches = new Map<string, Entry>();
    for (const entry of this.#services.get(name)?.entries ?? []) {
      const { source, minTtlMs, maxTtlMs } = entry;
      if (source.kind !== 'static') watches.set(watchKey(source, minTtlMs, maxTtlMs), entry);
    }
    return watches;
  }

  /** What is known of each source, so that a reload does not fail where a refresh would not. */
  #lastKnown(): Map<string, readonly Endpoint[]> {
    const known = new Map<string, readonly Endpoint[]>();
    for (const { entries } of this.#services.values()) {
      for (const { source, endpoints } of entries)
        if (source.kind !== 'static') known.set(sourceText(source), endpoints);
    }
    return known;
  }

  #enter(
    config: ServiceConfig,
    source: EndpointSource,
    known: ReadonlyMap<string, readonly Endpoint[]>,
    failures: Unresolvable[],
    waits: Promise<void>[],
  ): Entry {
    const { name, dnsMinTtlMs: minTtlMs, dnsMaxTtlMs: maxTtlMs } = config;
    const entry: Entry = { source, minTtlMs, maxTtlMs, endpoints: [], watch: null, service: null, first: null };
    let reported = false;
    let settle: () => void = () => undefined;
    entry.first = (update) => {
      reported = true;
      if (update.kind === 'failed')
        failures.push({ service: name, endpoint: sourceText(source), reason: update.reason });
      settle();
    };
    const lastKnown = source.kind === 'static' ? null : (known.get(sourceText(source)) ?? null);
    entry.watch = this.#watch({ service: name, source, minTtlMs, maxTtlMs, known: lastKnown }, (update) =>
      this.#receive(entry, update),
    );
    if (!reported) {
      waits.push(
        new Promise<void>((resolve) => {
          settle = resolve;
        }),
      );
    }
    return entry;
  }

  #watch(spec: WatchSpec, report: Report): Watch {
    const { sources } = this.#deps;
    const { source } = spec;
    switch (source.kind) {
      case 'static':
        return sources.static.watch({ ...spec, source }, report);
      case 'dns':
        return sources.dns.watch({ ...spec, source }, report);
      case 'srv':
        return sources.srv.watch({ ...spec, source }, report);
      case 'file':
        return sources.file.watch({ ...spec, source }, report);
      default: {
        const unknown: never = source;
        return unknown;
      }
    }
  }

  #receive(entry: Entry, update: EndpointUpdate): void {
    if (update.kind === 'endpoints') entry.endpoints = update.endpoints;
    const { first } = entry;
    entry.first = null;
    first?.(update);
    if (entry.service !== null) this.#publish(entry.service);
  }

  #publish(service: Service): void {
    const endpoints = mergeEndpoints(service.entries.map((entry) => entry.endpoints));
    if (sameEndpoints(endpoints, service.published)) return;
    service.published = endpoints;
    this.#deps.onEndpoints(service.name, endpoints);
  }
}

function end(entry: Entry): void {
  entry.service = null;
  entry.watch?.stop();
  entry.watch = null;
}
