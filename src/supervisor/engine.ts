// The main thread of a running proxy: opens the sockets, runs the workers, follows the endpoints, serves the admin port.
// It never sees a byte of payload.
import { setTimeout as sleep } from 'node:timers/promises';
import { AdminServer } from '../admin/server.js';
import type { Config, DestinationConfig, ListenerConfig, LogLevel, ServiceConfig } from '../config/model.js';
import type { RulingMessage } from '../destination/ruling-message.js';
import { ADDRESS_WORDS, addressKey, destinationKey, Learned } from '../detect/learned.js';
import { Discovery } from '../discovery/discovery.js';
import type { Endpoint } from '../discovery/endpoint.js';
import { standardSources } from '../discovery/sources.js';
import { addressText } from '../discovery/text.js';
import { Identity } from '../identity/identity.js';
import { isLarge, returnMemory } from '../io/heap.js';
import { native } from '../io/native.js';
import type { LogFields, Logger } from '../log/logger.js';
import { descriptors, sluiceVersion } from '../log/process-state.js';
import { MetricsReader } from '../metrics/reader.js';
import { type Explanation, explain, type Live } from '../policy/explain.js';
import type { ClientIs } from '../policy/explain-authorization.js';
import type { DrainMessage, EndpointSnapshot, FromWorker } from '../proxy/snapshot.js';
import { type ClientShare, clientShare } from './descriptors.js';
import { Destinations } from './destinations.js';
import { drain } from './drain.js';
import { DynamicServices } from './dynamic-services.js';
import { HealthLog } from './health-log.js';
import { ListenerSet, listenerKey } from './listeners.js';
import type { Lookups } from './lookups.js';
import { neighboursHaveSockets } from './neighbours.js';
import { holderOf, OriginalDestinations, workerPrefix } from './original-destinations.js';
import { type Readiness, readiness } from './readiness.js';
import { RefusalLog } from './refusal-log.js';
import { changedServices, ruleNames, Snapshots } from './snapshots.js';
import { stateOf } from './state.js';
import { applicationTls, endpointTls } from './tls-labels.js';
import { TlsProfiles } from './tls-profiles.js';
import { WorkerPool } from './workers.js';

/** How long a reload waits for the workers to have taken it over, ms. */
const APPLY_MS = 1000;
/** Changes of these need a restart: the workers' memory and threads are made for them. */
const FIXED_KEYS = ['workers', 'io', 'admin', 'adminShutdown', 'metrics', 'sidecar', 'destination'] as const;

const FIXED_LIMITS = ['slabBytes', 'maxPipes'] as const;

interface DrainOptions {
  readonly holdMs?: number;
}

export class Engine {
  /** Resolves when everything is closed; code 1 if work had to be cut off. */
  readonly closed: Promise<{ readonly code: number }>;
  private readonly reader: MetricsReader;
  private readonly destinations: Destinations;
  private readonly learned: Learned;
  private readonly discovery: Discovery;
  private readonly identity: Identity;
  private dialledWith: Map<string, ServiceConfig['tls']>;
  private readonly listeners: ListenerSet;
  private readonly originals: OriginalDestinations;
  private readonly dynamic: DynamicServices;
  private lookups: Lookups | undefined;
  /** The rules of the mesh as they were told last, and who is to know. */
  private ruling: RulingMessage | null = null;
  private onRuling: ((ruling: RulingMessage | null) => void) | undefined;
  private readonly health: HealthLog;
  private readonly refusals: RefusalLog;
  private readonly snapshots: Snapshots;
  private readonly tls: TlsProfiles;
  /** The worker threads. */
  readonly pool: WorkerPool;
  private admin: AdminServer | undefined;
  /** Endpoints of each service, by name, as the discovery gave them last. */
  private readonly endpoints = new Map<string, readonly EndpointSnapshot[]>();
  private config: Config;
  /** Services that the workers have been told of. */
  private known = new Set<string>();
  private startWaitMs: number;
  /** Services that have more endpoints than there is room for. */
  private readonly crowded = new Set<string>();
  /** Services of which no endpoint has been heard of yet. */
  private readonly unresolved = new Set<string>();
  /** File descriptors open before the workers started. */
  private openAtStart = 0;
  private draining = false;
  private ending = false;
  private executor = '';
  private tlsUntold = false;
  private settle: (result: { code: number }) => void = () => undefined;

  private constructor(
    config: Config,
    private readonly logger: Logger,
    workerFile: string | undefined,
  ) {
    this.config = config;
    this.dialledWith = dialledWith(config);
    this.reader = new MetricsReader(config.metrics);
    this.closed = new Promise((resolve) => {
      this.settle = resolve;
    });
    const learned = Learned.allocate();
    this.learned = new Learned(learned);
    this.discovery = new Discovery({
      sources: standardSources(logger, () => this.config.discovery, this.reader.endpointFiles, this.reader.names),
      startWaitMs: () => this.startWaitMs,
      onEndpoints: (service, endpoints, resolved) => this.onEndpoints(service, endpoints, resolved),
    });
    this.startWaitMs = config.discovery.startWaitMs;
    this.reader.unready = () => this.discovery.unready().length;
    this.identity = new Identity({
      logger,
      counts: this.reader.identity,
      pollMs: () => this.config.discovery.pollMs,
      changed: (material) => {
        this.tls.setIdentity(material);
        this.lookups?.running.identityChanged();
      },
    });
    this.originals = new OriginalDestinations(config, {
      logger,
      resolvers: [{ resolve: async (...asked) => (await this.lookups?.resolver.resolve(...asked)) ?? null }],
      listener: (slot) => this.config.listeners.find((listener) => this.listenerSlot(listener) === slot),
      serviceSlot: (name) => this.serviceSlot(name),
      send: (worker, message) => this.pool.send(worker, message),
    });
    this.tls = new TlsProfiles({
      logger,
      pollMs: () => this.config.discovery.pollMs,
      counts: this.reader.certificates,
      changed: () => this.tellTls(),
    });
    this.refusals = new RefusalLog(logger);
    this.health = new HealthLog({ logger, service: (slot) => this.serviceOf(slot) });
    this.listeners = new ListenerSet(native(), config.workers);
    this.pool = new WorkerPool(
      config.workers,
      config.io,
      learned,
      this.reader,
      logger,
      {
        snapshot: (worker, changed) => this.snapshots.of(this.config, worker, changed),
        message: (worker, message) => this.onMessage(worker, message),
        died: (worker) => {
          this.listeners.abandoned(worker);
          this.originals.died(worker);
          this.lookups?.resolver.forgetAll(workerPrefix(worker));
          this.health.died(worker);
        },
      },
      workerFile,
    );
    this.destinations = new Destinations(this.reader, { isIdle: (endpoint) => this.pool.isIdle(endpoint) });
    this.dynamic = new DynamicServices({
      isConfigured: (name) => this.known.has(name),
      acquire: (name) => this.addServices([{ name }]),
      tell: (service) => this.tellService(service),
      endpoints: (name, endpoints) => this.onEndpoints(name, endpoints, true),
      release: (name) => this.dropService(name),
    });
    this.snapshots = new Snapshots({
      others: () => this.dynamic.all(),
      place: (service) => this.destinations.service(service),
      endpoints: (service) => this.endpoints.get(service) ?? [],
      resolved: (service) => !this.unresolved.has(service),
      maxClients: () => {
        const { clients, short } = this.clientShare();
        return short ? clients : Number.MAX_SAFE_INTEGER;
      },
      listenerSlot: (listener) => this.listenerSlot(listener),
      fd: (listener, worker) => this.listeners.fd(listenerKey(listener), worker),
      tls: this.tls,
      originalDestination: () => this.reader.originalDestination(),
      ruleSeries: (listener, rule) => {
        const slot = this.reader.rules.acquire(ruleKey(listener, rule));
        this.reader.setRule(slot, { listener, rule });
        return slot;
      },
    });
  }

  /** Starts everything, or throws with nothing left behind. The threads run `workerFile`, by default the data path. */
  static async start(config: Config, logger: Logger, workerFile?: string): Promise<Engine> {
    const engine = new Engine(config, logger, workerFile);
    try {
      await engine.begin();
    } catch (error) {
      await engine.cleanUp();
      throw error;
    }
    return engine;
  }

  /** Port of the admin server; 0 without one. */
  get adminPort(): number {
    return this.admin?.port ?? 0;
  }

  /** Port that the listener `name` is bound to; 0 if there is none. */
  listenerPort(name: string): number {
    const listener = this.config.listeners.find((candidate) => candidate.name === name);
    return listener === undefined ? 0 : this.listeners.port(listenerKey(listener));
  }

  /** Tells what the mesh rules, now and whenever it changes. They hold once they are in the configuration. */
  followRules(report: (ruling: RulingMessage | null) => void): void {
    this.onRuling = report;
    if (this.ruling !== null) report(this.ruling);
  }

  /** Takes over a new configuration without touching a connection, or throws and changes nothing. */
  async reload(config: Config): Promise<void> {
    if (this.draining) throw new Error('the proxy is draining');
    for (const key of FIXED_KEYS) {
      if (JSON.stringify(config[key]) !== JSON.stringify(this.config[key])) {
        this.logger.warn('this change needs a restart; the old value stays', {
          key: key === 'adminShutdown' ? 'admin.shutdown' : key,
        });
      }
    }
    for (const key of FIXED_LIMITS) {
      if (config.limits[key] !== this.config.limits[key]) {
        this.logger.warn('this change needs a restart; the old value stays', {
          key: `limits.${key === 'slabBytes' ? 'slab' : key}`,
        });
      }
    }
    const tls = this.tls.prepare(config);
    const added = this.addListeners(config);
    for (const { name } of config.services) this.dynamic.drop(name);
    const comers = config.services.filter(({ name }) => this.destinations.service(name) === undefined);
    try {
      this.addServices(comers);
      this.startWaitMs = config.discovery.startWaitMs;
      await this.discovery.update(config.services);
      if (this.draining) throw new Error('the proxy is draining');
    } catch (error) {
      this.tls.discard();
      for (const key of added) this.listeners.closeAll(key);
      for (const { name } of comers) this.destinations.dropService(name);
      throw error;
    }
    const before = this.config;
    const { slabBytes, maxPipes } = before.limits;
    this.config = {
      ...config,
      workers: before.workers,
      io: before.io,
      admin: before.admin,
      adminShutdown: before.adminShutdown,
      metrics: before.metrics,
      sidecar: before.sidecar,
      destination: before.destination,
      limits: { ...config.limits, slabBytes, maxPipes },
    };
    this.tls.commit(tls);
    this.dialledWith = dialledWith(config);
    for (const { name, tls } of config.services) this.label(name, tls, this.endpoints.get(name) ?? []);
    const keys = new Set(config.listeners.map(listenerKey));
    const gone = this.listeners.retire(keys);
    const services = new Set(config.services.map(({ name }) => name));
    this.known = services;
    // A worker stands still while it takes over a service, 20 µs with ten endpoints: those that stay the same are not sent.
    this.originals.configure(config);
    this.identity.configure(config.identity);
    this.warnOfDescriptors();
    this.pool.configure(changedServices(before.services, config.services));
    this.pool.broadcast({ kind: 'unresolved' });
    await this.pool.applied(APPLY_MS);
    // Slots are released after the workers know: nothing new is counted there.
    const listeners = new Set(config.listeners.map(({ name }) => name));
    for (const name of gone.map(nameOf)) if (!listeners.has(name)) this.reader.listeners.release(name);
    const rules = ruleKeys(config);
    for (const key of ruleKeys(before)) if (!rules.has(key)) this.reader.rules.release(key);
    for (const { name } of before.services) if (!services.has(name)) this.dropService(name);
    if (this.isLarge()) void returnMemory();
  }

  /** Ends in order: not ready, hold, no more connections, grace, then whatever is left is cut off. */
  async drain(options: DrainOptions = {}): Promise<void> {
    if (this.draining) return;
    this.draining = true;
    const { config, logger, pool } = this;
    const deps = {
      config,
      logger,
      done: pool.done,
      tell: (message: DrainMessage) => pool.broadcast(message),
      slotOf: (listener: ListenerConfig) => this.listenerSlot(listener),
      neighbours: neighboursHaveSockets,
      ended: () => this.ending,
    };
    const whole = await drain(deps, options.holdMs ?? config.drain.holdMs);
    await this.end(whole ? 0 : 1);
  }

  /** Closes everything at once. */
  async kill(): Promise<void> {
    this.draining = true;
    await this.end(1);
  }

  /** A summary, for the log. */
  state(): LogFields {
    const { config, executor, draining, endpoints } = this;
    return stateOf({
      phase: draining ? 'draining' : 'serving',
      executor,
      workers: { ready: this.pool.readyCount, of: config.workers },
      listeners: config.listeners.length,
      services: {
        ready: [...endpoints.values()].filter((of) => of.length > 0).length,
        of: config.services.length + this.dynamic.size,
      },
      snapshot: this.reader.snapshot(),
    });
  }

  private async end(code: number): Promise<void> {
    if (this.ending) return;
    this.ending = true;
    if (code !== 0) this.pool.broadcast({ kind: 'drain', phase: 'force', listeners: null });
    await Promise.race([this.pool.done, sleep(1000)]);
    await this.cleanUp();
    this.logger.info('stopped', { code });
    this.settle({ code });
  }

  private async begin(): Promise<void> {
    const { config, logger } = this;
    for (const listener of config.listeners) this.listenerSlot(listener);
    this.tls.commit(this.tls.prepare(config));
    this.addServices(config.services);
    this.known = new Set(config.services.map(({ name }) => name));
    this.listeners.add(config.listeners);
    this.identity.configure(config.identity);
    await this.discovery.start(config.services);
    if (config.destination !== null) await this.startLookups(config, config.destination);
    if (config.admin !== null) {
      const admin = this.makeAdmin();
      await admin.listen(config.admin);
      this.admin = admin;
    }
    this.openAtStart = descriptors().open;
    this.tlsUntold = false;
    const { executor, reason } = await this.pool.start();
    this.warnOfDescriptors();
    this.executor = executor;
    if (this.tlsUntold) this.tellTls();
    if (this.isLarge()) void returnMemory();
    logger.info('accepting', {
      executor,
      ...(reason === '' ? {} : { why: reason }),
      workers: config.workers,
      listeners: config.listeners.map(
        ({ name, listen }) => `${name}=${addressText({ host: listen.host, port: this.listenerPort(name) })}`,
      ),
      ...(config.admin === null ? {} : { admin: addressText({ host: config.admin.host, port: this.adminPort }) }),
    });
  }

  /** Certificates, or the identity, are others now. While the workers start, some have been told what they were before. */
  private tellTls(): void {
    if (this.executor === '') this.tlsUntold = true;
    else if (!this.ending) this.pool.configure(new Set());
  }

  private clientShare(): ClientShare {
    const { workers, limits } = this.config;
    return clientShare(native().raiseFileLimit(), this.openAtStart, workers, limits.maxConnections);
  }

  private warnOfDescriptors(): void {
    const { clients, needed, short } = this.clientShare();
    if (!short) return;
    this.logger.warn('limits.maxConnections is more than the limit of file descriptors allows', {
      limit: native().raiseFileLimit(),
      clients,
      needed,
      help: `start it with ulimit -n ${needed} or LimitNOFILE=${needed}, or lower limits.maxConnections`,
    });
  }

  /** Loaded only where somebody is asked: HTTP/2 of Node's takes memory. */
  private async startLookups(config: Config, destination: DestinationConfig): Promise<void> {
    const { startLookups } = await import('./lookups.js');
    const { logger, reader, dynamic } = this;
    this.lookups = await startLookups(config, destination, {
      logger,
      counts: reader.lookup,
      identity: () => (config.identity === null ? undefined : this.identity.material),
      waitMs: () => this.config.destinations.resolveTimeoutMs,
      max: () => this.config.destinations.max,
      services: dynamic,
      changed: ({ host, port }) => this.pool.broadcast({ kind: 'changed', host, port }),
      ruled: (ruling) => {
        this.ruling = ruling;
        this.onRuling?.(ruling);
      },
    });
  }

  private async cleanUp(): Promise<void> {
    this.discovery.stop();
    this.lookups?.stop();
    this.tls.close();
    this.identity.stop();
    await this.pool.close();
    this.listeners.close();
    await this.admin?.close();
    this.admin = undefined;
  }

  private makeAdmin(): AdminServer {
    const { logger, reader } = this;
    const engine = this;
    return new AdminServer({
      logger,
      reader,
      version: sluiceVersion(),
      get executor() {
        return engine.executor;
      },
      ready: () => this.ready(),
      ...(this.config.adminShutdown ? { shutdown: () => void this.drain() } : {}),
      explain: (host: string, port: number, listener: string | null, client: ClientIs) =>
        this.explain(host, port, listener, client),
      getLogLevel: (): LogLevel => logger.level,
      setLogLevel: (level: LogLevel) => {
        logger.level = level;
      },
    });
  }

  private ready(): Readiness {
    const { discovery, identity, tls, pool, draining, config } = this;
    return readiness({ unready: discovery.unready(), identity, tls, accepting: pool.ready, draining, config });
  }

  private explain(host: string, port: number, through: string | null, client: ClientIs): Explanation {
    const live: Live = {
      learned: (name) => {
        const listener = this.config.listeners.find((candidate) => candidate.name === name);
        if (listener === undefined) return false;
        const key = this.learnKey(listener, host, port);
        return key !== 0 && this.learned.has(key, Date.now() / 1000);
      },
      endpoints: (service) => (this.endpoints.get(service) ?? []).map(addressText),
      discovered: (at, on) => this.lookups?.resolver.peek(at, on),
    };
    return explain(this.config, host, port, live, through, client);
  }

  /** Under which workers learn what a connection to an address meets; 0 where the listener refuses opaque traffic. */
  private learnKey(listener: ListenerConfig, host: string, port: number): number {
    const slot = this.listenerSlot(listener);
    if (listener.originalDestination) {
      const words = new Int32Array(ADDRESS_WORDS);
      native().sockaddr(host, port, new Uint8Array(words.buffer), 0);
      return addressKey(slot, words);
    }
    const { opaque } = listener.services;
    return opaque === null ? 0 : destinationKey(slot, this.serviceSlot(opaque));
  }

  /** Name of the service in a slot. */
  private serviceOf(slot: number): string | undefined {
    const all = [...this.config.services, ...this.dynamic.all()];
    return all.find(({ name }) => this.destinations.service(name)?.slot === slot)?.name;
  }

  private onMessage(worker: number, message: FromWorker): void {
    if (message.kind === 'unlistened') for (const fd of message.fds) this.listeners.released(worker, fd);
    else if (message.kind === 'resolve') void this.originals.resolve(worker, message);
    else if (message.kind === 'forgotten')
      this.lookups?.resolver.forget(message.host, message.port, holderOf(worker, message.listener));
    else if (message.kind === 'refused') this.refusals.add(message.refused);
    else if (message.kind === 'serverNames')
      for (const [name, count] of message.names) this.reader.serverNames.note(name === 'none' ? '' : name, count);
    else if (message.kind === 'clients') this.reader.nameClients(worker, message.name);
    else if (message.kind === 'health') this.health.changed(worker, message.changes);
    else if (message.kind === 'log') this.logger[message.level](message.message, { worker, ...message.fields });
  }

  private onEndpoints(service: string, endpoints: readonly Endpoint[], resolved: boolean): void {
    if (resolved) this.unresolved.delete(service);
    else this.unresolved.add(service);
    const after: EndpointSnapshot[] = [];
    for (const { address, identity, proxy } of endpoints) {
      const endpoint = this.destinations.addEndpoint(service, address, identity, proxy);
      if (endpoint !== undefined) after.push(endpoint);
    }
    this.tellCrowding(service, endpoints.length - after.length);
    const before = this.endpoints.get(service) ?? [];
    this.endpoints.set(service, after);
    this.label(service, this.dialledWith.get(service) ?? null, after);
    // Of a new service the workers hear with its settings.
    if (this.known.has(service) || this.dynamic.has(service)) this.tellEndpoints(service, after);
    const kept = new Set(after.map(({ slot }) => slot));
    for (const endpoint of before) if (!kept.has(endpoint.slot)) this.destinations.dropEndpoint(service, endpoint);
  }

  /** Says once of a service that there is no room for all of its endpoints. */
  private tellCrowding(service: string, unused: number): void {
    if (unused === 0) this.crowded.delete(service);
    else if (!this.crowded.has(service)) {
      this.crowded.add(service);
      this.logger.error('too many endpoints: some are not used', { service, unused });
    }
  }

  /** Says in the labels of endpoints how they are dialled. */
  private label(service: string, tls: ServiceConfig['tls'], endpoints: readonly EndpointSnapshot[]): void {
    for (const { series, host, port, identity } of endpoints) {
      if (series === 0) continue;
      const labels = endpointTls(this.config, tls, { host, identity }, (name) => this.reader.identities.of(name));
      this.reader.setEndpoint(series, {
        service,
        address: addressText({ host, port }),
        ...(labels && { tls: labels }),
      });
    }
  }

  private addListeners(config: Config): readonly string[] {
    try {
      return this.listeners.add(config.listeners);
    } catch (error) {
      this.tls.discard();
      throw error;
    }
  }

  private addServices(services: readonly Pick<ServiceConfig, 'name'>[]): void {
    this.destinations.sweep();
    for (const { name } of services) this.destinations.addService(name);
  }

  private dropService(name: string): void {
    this.tellEndpoints(name, []);
    for (const endpoint of this.endpoints.get(name) ?? []) this.destinations.dropEndpoint(name, endpoint);
    this.endpoints.delete(name);
    this.unresolved.delete(name);
    this.crowded.delete(name);
    this.destinations.dropService(name);
  }

  private tellEndpoints(service: string, endpoints: readonly EndpointSnapshot[]): void {
    const resolved = !this.unresolved.has(service);
    this.pool.broadcast({ kind: 'endpoints', service: this.serviceSlot(service), endpoints, resolved });
  }

  private tellService(config: ServiceConfig): void {
    const service = this.snapshots.service(config);
    if (service !== null) this.pool.broadcast({ kind: 'service', service });
  }

  private listenerSlot(listener: ListenerConfig): number {
    const slot = this.reader.listeners.acquire(listener.name);
    const { name, direction } = listener;
    const labels = applicationTls(this.config, listener);
    this.reader.setListener(slot, { name, direction, ...(labels && { tls: labels }) });
    return slot;
  }

  private serviceSlot(name: string): number {
    const place = this.destinations.service(name);
    if (place === undefined) throw new Error(`service ${name} has no slot`);
    return place.slot;
  }

  private isLarge(): boolean {
    return isLarge([...this.endpoints.values()]);
  }
}

/** `tls` of the services that have it. */
const dialledWith = ({ services }: Config): Map<string, ServiceConfig['tls']> =>
  new Map(services.flatMap(({ name, tls }) => (tls === null ? [] : [[name, tls]])));

const ruleKey = (listener: string, rule: string): string => `${listener}|${rule}`;

const ruleKeys = ({ listeners }: Config): Set<string> =>
  new Set(
    listeners.flatMap(({ name, authorization }) =>
      authorization === null ? [] : ruleNames(authorization).map((rule) => ruleKey(name, rule)),
    ),
  );

const nameOf = (key: string): string => key.slice(0, key.indexOf('|'));
