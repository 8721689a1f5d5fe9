// The main thread of a running proxy: opens the sockets, runs the workers, follows the endpoints, serves the admin port.
// It never sees a byte of payload.
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { AdminServer } from '../admin/server.js';
import type { Address, Config, ListenerConfig, LogLevel, ServiceConfig } from '../config/model.js';
import { destinationKey, Learned } from '../detect/learned.js';
import { Discovery } from '../discovery/discovery.js';
import { DnsEndpointResolver } from '../discovery/resolver.js';
import { addressText } from '../discovery/text.js';
import { native } from '../io/native.js';
import type { Logger } from '../log/logger.js';
import { REASONS, VERDICTS } from '../metrics/layout.js';
import { MetricsReader } from '../metrics/reader.js';
import { type Explanation, explain } from '../policy/explain.js';
import { decide, race } from '../policy/policy.js';
import {
  type EndpointSnapshot,
  type FromWorker,
  type ListenerSnapshot,
  MODE,
  type Snapshot,
} from '../proxy/snapshot.js';
import { ListenerSet, listenerKey } from './listeners.js';
import { WorkerPool } from './workers.js';

/** How long a reload waits for the workers to have taken it over, ms. */
const APPLY_MS = 1000;
/** Changes of these need a restart: the workers' memory and threads are made for them. */
const FIXED_KEYS = ['workers', 'io', 'admin'] as const;

const FIXED_LIMITS = ['slabBytes', 'maxPipes'] as const;

interface DrainOptions {
  readonly holdMs?: number;
}

export class Engine {
  /** Resolves when everything is closed; code 1 if work had to be cut off. */
  readonly closed: Promise<{ readonly code: number }>;
  private readonly reader = new MetricsReader();
  private readonly learned: Learned;
  private readonly discovery: Discovery;
  private readonly listeners: ListenerSet;
  /** The worker threads. */
  readonly pool: WorkerPool;
  private admin: AdminServer | undefined;
  /** Endpoints of each service, by name, as the discovery gave them last. */
  private readonly endpoints = new Map<string, EndpointSnapshot[]>();
  private config: Config;
  private draining = false;
  private ending = false;
  private executor = '';
  private settle: (result: { code: number }) => void = () => undefined;

  private constructor(
    config: Config,
    private readonly logger: Logger,
    workerFile: string | undefined,
  ) {
    this.config = config;
    this.closed = new Promise((resolve) => {
      this.settle = resolve;
    });
    const learned = Learned.allocate();
    this.learned = new Learned(learned);
    this.discovery = new Discovery({
      resolver: new DnsEndpointResolver(),
      logger,
      onEndpoints: (service, addresses) => this.onEndpoints(service, addresses),
    });
    this.listeners = new ListenerSet(native(), config.workers);
    this.pool = new WorkerPool(
      config.workers,
      config.io,
      learned,
      this.reader,
      logger,
      {
        snapshot: (worker) => this.snapshot(worker),
        message: (worker, message) => this.onMessage(worker, message),
        died: (worker) => this.listeners.abandoned(worker),
      },
      workerFile,
    );
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

  /** Takes over a new configuration without touching a connection, or throws and changes nothing. */
  async reload(config: Config): Promise<void> {
    if (this.draining) throw new Error('the proxy is draining');
    for (const key of FIXED_KEYS) {
      if (JSON.stringify(config[key]) !== JSON.stringify(this.config[key])) {
        this.logger.warn('this change needs a restart; the old value stays', { key });
      }
    }
    for (const key of FIXED_LIMITS) {
      if (config.limits[key] !== this.config.limits[key]) {
        this.logger.warn('this change needs a restart; the old value stays', {
          key: `limits.${key === 'slabBytes' ? 'slab' : key}`,
        });
      }
    }
    const added = this.listeners.add(config.listeners);
    try {
      await this.discovery.update(config.services);
      if (this.draining) throw new Error('the proxy is draining');
    } catch (error) {
      for (const key of added) this.listeners.closeAll(key);
      throw error;
    }
    const before = this.config;
    const { slabBytes, maxPipes } = before.limits;
    this.config = {
      ...config,
      workers: before.workers,
      io: before.io,
      admin: before.admin,
      limits: { ...config.limits, slabBytes, maxPipes },
    };
    const keys = new Set(config.listeners.map(listenerKey));
    const gone = this.listeners.retire(keys);
    this.pool.configure();
    await this.pool.applied(APPLY_MS);
    // Slots are released after the workers know: nothing new is counted there.
    for (const name of gone.map(nameOf)) {
      if (!config.listeners.some((listener) => listener.name === name)) this.reader.listeners.release(name);
    }
    for (const service of before.services) {
      if (!config.services.some((candidate) => candidate.name === service.name)) this.dropService(service);
    }
  }

  /** Ends in order: not ready, hold, no more connections, grace, then whatever is left is cut off. */
  async drain(options: DrainOptions = {}): Promise<void> {
    if (this.draining) return;
    this.draining = true;
    const holdMs = options.holdMs ?? this.config.drain.holdMs;
    const { graceMs } = this.config.drain;
    this.logger.info('drain: no longer ready', { holdMs, graceMs });
    this.pool.broadcast({ kind: 'drain', phase: 'hold' });
    if (holdMs > 0) await sleep(holdMs);
    if (this.ending) return;
    this.pool.broadcast({ kind: 'drain', phase: 'stop' });
    this.logger.info('drain: listeners closed; waiting for what is open');
    const done = await Promise.race([this.pool.done.then(() => true), sleep(graceMs, false, { ref: false })]);
    if (!done && !this.ending) this.logger.warn('drain: grace is over; closing what is left', { graceMs });
    await this.end(done ? 0 : 1);
  }

  /** Closes everything at once. */
  async kill(): Promise<void> {
    this.draining = true;
    await this.end(1);
  }

  private async end(code: number): Promise<void> {
    if (this.ending) return;
    this.ending = true;
    if (code !== 0) this.pool.broadcast({ kind: 'drain', phase: 'force' });
    await Promise.race([this.pool.done, sleep(1000)]);
    await this.cleanUp();
    this.logger.info('stopped', { code });
    this.settle({ code });
  }

  private async begin(): Promise<void> {
    const { config, logger } = this;
    native().raiseFileLimit();
    for (const listener of config.listeners) this.listenerSlot(listener);
    for (const service of config.services) this.serviceSlot(service.name);
    this.listeners.add(config.listeners);
    await this.discovery.start(config.services);
    if (config.admin !== null) {
      const admin = this.makeAdmin();
      await admin.listen(config.admin);
      this.admin = admin;
    }
    const { executor, reason } = await this.pool.start();
    this.executor = executor;
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

  private async cleanUp(): Promise<void> {
    this.discovery.stop();
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
      version: packageVersion(),
      get executor() {
        return engine.executor;
      },
      ready: () => this.ready(),
      explain: (host: string, port: number) => this.explain(host, port),
      getLogLevel: (): LogLevel => logger.level,
      setLogLevel: (level: LogLevel) => {
        logger.level = level;
      },
    });
  }

  private ready(): { ok: boolean; reasons: string[] } {
    const reasons: string[] = [];
    if (this.draining) reasons.push('draining');
    if (!this.pool.ready) reasons.push('not every worker accepts');
    return { ok: reasons.length === 0, reasons };
  }

  private explain(host: string, port: number): Explanation {
    return explain(this.config, host, port, {
      learned: (name) => {
        const listener = this.config.listeners.find((candidate) => candidate.name === name);
        const opaque = listener?.services.opaque ?? null;
        if (listener === undefined || opaque === null) return false;
        return this.learned.has(
          destinationKey(this.listenerSlot(listener), this.serviceSlot(opaque)),
          Date.now() / 1000,
        );
      },
      endpoints: (service) => (this.endpoints.get(service) ?? []).map(addressText),
    });
  }

  private onMessage(worker: number, message: FromWorker): void {
    if (message.kind === 'unlistened') for (const fd of message.fds) this.listeners.released(worker, fd);
    else if (message.kind === 'log') this.logger[message.level](message.message, { worker, ...message.fields });
  }

  private onEndpoints(service: string, addresses: readonly Address[]): void {
    const before = this.endpoints.get(service) ?? [];
    const after: EndpointSnapshot[] = [];
    for (const { host, port } of addresses) {
      const key = endpointKey(service, { host, port });
      const slot = this.reader.endpoints.acquire(key);
      if (slot === 0) {
        this.logger.error('too many endpoints: this one is not used', {
          service,
          endpoint: addressText({ host, port }),
        });
        continue;
      }
      this.reader.setEndpoint(slot, { service, address: addressText({ host, port }) });
      after.push({ slot, host, port });
    }
    this.endpoints.set(service, after);
    this.pool.broadcast({ kind: 'endpoints', service: this.serviceSlot(service), endpoints: after });
    for (const { slot, host, port } of before) {
      if (!after.some((endpoint) => endpoint.slot === slot))
        this.reader.endpoints.release(endpointKey(service, { host, port }));
    }
  }

  private dropService(service: ServiceConfig): void {
    for (const { host, port } of this.endpoints.get(service.name) ?? []) {
      this.reader.endpoints.release(endpointKey(service.name, { host, port }));
    }
    this.endpoints.delete(service.name);
    this.reader.services.release(service.name);
  }

  private listenerSlot(listener: ListenerConfig): number {
    const slot = this.reader.listeners.acquire(listener.name);
    this.reader.setListener(slot, { name: listener.name, direction: listener.direction });
    return slot;
  }

  private serviceSlot(name: string): number {
    const slot = this.reader.services.acquire(name);
    this.reader.setService(slot, { name });
    return slot;
  }

  private snapshot(worker: number): Snapshot {
    const { config } = this;
    return {
      listeners: config.listeners.map((listener) => this.listenerSnapshot(listener, worker)),
      services: config.services.map((service) => ({
        slot: this.serviceSlot(service.name),
        config: service,
        endpoints: this.endpoints.get(service.name) ?? [],
      })),
      limits: config.limits,
      coalesceUs: config.coalesceUs,
      access: config.log.access,
      resolveTimeoutMs: 500,
      opaquePorts: [...config.opaquePorts],
    };
  }

  private listenerSnapshot(listener: ListenerConfig, worker: number): ListenerSnapshot {
    const { config } = this;
    const decision = decide(config, listener);
    const slot = this.listenerSlot(listener);
    const serviceOf = (name: string | null): number => (name === null ? -1 : this.serviceSlot(name));
    return {
      slot,
      name: listener.name,
      mode: { detect: MODE.DETECT, http1: MODE.HTTP1, http2: MODE.HTTP2, opaque: MODE.OPAQUE }[decision.protocol],
      reason: decision.reason === null ? 0 : REASONS.indexOf(decision.reason),
      services: VERDICTS.map((verdict) => serviceOf(listener.services[verdict])),
      raceMs: decision.protocol === 'detect' ? (race(config, listener).delayMs ?? -1) : -1,
      timeoutMs: listener.detect.timeoutMs,
      learnTtlMs: listener.detect.learnTtlMs,
      originalDestination: false,
      fd: this.listeners.fd(listenerKey(listener), worker),
    };
  }
}

const endpointKey = (service: string, address: Address): string => `${service}|${addressText(address)}`;
const nameOf = (key: string): string => key.slice(0, key.indexOf('|'));

function packageVersion(): string {
  const require = createRequire(import.meta.url);
  return (require('../../../package.json') as { version: string }).version;
}
