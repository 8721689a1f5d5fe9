// Keeps the addresses of every service: resolves all of them at the start, follows the TTLs, keeps the last known good
// ones when the DNS fails. Main thread, cold.
import type { Address, EndpointSource, ServiceConfig } from '../config/model.js';
import { DEFAULT_TTL_MS, type EndpointResolver, type Resolution, unique } from './resolver.js';
import { addressText, sourceText } from './text.js';

export interface DiscoveryLogger {
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
}

export interface DiscoveryDeps {
  readonly resolver: EndpointResolver;
  readonly logger: DiscoveryLogger;
  /** Called with all addresses of a service, sorted, first at the start and then on each change. Never for removed services. */
  onEndpoints(service: string, addresses: readonly Address[]): void;
  /** Default: a timer of Node's that does not keep the process alive. */
  setTimer?(callback: () => void, delayMs: number): unknown;
  clearTimer?(timer: unknown): void;
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

interface Entry {
  readonly source: EndpointSource;
  addresses: readonly Address[];
  ttlMs: number | null;
  failures: number;
  lastFailure: string;
  timer: unknown;
}

interface Service {
  readonly config: ServiceConfig;
  readonly entries: readonly Entry[];
  published: string;
}

export class Discovery {
  readonly #deps: DiscoveryDeps;
  #services = new Map<string, Service>();
  #stopped = false;
  #queue: Promise<void> = Promise.resolve();

  constructor(deps: DiscoveryDeps) {
    this.#deps = deps;
  }

  /** Resolves every endpoint, then reports each service. Rejects with a DiscoveryError that lists all failures. */
  start(services: readonly ServiceConfig[]): Promise<void> {
    return this.update(services);
  }

  /** Takes over a new set of services. When it rejects (DiscoveryError), nothing has changed. */
  update(services: readonly ServiceConfig[]): Promise<void> {
    const turn = this.#queue.then(() => this.#replace(services));
    this.#queue = turn.catch(() => {});
    return turn;
  }

  /** Ends all refreshing; answers under way are dropped. */
  stop(): void {
    this.#stopped = true;
    for (const service of this.#services.values()) this.#clearTimers(service);
    this.#services.clear();
  }

  /** The addresses of a service as last reported; empty where it is not known. */
  endpoints(service: string): readonly Address[] {
    const known = this.#services.get(service);
    return known === undefined ? [] : addressesOf(known);
  }

  async #replace(configs: readonly ServiceConfig[]): Promise<void> {
    const failures: Unresolvable[] = [];
    const known = this.#lastKnown();
    const services = await Promise.all(
      configs.map(async (config): Promise<Service> => {
        const entries = await Promise.all(
          // An address is known at once: a promise for each of 50,000 takes more memory than all the rest.
          config.endpoints.map((source) =>
            source.kind === 'static' ? staticEntry(source) : this.#enter(config, source, known, failures),
          ),
        );
        return { config, entries, published: '' };
      }),
    );
    if (failures.length > 0) throw new DiscoveryError(failures);
    if (this.#stopped) return;

    const previous = this.#services;
    for (const service of previous.values()) this.#clearTimers(service);
    this.#services = new Map(services.map((service) => [service.config.name, service]));
    for (const service of services) {
      service.published = previous.get(service.config.name)?.published ?? '';
      this.#publish(service);
      for (const entry of service.entries) this.#schedule(service, entry);
    }
  }

  /** What is known of each source, so that a reload does not fail where a refresh would not. */
  #lastKnown(): Map<string, Entry> {
    const known = new Map<string, Entry>();
    for (const { entries } of this.#services.values())
      for (const entry of entries) if (entry.source.kind !== 'static') known.set(sourceText(entry.source), entry);
    return known;
  }

  async #enter(
    config: ServiceConfig,
    source: EndpointSource,
    known: ReadonlyMap<string, Entry>,
    failures: Unresolvable[],
  ): Promise<Entry> {
    const entry: Entry = { source, addresses: [], ttlMs: null, failures: 0, lastFailure: '', timer: null };
    const before = known.get(sourceText(source));
    if (before !== undefined) return Object.assign(entry, { addresses: before.addresses, ttlMs: before.ttlMs });
    try {
      const resolution = await this.#deps.resolver.resolve(source);
      entry.addresses = resolution.addresses;
      entry.ttlMs = resolution.ttlMs;
    } catch (error) {
      failures.push({ service: config.name, endpoint: sourceText(source), reason: explainFailure(error) });
    }
    return entry;
  }

  #schedule(service: Service, entry: Entry): void {
    if (entry.source.kind === 'static') return;
    const { dnsMinTtlMs, dnsMaxTtlMs } = service.config;
    const wanted =
      entry.failures === 0 ? (entry.ttlMs ?? DEFAULT_TTL_MS) : dnsMinTtlMs * 2 ** Math.min(entry.failures - 1, 30);
    const delayMs = Math.min(Math.max(wanted, dnsMinTtlMs), dnsMaxTtlMs);
    const setTimer = this.#deps.setTimer ?? setNodeTimer;
    entry.timer = setTimer(() => void this.#refresh(service, entry), delayMs);
  }

  async #refresh(service: Service, entry: Entry): Promise<void> {
    entry.timer = null;
    const fields = { service: service.config.name, endpoint: sourceText(entry.source) };
    let resolution: Resolution | undefined;
    let reason = '';
    try {
      resolution = await this.#deps.resolver.resolve(entry.source);
    } catch (error) {
      reason = explainFailure(error);
    }
    // Stopped, or replaced by an update meanwhile.
    if (this.#services.get(service.config.name) !== service) return;

    if (resolution !== undefined) {
      if (entry.failures > 0) this.#deps.logger.info('endpoint resolves again', fields);
      entry.failures = 0;
      entry.ttlMs = resolution.ttlMs;
      entry.addresses = keepUnknown(entry.addresses, resolution);
      this.#publish(service);
    } else {
      entry.failures++;
      if (reason !== entry.lastFailure) {
        const more = { ...fields, reason, kept: entry.addresses.length };
        this.#deps.logger.warn('endpoint no longer resolves; its last known addresses stay in use', more);
      }
    }
    entry.lastFailure = reason;
    this.#schedule(service, entry);
  }

  #publish(service: Service): void {
    const addresses = addressesOf(service);
    const text = addresses.map(addressText).join(' ');
    if (text === service.published) return;
    service.published = text;
    this.#deps.onEndpoints(service.config.name, addresses);
  }

  #clearTimers(service: Service): void {
    const clearTimer = this.#deps.clearTimer ?? clearNodeTimer;
    for (const entry of service.entries) {
      if (entry.timer !== null) clearTimer(entry.timer);
      entry.timer = null;
    }
  }
}

function staticEntry(source: EndpointSource & { readonly kind: 'static' }): Entry {
  return { source, addresses: [source.address], ttlMs: null, failures: 0, lastFailure: '', timer: null };
}

function setNodeTimer(callback: () => void, delayMs: number): unknown {
  return setTimeout(callback, delayMs).unref();
}

function clearNodeTimer(timer: unknown): void {
  clearTimeout(timer as NodeJS.Timeout);
}

const addressesOf = (service: Service): Address[] => unique(service.entries.flatMap((entry) => entry.addresses));

/** Addresses of families that the answer says nothing about stay. */
function keepUnknown(before: readonly Address[], resolution: Resolution): readonly Address[] {
  const { addresses, unknownFamilies } = resolution;
  if (unknownFamilies.length === 0) return addresses;
  const kept = before.filter(({ host }) => unknownFamilies.includes(host.includes(':') ? 6 : 4));
  return unique([...addresses, ...kept]);
}

const WORDS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'there is no such name',
  ENODATA: 'the name exists, but has no such record',
  ESERVFAIL: 'the DNS server failed',
  ETIMEOUT: 'the DNS server did not answer in time',
  ECONNREFUSED: 'no DNS server listens at the configured address',
  EREFUSED: 'the DNS server refuses to answer',
  EAI_AGAIN: 'name resolution failed for now; the DNS server may be unreachable',
};

function explainFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error ? String(error.code) : '';
  return code in WORDS ? `${WORDS[code]} (${code})` : error.message;
}
