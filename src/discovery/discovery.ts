// Maintains the endpoints of every service: watches the configured sources, merges their reports, and publishes changes. Main thread, cold.
import type { EndpointSource, ServiceConfig } from '../config/model.js';
import { type Endpoint, mergeEndpoints, NO_PROXY, sameEndpoints } from './endpoint.js';
import type { EndpointUpdate, Report, Sources, Timers, Watch, WatchSpec } from './source.js';
import { sourceText } from './text.js';

export interface DiscoveryDeps {
  readonly sources: Sources;
  /**
   * Called with all endpoints of a service, first at startup and then on each change. Never for removed services. `resolved`: false if
   * there are none because nothing is known yet.
   */
  onEndpoints(service: string, endpoints: readonly Endpoint[], resolved: boolean): void;
  /** How long a new set of services waits for its sources, ms. */
  readonly startWaitMs: () => number;
  readonly timers?: Timers;
}

/** A source of a service, and its last report. */
interface Entry extends Named {
  readonly source: EndpointSource;
  readonly minTtlMs: number;
  readonly maxTtlMs: number;
  /** Null: no report yet. */
  endpoints: readonly Endpoint[] | null;
  /** Why there is none, if known. */
  failure: string;
  watch: Watch | null;
  /** The service that gets its reports; null until that is in use, and after it is gone. */
  service: Service | null;
  /** Called at its first report. */
  first: (() => void) | null;
}

interface Service {
  readonly name: string;
  readonly entries: readonly Entry[];
  published: readonly Endpoint[];
  /** The last value reported; null before the first. */
  resolved: boolean | null;
}

/** Watches with equal keys are the same. */
const watchKey = ({ source, minTtlMs, maxTtlMs, peer }: Omit<WatchSpec, 'service' | 'known'> & Named): string =>
  `${minTtlMs} ${maxTtlMs} ${JSON.stringify(peer)} ${sourceText(source)}`;

type ConfiguredPeer = Pick<Endpoint, 'identity' | 'proxy'>;

interface Named {
  /** Identity and proxy of its endpoints from the configuration; null if the source itself provides them. */
  readonly peer: ConfiguredPeer | null;
}

/** With `tls`, an endpoint's DNS name is also the name to expect. */
function configuredPeer(source: EndpointSource, { tls }: ServiceConfig): ConfiguredPeer | null {
  if (source.kind === 'file') return null;
  if (source.identity !== undefined) return { identity: source.identity, proxy: source.proxy ?? NO_PROXY };
  if (source.kind !== 'dns' || tls === null || tls.serverName !== null) return null;
  return { identity: source.name.toLowerCase().replace(/\.$/, ''), proxy: NO_PROXY };
}

const named = (endpoints: readonly Endpoint[], peer: ConfiguredPeer | null): readonly Endpoint[] =>
  peer === null ? endpoints : endpoints.map((endpoint) => ({ ...endpoint, ...peer }));

/** Unlike the timers of sources, these keep the process alive. */
const lastingTimers: Timers = {
  set: (callback, delayMs) => setTimeout(callback, delayMs),
  clear: (timer) => clearTimeout(timer as NodeJS.Timeout),
};

export class Discovery {
  readonly #deps: DiscoveryDeps;
  #services = new Map<string, Service>();
  #stopped = false;
  #queue: Promise<void> = Promise.resolve();

  constructor(deps: DiscoveryDeps) {
    this.#deps = deps;
  }

  /** Watches every source, and reports each service once all are known, or after a while with what is known then. */
  start(services: readonly ServiceConfig[]): Promise<void> {
    return this.update(services);
  }

  /** Applies a new set of services in the same way. What can't be resolved is retried, and delays nobody. */
  update(services: readonly ServiceConfig[]): Promise<void> {
    const turn = this.#queue.then(() => this.#replace(services));
    this.#queue = turn.catch(() => {});
    return turn;
  }

  /** Stops all watching; answers in progress are dropped. */
  stop(): void {
    this.#stopped = true;
    for (const { entries } of this.#services.values()) for (const entry of entries) end(entry);
    this.#services.clear();
  }

  /** The last reported endpoints of a service; empty if unknown. */
  endpoints(service: string): readonly Endpoint[] {
    return this.#services.get(service)?.published ?? [];
  }

  /** Services without endpoints, and the reasons if known. */
  unready(): { readonly service: string; readonly reasons: readonly string[] }[] {
    return [...this.#services.values()]
      .filter(({ published }) => published.length === 0)
      .map(({ name, entries }) => ({
        service: name,
        reasons: entries
          .filter(({ endpoints }) => endpoints === null)
          .map(({ source, failure }) => `${sourceText(source)}: ${failure === '' ? 'no answer yet' : failure}`),
      }));
  }

  /** Waits for `heard`, but not long. The timer keeps the process alive, which might otherwise end in the middle of its start. */
  async #atMost(heard: Promise<unknown>): Promise<void> {
    const { startWaitMs, timers = lastingTimers } = this.#deps;
    let timer: unknown;
    const late = new Promise<void>((resolve) => {
      timer = timers.set(resolve, startWaitMs());
    });
    await Promise.race([heard, late]);
    timers.clear(timer);
  }

  async #replace(configs: readonly ServiceConfig[]): Promise<void> {
    if (this.#stopped) return;
    const known = this.#lastKnown();
    const started: Entry[] = [];
    const waits: Promise<void>[] = [];
    const kept = new Set<Entry>();
    const services = configs.map((config): Service => {
      const before = this.#watchesOf(config.name);
      const entries = config.endpoints.map((source) => {
        // A continuing watch has nothing to find out.
        const spec = { source, minTtlMs: config.dnsMinTtlMs, maxTtlMs: config.dnsMaxTtlMs };
        const key = source.kind === 'static' ? '' : watchKey({ ...spec, peer: configuredPeer(source, config) });
        const running = before.get(key);
        if (running !== undefined) {
          kept.add(running);
          return running;
        }
        return this.#enter(config, source, known, waits, started);
      });
      return { name: config.name, entries, published: [], resolved: null };
    });
    if (waits.length > 0) await this.#atMost(Promise.all(waits));
    if (this.#stopped) {
      for (const entry of started) end(entry);
      return;
    }
    this.#takeOver(services, kept);
  }

  #takeOver(services: readonly Service[], kept: ReadonlySet<Entry>): void {
    for (const { entries } of this.#services.values()) for (const entry of entries) if (!kept.has(entry)) end(entry);
    const previous = this.#services;
    this.#services = new Map(services.map((service) => [service.name, service]));
    for (const service of services) {
      // While the services were assembled, a continuing watch may have reported to the previous one.
      const before = previous.get(service.name);
      service.published = before?.published ?? [];
      service.resolved = before?.resolved ?? null;
      for (const entry of service.entries) entry.service = service;
      this.#publish(service);
    }
  }

  #watchesOf(name: string): Map<string, Entry> {
    const watches = new Map<string, Entry>();
    for (const entry of this.#services.get(name)?.entries ?? []) {
      if (entry.source.kind !== 'static') watches.set(watchKey(entry), entry);
    }
    return watches;
  }

  /** What is known about each source, so that a reload does not fail where a refresh would not. */
  #lastKnown(): Map<string, readonly Endpoint[]> {
    const known = new Map<string, readonly Endpoint[]>();
    for (const { entries } of this.#services.values()) {
      for (const { source, endpoints } of entries)
        if (source.kind !== 'static' && endpoints !== null) known.set(sourceText(source), endpoints);
    }
    return known;
  }

  #enter(
    config: ServiceConfig,
    source: EndpointSource,
    known: ReadonlyMap<string, readonly Endpoint[]>,
    waits: Promise<void>[],
    started: Entry[],
  ): Entry {
    const { name, dnsMinTtlMs: minTtlMs, dnsMaxTtlMs: maxTtlMs } = config;
    const entry: Entry = {
      source,
      minTtlMs,
      maxTtlMs,
      peer: configuredPeer(source, config),
      endpoints: null,
      failure: '',
      watch: null,
      service: null,
      first: null,
    };
    started.push(entry);
    let reported = false;
    let settle: () => void = () => undefined;
    entry.first = () => {
      reported = true;
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
    if (update.kind === 'endpoints') entry.endpoints = named(update.endpoints, entry.peer);
    entry.failure = update.kind === 'failed' ? update.reason : '';
    const { first } = entry;
    entry.first = null;
    first?.();
    if (entry.service !== null) this.#publish(entry.service);
  }

  #publish(service: Service): void {
    const endpoints = mergeEndpoints(service.entries.map((entry) => entry.endpoints ?? []));
    const resolved = endpoints.length > 0 || service.entries.every((entry) => entry.endpoints !== null);
    const known = resolved === service.resolved || (resolved && service.resolved === null && endpoints.length === 0);
    service.resolved = resolved;
    if (known && sameEndpoints(endpoints, service.published)) return;
    service.published = endpoints;
    this.#deps.onEndpoints(service.name, endpoints, resolved);
  }
}

function end(entry: Entry): void {
  entry.service = null;
  entry.watch?.stop();
  entry.watch = null;
}
