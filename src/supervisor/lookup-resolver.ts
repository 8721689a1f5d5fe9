// Resolves addresses that clients dial, through a DestinationLookup. An address in use is watched, and so is the Service behind it, once
// for all its addresses. When the knowledge changes, the answers change, and whoever was told something else is told again.
import type { Network } from '../config/addresses.js';
import type { Address, ServiceConfig } from '../config/model.js';
import { inNetworks } from '../config/networks.js';
import type { LookupCounts } from '../destination/counts.js';
import type { DestinationLookup, EndpointsUpdate, Profile, ProfileUpdate, Requester } from '../destination/lookup.js';
import { type Endpoint, endpointAt, NO_PROXY, sameEndpoints } from '../discovery/endpoint.js';
import type { Watch } from '../discovery/source.js';
import { addressText } from '../discovery/text.js';
import type { DestinationResolver } from './original-destinations.js';

/** How long to keep a service that no address leads to, ms: workers may not know its successor yet. */
const LINGER_MS = 10_000;

export interface ResolverDeps {
  readonly lookup: DestinationLookup;
  readonly requester: Requester;
  /** Only addresses in these networks are looked up. */
  readonly networks: readonly Network[];
  /** How long to wait for an answer, ms. */
  waitMs(): number;
  /** Maximum number of watched addresses. */
  max(): number;
  /** This proxy has an identity: endpoints may be dialled with theirs. */
  readonly meshed: boolean;
  readonly defaults: ServiceConfig;
  readonly services: LookupServices;
  /** The answer about an address is outdated. */
  changed(address: Address): void;
  readonly counts: LookupCounts;
  readonly logger: { warn(message: string, fields?: Record<string, unknown>): void };
}

/** Where workers are told of the resulting services. */
export interface LookupServices {
  /** Whether it still exists: the configuration may have taken its name. */
  has(name: string): boolean;
  /** Adds or changes a service; false if there is no room, or if the configuration has one of this name. */
  set(service: ServiceConfig): boolean;
  setEndpoints(name: string, endpoints: readonly Endpoint[]): void;
  drop(name: string): void;
}

interface Service {
  readonly name: string;
  /** Null until something is known. */
  update: EndpointsUpdate | null;
  profile: Profile;
  config: ServiceConfig;
  /** It is in the workers' tables. */
  added: boolean;
  /** There was no room for it. */
  refused: boolean;
  /** Endpoints that the workers know. */
  published: readonly Endpoint[];
  watch: Watch | null;
  readonly users: Set<Entry>;
  lingering: number;
}

interface Entry {
  readonly address: Address;
  /** Workers' listeners that have an answer. */
  readonly holders: Set<string>;
  watch: Watch | null;
  profile: ProfileUpdate | null;
  /** The service according to the profile, and the current one until that is known. */
  wanted: Service | null;
  current: Service | null;
  /** The last answer; null: none yet. */
  answered: string | null;
  waiting: (() => void)[];
}

export class LookupResolver implements DestinationResolver {
  readonly #deps: ResolverDeps;
  readonly #entries = new Map<string, Entry>();
  readonly #services = new Map<string, Service>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #complained = false;
  #stopped = false;

  constructor(deps: ResolverDeps) {
    this.#deps = deps;
  }

  async resolve(host: string, port: number, holder: string): Promise<ServiceConfig | null> {
    if (this.#stopped || !inNetworks(this.#deps.networks, host)) return null;
    const entry = this.#entryOf({ host, port });
    if (entry === null) return null;
    entry.holders.add(holder);
    if (!isKnown(entry)) await this.#known(entry);
    if (entry.current !== null) this.#restore(entry.current);
    const service = this.#serviceNow(entry);
    entry.answered = signature(service);
    return service;
  }

  /** The worker's listener has dropped the address. */
  forget(host: string, port: number, holder: string): void {
    const key = addressText({ host, port });
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    entry.holders.delete(holder);
    if (entry.holders.size === 0) this.#release(key, entry);
  }

  /** Drops all holders that begin with this. */
  forgetAll(prefix: string): void {
    for (const [key, entry] of [...this.#entries]) {
      for (const holder of [...entry.holders]) if (holder.startsWith(prefix)) entry.holders.delete(holder);
      if (entry.holders.size === 0) this.#release(key, entry);
    }
  }

  /** What is known of an address; null: it leads to itself. Undefined if nobody has asked, or been answered. */
  peek(host: string, port: number): ServiceConfig | null | undefined {
    const entry = this.#entries.get(addressText({ host, port }));
    return entry === undefined || !isKnown(entry) ? undefined : this.#serviceNow(entry);
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    for (const { watch, waiting } of this.#entries.values()) {
      watch?.stop();
      for (const wake of waiting) wake();
    }
    for (const { watch } of this.#services.values()) watch?.stop();
    this.#entries.clear();
    this.#services.clear();
  }

  #entryOf(address: Address): Entry | null {
    const key = addressText(address);
    const known = this.#entries.get(key);
    if (known !== undefined) return known;
    const { lookup, requester, counts } = this.#deps;
    if (this.#entries.size >= this.#deps.max()) {
      this.#refuse(key);
      return null;
    }
    const entry: Entry = {
      address,
      holders: new Set(),
      watch: null,
      profile: null,
      wanted: null,
      current: null,
      answered: null,
      waiting: [],
    };
    this.#entries.set(key, entry);
    counts.addresses = this.#entries.size;
    entry.watch = lookup.watchProfile(address, requester, (update) => this.#profile(key, entry, update));
    return entry;
  }

  #refuse(what: string): void {
    this.#deps.counts.refused++;
    if (this.#complained) return;
    this.#complained = true;
    this.#deps.logger.warn('there is no room for another destination; its connections go to their original address', {
      destination: what,
    });
  }

  /** Waits a short time for an answer; a late one is for later connections. */
  #known(entry: Entry): Promise<void> {
    return new Promise((resolve) => {
      const late = setTimeout(resolve, this.#deps.waitMs());
      this.#timers.add(late);
      entry.waiting.push(() => {
        clearTimeout(late);
        this.#timers.delete(late);
        resolve();
      });
      late.unref();
    });
  }

  #profile(key: string, entry: Entry, update: ProfileUpdate): void {
    if (this.#entries.get(key) !== entry) return;
    entry.profile = update;
    const wanted = update.kind === 'unknown' ? null : this.#serviceOf(key, entry.address, update.profile);
    if (wanted !== entry.wanted) {
      const before = entry.wanted;
      entry.wanted = wanted;
      wanted?.users.add(entry);
      if (before !== null && before !== entry.current) this.#leave(before, entry);
    }
    if (wanted !== null && update.kind === 'profile') {
      wanted.profile = update.profile;
      const single = singleOf(update.profile, entry.address);
      if (single !== null) wanted.update = { kind: 'endpoints', endpoints: [single] };
      this.#apply(wanted);
    }
    this.#update(entry);
  }

  /** The watched service for a profile. */
  #serviceOf(key: string, address: Address, profile: Profile): Service | null {
    const { authority } = profile;
    if (authority === '' && singleOf(profile, address) === null) return null;
    const name = authority === '' ? key : authority;
    const known = this.#services.get(name);
    if (known !== undefined) return known;
    const service: Service = {
      name,
      update: null,
      profile,
      config: { ...this.#deps.defaults, name },
      added: false,
      refused: false,
      published: [],
      watch: null,
      users: new Set(),
      lingering: 0,
    };
    this.#services.set(name, service);
    this.#deps.counts.services = this.#services.size;
    if (authority === '') return service;
    const { lookup, requester } = this.#deps;
    service.watch = lookup.watchEndpoints(authority, requester, (update) => {
      if (this.#services.get(name) !== service) return;
      service.update = update;
      this.#apply(service);
      for (const entry of [...service.users]) this.#update(entry);
    });
    return service;
  }

  /** Sends the current state of a service to the workers. */
  #apply(service: Service): void {
    const { update } = service;
    if (update === null) return;
    const { services, meshed, defaults } = this.#deps;
    const endpoints = update.kind === 'unknown' ? [] : update.endpoints;
    const { opaque, protocol } = service.profile;
    // Pods may declare one of their ports opaque although the Service does not.
    const relayed = opaque || (endpoints.length > 0 && endpoints.every((endpoint) => endpoint.protocol === 'opaque'));
    const wanted = relayed ? 'opaque' : protocol;
    if (!service.added && update.kind === 'unknown') return;
    if (!service.added || service.config.protocol !== wanted) {
      service.config = { ...defaults, name: service.name, protocol: wanted };
      const room = services.set(service.config);
      if (!room && !service.refused) this.#refuse(service.name);
      service.refused = !room;
      service.added = room;
    }
    if (!service.added || sameEndpoints(endpoints, service.published)) return;
    service.published = endpoints;
    services.setEndpoints(service.name, meshed ? endpoints : endpoints.map(unnamed));
  }

  /** Where connections to an address go; null: to the address itself. */
  #serviceNow({ profile, current }: Entry): ServiceConfig | null {
    if (profile === null || current === null || !current.added || current.update?.kind !== 'endpoints') return null;
    return this.#deps.services.has(current.name) ? current.config : null;
  }

  /** There may be room by now; or a reload took the service's name, and may have returned it. */
  #restore(service: Service): void {
    if (this.#deps.services.has(service.name)) return;
    service.added = false;
    service.published = [];
    this.#apply(service);
  }

  /** Something that the answer may depend on has changed. */
  #update(entry: Entry): void {
    const { wanted, current } = entry;
    if (wanted !== current && (wanted === null || wanted.update !== null)) {
      entry.current = wanted;
      if (current !== null) this.#leave(current, entry);
    }
    if (!isKnown(entry)) return;
    for (const wake of entry.waiting.splice(0)) wake();
    if (entry.answered === null || entry.answered === signature(this.#serviceNow(entry))) return;
    // Nobody has to be told again until it is asked for again.
    entry.answered = null;
    this.#deps.changed(entry.address);
  }

  /** An address no longer leads to a service. */
  #leave(service: Service, entry: Entry): void {
    service.users.delete(entry);
    service.lingering++;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      service.lingering--;
      this.#drop(service);
    }, LINGER_MS);
    this.#timers.add(timer.unref());
  }

  #release(key: string, entry: Entry): void {
    entry.watch?.stop();
    this.#entries.delete(key);
    this.#deps.counts.addresses = this.#entries.size;
    for (const wake of entry.waiting.splice(0)) wake();
    for (const service of new Set([entry.wanted, entry.current])) {
      if (service === null) continue;
      service.users.delete(entry);
      this.#drop(service);
    }
  }

  #drop(service: Service): void {
    if (service.users.size > 0 || service.lingering > 0 || this.#services.get(service.name) !== service) return;
    service.watch?.stop();
    this.#services.delete(service.name);
    this.#deps.counts.services = this.#services.size;
    if (service.added && this.#deps.services.has(service.name)) this.#deps.services.drop(service.name);
  }
}

const unnamed = (endpoint: Endpoint): Endpoint => ({ ...endpoint, identity: '', proxy: NO_PROXY });

const isKnown = ({ profile, wanted }: Entry): boolean =>
  profile !== null && (wanted === null || wanted.update !== null);

/** The only endpoint if there is no Service: a pod, or the address itself with known properties. */
function singleOf({ authority, endpoint, opaque, protocol }: Profile, address: Address): Endpoint | null {
  if (authority !== '') return null;
  return endpoint ?? (opaque || protocol !== 'auto' ? endpointAt(address) : null);
}

/** Identifies what workers are told of a service. */
const signature = (service: ServiceConfig | null): string =>
  service === null ? '' : `${service.protocol} ${service.name}`;
