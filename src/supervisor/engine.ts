// The main thread of a running proxy: opens the sockets, runs the workers, watches the endpoints, serves the admin port. It never sees a
// byte of payload.
import { setTimeout as sleep } from 'node:timers/promises';
import { AdminServer } from '../admin/server.js';
import { collectOnlyWhenFull } from '../code/compiler.js';
import type { Config, ListenerConfig, ServiceConfig } from '../config/model.js';
import { placeOfListen } from '../config/sidecar.js';
import type { LogLevel } from '../config/telemetry-model.js';
import type { RulesMessage } from '../destination/rules-message.js';
import { ServerFirstTable } from '../detect/server-first-table.js';
import { Discovery } from '../discovery/discovery.js';
import { standardSources } from '../discovery/sources.js';
import { addressText } from '../discovery/text.js';
import { Identity } from '../identity/identity.js';
import { returnMemory } from '../io/heap.js';
import { native } from '../io/native.js';
import { RecentErrors } from '../live/recent-errors.js';
import type { LogFields, Logger } from '../log/logger.js';
import { descriptors, sluiceVersion } from '../log/process-state.js';
import { MetricsReader } from '../metrics/reader.js';
import type { Client } from '../policy/explain-authorization.js';
import type { DrainMessage, FromWorker } from '../proxy/snapshot.js';
import { Taps } from '../tap/taps.js';
import { unpackSpans } from '../tracing/packed-spans.js';
import { type ClientShare, clientShare, warnOfDescriptors } from './descriptors.js';
import { Destinations } from './destinations.js';
import { drain } from './drain.js';
import { DynamicConfig } from './dynamic-config.js';
import { Explainer } from './explainer.js';
import { fixedChanges, withFixed } from './fixed-settings.js';
import { HealthLog } from './health-log.js';
import { ListenerSet, listenerKey } from './listeners.js';
import { MetricsSink } from './metrics-sink.js';
import { OriginalDestinations } from './original-destinations.js';
import { othersHaveSockets } from './other-sockets.js';
import { type Readiness, readiness } from './readiness.js';
import { RefusalLog } from './refusal-log.js';
import { RuleSeries } from './rule-series.js';
import { ServiceEndpoints } from './service-endpoints.js';
import { changedServices, Snapshots } from './snapshots.js';
import { SpanSink } from './span-sink.js';
import { stateOf } from './state.js';
import { applicationTls } from './tls-labels.js';
import { TlsProfiles } from './tls-profiles.js';
import { WorkerPool } from './workers.js';

/** How long a reload waits for the workers to apply it, ms. */
const APPLY_MS = 1000;

interface DrainOptions {
  readonly holdMs?: number;
}

export class Engine {
  /** Resolves when everything is closed; code 1 if work had to be cut off. */
  readonly closed: Promise<{ readonly code: number }>;
  private readonly reader: MetricsReader;
  private readonly destinations: Destinations;
  private readonly discovery: Discovery;
  private readonly identity: Identity;
  private readonly listeners: ListenerSet;
  private readonly originals: OriginalDestinations;
  private readonly dynamic: DynamicConfig;
  private readonly endpoints: ServiceEndpoints;
  private readonly rules: RuleSeries;
  private readonly health: HealthLog;
  private readonly refusals: RefusalLog;
  private readonly errors: RecentErrors;
  private readonly snapshots: Snapshots;
  private readonly explainer: Explainer;
  private readonly tls: TlsProfiles;
  private readonly taps: Taps;
  private readonly spans: SpanSink;
  private readonly metrics: MetricsSink;
  /** The worker threads. */
  readonly pool: WorkerPool;
  private admin: AdminServer | undefined;
  private config: Config;
  /** Services that the workers know. */
  private known = new Set<string>();
  private startWaitMs: number;
  /** File descriptors open before the workers started. */
  private openAtStart = 0;
  private draining = false;
  private ending = false;
  private executor = '';
  private tlsPending = false;
  private settle: (result: { code: number }) => void = () => undefined;

  private constructor(
    config: Config,
    private readonly logger: Logger,
    workerFile: string | undefined,
  ) {
    this.config = config;
    this.reader = new MetricsReader(config.metrics);
    this.closed = new Promise((resolve) => {
      this.settle = resolve;
    });
    const learned = ServerFirstTable.allocate();
    this.discovery = new Discovery({
      sources: standardSources(logger, () => this.config.discovery, this.reader.endpointFiles, this.reader.names),
      startWaitMs: () => this.startWaitMs,
      onEndpoints: (...told) => this.endpoints.set(...told),
    });
    this.startWaitMs = config.discovery.startWaitMs;
    this.reader.unready = () => this.discovery.unready().length;
    this.identity = new Identity({
      logger,
      counts: this.reader.identity,
      pollMs: () => this.config.discovery.pollMs,
      changed: (material) => {
        this.tls.setIdentity(material);
        this.dynamic.identityChanged();
      },
    });
    this.tls = new TlsProfiles({
      logger,
      pollMs: () => this.config.discovery.pollMs,
      counts: this.reader.certificates,
      changed: () => this.publishTls(),
    });
    this.refusals = new RefusalLog(logger);
    this.errors = new RecentErrors({
      service: (slot) => this.serviceOf(slot),
      most: () => this.config.live.errors,
      counts: this.reader.limits,
    });
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
        warmup: () => this.snapshots.warmup(this.config),
        message: (worker, message) => this.onMessage(worker, message),
        died: (worker) => {
          this.listeners.abandoned(worker);
          this.originals.died(worker);
          this.dynamic.died(worker);
          this.health.died(worker);
        },
      },
      workerFile,
    );
    this.destinations = new Destinations(this.reader, { isIdle: (endpoint) => this.pool.isIdle(endpoint) });
    this.endpoints = new ServiceEndpoints({
      destinations: this.destinations,
      reader: this.reader,
      logger,
      config: () => this.config,
      isPublished: (service) => this.known.has(service) || this.dynamic.services.has(service),
      broadcast: (message) => this.pool.broadcast(message),
    });
    this.dynamic = new DynamicConfig({
      logger,
      counts: this.reader.lookup,
      config: () => this.config,
      identity: () => this.identity.material,
      changed: ({ host, port }) => this.pool.broadcast({ kind: 'changed', host, port }),
      isConfigured: (name) => this.known.has(name),
      acquire: (name) => this.endpoints.add([{ name }]),
      tell: (service) => this.publishService(service),
      endpoints: (name, endpoints) => this.endpoints.set(name, endpoints, true),
      release: (name) => this.endpoints.drop(name),
    });
    this.originals = new OriginalDestinations(config, {
      logger,
      resolvers: [this.dynamic.resolver],
      listener: (slot) => this.config.listeners.find((listener) => this.listenerSlot(listener) === slot),
      serviceSlot: (name) => this.destinations.service(name)?.slot,
      send: (worker, message) => this.pool.send(worker, message),
    });
    this.rules = new RuleSeries(this.reader);
    this.spans = new SpanSink(this.reader.tracing, logger, this.reader.exemplars);
    this.metrics = new MetricsSink(this.reader, logger);
    this.taps = new Taps({
      counts: this.reader.tap,
      config: () => this.config.tap,
      tell: (taps) => {
        this.pool.broadcast({ kind: 'taps', taps });
        return this.pool.applied(APPLY_MS);
      },
    });
    this.snapshots = new Snapshots({
      others: () => this.dynamic.services.all(),
      place: (service) => this.destinations.service(service),
      endpoints: (service) => this.endpoints.of(service),
      resolved: (service) => this.endpoints.isResolved(service),
      maxClients: () => {
        const { clients, short } = this.clientShare();
        return short ? clients : Number.MAX_SAFE_INTEGER;
      },
      listenerSlot: (listener) => this.listenerSlot(listener),
      fd: (listener, worker) => this.listeners.fd(listenerKey(listener), worker),
      tls: this.tls,
      originalDestination: () => this.reader.originalDestination(),
      ruleSeries: (...rule) => this.rules.of(...rule),
    });
    this.explainer = new Explainer({
      learned: new ServerFirstTable(learned),
      config: () => this.config,
      endpoints: (service) => this.endpoints.of(service).map(addressText),
      discovered: this.dynamic.peek,
      listenerSlot: (listener) => this.listenerSlot(listener),
      serviceSlot: (name) => this.destinations.slotOf(name),
    });
  }

  /**
   * Starts everything, or throws with nothing left behind. The threads run `workerFile`, by default the data path. After `hurry` nothing is
   * done that only later requests would gain from.
   */
  static async start(config: Config, logger: Logger, workerFile?: string, hurry?: AbortSignal): Promise<Engine> {
    const engine = new Engine(config, logger, workerFile);
    try {
      await engine.begin(hurry);
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

  /** Reports the mesh's rules, now and whenever they change. They take effect as part of the configuration. */
  followRules(report: (rules: RulesMessage | null) => void): void {
    this.dynamic.followRules(report);
  }

  /** Applies a new configuration without touching a connection, or throws and changes nothing. */
  async reload(config: Config): Promise<void> {
    if (this.draining) throw new Error('the proxy is draining');
    for (const key of fixedChanges(this.config, config))
      this.logger.warn('this change needs a restart; the old value stays', { key });
    const tls = this.tls.prepare(config);
    const added = this.addListeners(config);
    for (const { name } of config.services) this.dynamic.services.drop(name);
    const comers = config.services.filter(({ name }) => this.destinations.service(name) === undefined);
    try {
      this.endpoints.add(comers);
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
    this.config = withFixed(before, config);
    this.tls.commit(tls);
    this.endpoints.configured(config);
    const keys = new Set(config.listeners.map(listenerKey));
    const gone = this.listeners.retire(keys);
    const services = new Set(config.services.map(({ name }) => name));
    this.known = services;
    // A worker stops for 20 µs to apply a service with ten endpoints, so unchanged ones are not sent.
    this.originals.configure(config);
    this.identity.configure(config.identity);
    this.spans.configure(config.tracing);
    this.metrics.configure(config.metrics.otlp);
    this.warnOfDescriptors();
    this.pool.configure(changedServices(before.services, config.services));
    this.pool.broadcast({ kind: 'unresolved' });
    await this.pool.applied(APPLY_MS);
    // Slots are released after the workers know: nothing new is counted there.
    const listeners = new Set(config.listeners.map(({ name }) => name));
    for (const name of gone.map(nameOf)) if (!listeners.has(name)) this.reader.listeners.release(name);
    this.rules.configured(before, config);
    for (const { name } of before.services)
      if (!services.has(name) && !this.dynamic.services.has(name)) this.endpoints.drop(name);
    if (this.endpoints.isLarge) void returnMemory(native());
  }

  /** Shuts down in order: not ready, hold, no more connections, grace; then what is left is cut off. */
  async drain(options: DrainOptions = {}): Promise<void> {
    if (this.draining) return;
    this.draining = true;
    const { config, logger, pool } = this;
    const deps = {
      config,
      logger,
      done: pool.done,
      send: (message: DrainMessage) => pool.broadcast(message),
      slotOf: (listener: ListenerConfig) => this.listenerSlot(listener),
      othersHaveSockets: othersHaveSockets,
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
        ready: endpoints.ready,
        of: config.services.length + this.dynamic.services.size,
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

  private async begin(hurry: AbortSignal = new AbortController().signal): Promise<void> {
    const { config, logger } = this;
    const hurried = aborted(hurry).then(() => this.pool.hurry());
    for (const listener of config.listeners) this.listenerSlot(listener);
    this.tls.commit(this.tls.prepare(config));
    this.endpoints.add(config.services);
    this.known = new Set(config.services.map(({ name }) => name));
    this.listeners.add(config.listeners, (index) => placeOfListen(config, index));
    this.identity.configure(config.identity);
    this.spans.configure(config.tracing);
    this.metrics.configure(config.metrics.otlp);
    await Promise.race([this.discovery.start(config.services), hurried]);
    if (config.destination !== null) await this.dynamic.start(config, config.destination);
    if (config.admin !== null) {
      const admin = this.makeAdmin();
      await admin.listen(config.admin);
      this.admin = admin;
    }
    this.openAtStart = descriptors().open;
    this.tlsPending = false;
    // While the workers start.
    const [{ executor, reason }] = await Promise.all([this.pool.start(), returnMemory(native())]);
    collectOnlyWhenFull();
    this.warnOfDescriptors();
    this.executor = executor;
    if (this.tlsPending) this.publishTls();
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

  /** Certificates, or the identity, have changed. A worker that is just starting may have been sent the old ones. */
  private publishTls(): void {
    if (this.executor === '') this.tlsPending = true;
    else if (!this.ending) this.pool.configure(new Set());
  }

  private clientShare(): ClientShare {
    const { workers, limits } = this.config;
    return clientShare(native().raiseFileLimit(), this.openAtStart, workers, limits.maxConnections);
  }

  private warnOfDescriptors(): void {
    warnOfDescriptors(this.logger, native().raiseFileLimit(), this.clientShare());
  }

  private async cleanUp(): Promise<void> {
    this.discovery.stop();
    this.dynamic.stop();
    this.tls.close();
    this.identity.stop();
    await this.pool.close();
    await Promise.all([this.spans.close(), this.metrics.close()]);
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
      taps: this.taps,
      ready: () => this.ready(),
      liveBounds: () => this.config.live,
      maxScrapes: this.config.metrics.maxScrapes,
      live: {
        errors: () => this.errors.all(),
        identity: () => this.identity.material?.name ?? '',
      },
      ...(this.config.adminShutdown ? { shutdown: () => void this.drain() } : {}),
      explain: (...asked: [host: string, port: number, listener: string | null, client: Client]) =>
        this.explainer.explain(...asked),
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

  /** Name of the service in a slot. */
  private serviceOf(slot: number): string | undefined {
    const all = [...this.config.services, ...this.dynamic.services.all()];
    return all.find(({ name }) => this.destinations.service(name)?.slot === slot)?.name;
  }

  private onMessage(worker: number, message: FromWorker): void {
    if (message.kind === 'ready') this.publishTaps(worker);
    else if (message.kind === 'crowded') this.pool.broadcast(message);
    else if (message.kind === 'unlistened') for (const fd of message.fds) this.listeners.released(worker, fd);
    else if (message.kind === 'resolve') void this.originals.resolve(worker, message);
    else if (message.kind === 'forgotten') this.dynamic.forget(worker, message.listener, message.host, message.port);
    else if (message.kind === 'spans') this.spans.received(unpackSpans(message.spans), message.skipped);
    else if (message.kind === 'tapped') this.taps.received(message.records);
    else if (message.kind === 'refused') {
      this.refusals.add(message.refused);
      this.errors.refused(message.refused);
    } else if (message.kind === 'serverNames')
      for (const [name, count] of message.names) this.reader.serverNames.note(name === 'none' ? '' : name, count);
    else if (message.kind === 'clients') this.reader.nameClients(worker, message.name);
    else if (message.kind === 'health') {
      this.health.changed(worker, message.changes);
      this.errors.health(message.changes);
    } else if (message.kind === 'log') this.logger[message.level](message.message, { worker, ...message.fields });
  }

  /** A replacement worker is told of the taps. */
  private publishTaps(worker: number): void {
    const taps = this.taps.requests;
    if (taps.length > 0) this.pool.send(worker, { kind: 'taps', taps });
  }

  private addListeners(config: Config): readonly string[] {
    try {
      return this.listeners.add(config.listeners, (index) => placeOfListen(config, index));
    } catch (error) {
      this.tls.discard();
      throw error;
    }
  }

  private publishService(config: ServiceConfig): void {
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
}

/** Resolves when `signal` is aborted. */
function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

const nameOf = (key: string): string => key.slice(0, key.indexOf('|'));
