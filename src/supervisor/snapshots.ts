// Creates the messages for workers: the configuration, with slots for names and descriptors for addresses.
import { type AuthorizationConfig, DEFAULT_RULE } from '../config/authorization-model.js';
import type { Config, ListenerConfig, ServiceConfig } from '../config/model.js';
import { possibleNames } from '../identity/possible-names.js';
import { REASONS, VERDICTS } from '../metrics/layout.js';
import { ORIGINAL_DESTINATION } from '../metrics/reader.js';
import { decide, race, raceTo } from '../policy/policy.js';
import {
  type AuthorizationSnapshot,
  type EndpointSnapshot,
  type ListenerSnapshot,
  MODE,
  type PassthroughSnapshot,
  type ServiceSettings,
  type ServiceSnapshot,
  type Snapshot,
} from '../proxy/snapshot.js';
import type { Place } from './destinations.js';
import type { TlsProfiles } from './tls-profiles.js';

export interface SnapshotDeps {
  /** Services that are not in the configuration. */
  others(): readonly ServiceConfig[];
  /** Slot and series of a service; undefined if the tables have no room for it. */
  place(service: string): Place | undefined;
  /** Its current endpoints. */
  endpoints(service: string): readonly EndpointSnapshot[];
  /** Whether they are known yet. */
  resolved(service: string): boolean;
  /** Limit on clients of all workers together. */
  maxClients(): number;
  listenerSlot(listener: ListenerConfig): number;
  /** The worker's own socket of a listener. */
  fd(listener: ListenerConfig, worker: number): number;
  readonly tls: Pick<TlsProfiles, 'profiles' | 'listener' | 'service' | 'meshClient' | 'meshServer'>;
  /** Series of a listener's rule, or of its default. */
  ruleSeries(listener: string, rule: string): number;
  /** Series of traffic to original destinations. */
  originalDestination(): { readonly service: number; readonly endpoint: number };
}

export class Snapshots {
  readonly #deps: SnapshotDeps;

  constructor(deps: SnapshotDeps) {
    this.#deps = deps;
  }

  /** The snapshot for a worker; with `changed`, only with these services. */
  of(config: Config, worker: number, changed?: ReadonlySet<string>): Snapshot {
    const { tls } = this.#deps;
    const listeners = config.listeners.map((listener) => this.#listener(config, listener, worker));
    return {
      listeners,
      services: [...config.services, ...this.#deps.others()].flatMap((service) => {
        if (changed?.has(service.name) === false) return [];
        const snapshot = this.service(service);
        return snapshot === null ? [] : [snapshot];
      }),
      passthrough: listeners.some(({ originalDestination, mesh }) => originalDestination || mesh)
        ? this.#passthrough(config)
        : null,
      limits: config.limits,
      maxClients: this.#deps.maxClients(),
      maxIdentities: config.metrics.maxIdentities,
      coalesceUs: config.coalesceUs,
      access: config.log.access,
      tracing: tracingSettings(config),
      resolveTimeoutMs: config.destinations.resolveTimeoutMs,
      destinationIdleMs: config.destinations.idleTimeoutMs,
      opaquePorts: [...config.opaquePorts],
      maxDestinations: config.destinations.max,
      tls: tls.profiles,
      meshClient: tls.meshClient,
      meshServer: tls.meshServer,
      possibleNames: possibleNames(config.identity),
    };
  }

  /** One service as workers see it; null if the tables have no room for it. */
  service(service: ServiceConfig): ServiceSnapshot | null {
    const { name } = service;
    const { tls } = this.#deps;
    const place = this.#deps.place(name);
    if (place === undefined) return null;
    const endpoints = this.#deps.endpoints(name);
    return { ...place, config: settingsOf(service, tls.service(name)), endpoints, resolved: this.#deps.resolved(name) };
  }

  /** Settings of the services used for the warm-up; null if there is none. */
  warmup({ warmup, bareService }: Config): ServiceSettings | null {
    return warmup === 'off' ? null : settingsOf({ ...bareService, name: 'warm-up' }, 0);
  }

  #passthrough({ bareService }: Config): PassthroughSnapshot {
    const { service, endpoint } = this.#deps.originalDestination();
    const settings = settingsOf({ ...bareService, name: ORIGINAL_DESTINATION }, 0);
    return { service: settings, serviceSeries: service, endpointSeries: endpoint };
  }

  #listener(config: Config, listener: ListenerConfig, worker: number): ListenerSnapshot {
    const decision = decide(config, listener);
    // Settings for connections to original destinations, until more is known.
    const { delayMs } = listener.originalDestination ? raceTo(listener, null) : race(config, listener);
    return {
      slot: this.#deps.listenerSlot(listener),
      name: listener.name,
      mode: { detect: MODE.DETECT, http1: MODE.HTTP1, http2: MODE.HTTP2, opaque: MODE.OPAQUE }[decision.protocol],
      reason: decision.reason === null ? 0 : REASONS.indexOf(decision.reason),
      services: VERDICTS.map((verdict) => this.#serviceSlot(listener.services[verdict])),
      raceMs: decision.protocol === 'detect' || listener.originalDestination ? (delayMs ?? -1) : -1,
      helloMs: listener.detect.helloMs,
      timeoutMs: listener.detect.timeoutMs,
      learnTtlMs: listener.detect.learnTtlMs,
      originalDestination: listener.originalDestination,
      halfClose: listener.halfClose,
      via: listener.via,
      inbound: listener.direction === 'inbound',
      date: listener.date,
      authorization: this.#authorization(listener),
      meshHeaders: guardsMeshHeaders(listener),
      proxyProtocol: listener.proxyProtocol,
      mesh: listener.mesh,
      userTimeoutMs: listener.userTimeoutMs,
      connectTimeoutMs: listener.connectTimeoutMs,
      opaquePorts: listener.opaquePorts === null ? null : [...listener.opaquePorts],
      tls: this.#deps.tls.listener(listener.name),
      fd: this.#deps.fd(listener, worker),
    };
  }

  #authorization({ name, authorization, listen }: ListenerConfig): AuthorizationSnapshot | null {
    if (authorization === null) return null;
    const series = ruleNames(authorization).map((rule) => this.#deps.ruleSeries(name, rule));
    return { config: authorization, port: listen.port, series };
  }

  #serviceSlot(name: string | null): number {
    if (name === null) return -1;
    const place = this.#deps.place(name);
    if (place === undefined) throw new Error(`service ${name} has no slot`);
    return place.slot;
  }
}

function tracingSettings({ tracing }: Config): Snapshot['tracing'] {
  if (tracing === null) return null;
  const { sampling, intervalMs, maxSpans } = tracing;
  return { sampling, intervalMs, maxSpans };
}

/** The explicit setting; by default, inbound listeners whose clients may have an identity. */
function guardsMeshHeaders({ meshHeaders, direction, mesh, tls }: ListenerConfig): boolean {
  if (meshHeaders !== 'auto') return meshHeaders;
  return direction === 'inbound' && (mesh || (tls !== null && tls.clientAuthority !== null));
}

/** Names under which decisions are counted: the rules in order, then the default. */
export const ruleNames = ({ rules }: AuthorizationConfig): string[] => [...rules.map(({ name }) => name), DEFAULT_RULE];

/** Names of services that are new or have changed settings. (Endpoints are sent as they change.) */
export function changedServices(before: readonly ServiceConfig[], after: readonly ServiceConfig[]): Set<string> {
  // Equal `tls` sections have the same slot.
  const text = (service: ServiceConfig): string => JSON.stringify([settingsOf(service, 0), service.tls]);
  const known = new Map(before.map((service) => [service.name, text(service)]));
  const changed = after.filter((service) => known.get(service.name) !== text(service));
  return new Set(changed.map(({ name }) => name));
}

/** Parts that services share stay one object, so a message carries one copy. */
function settingsOf(service: ServiceConfig, tls: number): ServiceSettings {
  const { name, protocol, proxyProtocol, applicationTls, balance, breaker, pool, retry } = service;
  const {
    connectTimeoutMs,
    hedgeDelayMs,
    responseTimeoutMs,
    bodyTimeoutMs,
    streamTimeoutMs,
    keepAliveMs,
    userTimeoutMs,
  } = service;
  return {
    name,
    protocol,
    proxyProtocol,
    applicationTls,
    balance,
    breaker,
    pool,
    retry,
    connectTimeoutMs,
    hedgeDelayMs,
    responseTimeoutMs,
    bodyTimeoutMs,
    streamTimeoutMs,
    keepAliveMs,
    userTimeoutMs,
    tls,
  };
}
