// From the validated tree to the model for the rest of Sluice.
import { dirname, resolve } from 'node:path';
import * as v from 'valibot';
import type { Http2Limits } from '../http2/limits.js';
import { type AuthorizationTree, buildAuthorization, CLUSTER_NETWORKS } from './authorization.js';
import { bounds } from './bounds.js';
import { buildDestination } from './destination.js';
import { buildIdentity } from './identity.js';
import { buildMetricsOtlp } from './metrics-otlp.js';
import type {
  Config,
  DetectConfig,
  EndpointSource,
  ListenerConfig,
  ListenerServices,
  ProxyHeaderConfig,
  ServiceConfig,
} from './model.js';
import { parseNetwork } from './networks.js';
import { opaquePortSets, portSet } from './ports.js';
import { type ConfigTree, limitsSchema } from './schema.js';
import { type ServiceDefaultsTree, type ServiceTree, service as serviceSchema } from './service-schema.js';
import type { SidecarConfig } from './sidecar-model.js';
import type { ListenerTlsConfig, ServiceTlsConfig } from './tls-model.js';
import { buildTracing } from './tracing.js';

type ListenerTree = ConfigTree['listeners'][number];
type SidecarTree = ConfigTree['sidecar'];

function listenerServices(listener: ListenerTree): ListenerServices {
  const all = listener.service;
  if (all !== undefined) return { http1: all, http2: all, tls: all, opaque: all };
  const { http1, http2, tls, opaque, default: fallback = null } = listener.services ?? {};
  const pick = (name: string | null | undefined): string | null => (name === undefined ? fallback : name);
  return { http1: pick(http1), http2: pick(http2), tls: pick(tls), opaque: pick(opaque) };
}

function proxyHeader(written: ListenerTree['proxyProtocol']): ProxyHeaderConfig | null {
  if (written === undefined) return null;
  return { from: written.from ?? null, timeoutMs: written.timeout, maxBytes: written.maxBytes };
}

function listenerTls(written: ListenerTree['tls'], directory: string): ListenerTlsConfig | null {
  if (written === undefined) return null;
  const { certificates, minVersion, alpn, clientAuthority, clientCertificate, tickets } = written;
  return {
    certificates: certificates.map(({ certificate, key, names }) => ({
      certificate: resolve(directory, certificate),
      key: resolve(directory, key),
      names: names ?? null,
    })),
    minVersion,
    alpn: alpn ?? null,
    clientAuthority: clientAuthority === undefined ? null : resolve(directory, clientAuthority),
    clientCertificate: clientCertificate ?? (clientAuthority === undefined ? 'none' : 'required'),
    tickets,
  };
}

function serviceTls(written: ServiceTree['tls'], directory: string): ServiceTlsConfig | null {
  if (written === undefined) return null;
  const { serverName = null, ca, certificate, key, minVersion, alpn = null } = written;
  return {
    serverName,
    ca: ca === undefined ? null : resolve(directory, ca),
    certificate:
      certificate === undefined || key === undefined
        ? null
        : { certificate: resolve(directory, certificate), key: resolve(directory, key), names: null },
    minVersion,
    alpn,
  };
}

function buildListener(
  listener: ListenerTree,
  detect: DetectConfig,
  authorization: AuthorizationTree | undefined,
  directory: string,
): ListenerConfig {
  return {
    name: listener.name,
    listen: listener.listen,
    protocol: listener.protocol,
    services: listenerServices(listener),
    originalDestination: listener.originalDestination,
    proxyProtocol: proxyHeader(listener.proxyProtocol),
    direction: listener.direction,
    meshHeaders: listener.meshHeaders,
    authorization: buildAuthorization(listener.authorization, authorization, listener.direction),
    detect: {
      timeoutMs: listener.detect.timeout ?? detect.timeoutMs,
      raceMs: listener.detect.race ?? detect.raceMs,
      helloMs: listener.detect.hello ?? detect.helloMs,
      learnTtlMs: listener.detect.learnTtl ?? detect.learnTtlMs,
    },
    halfClose: listener.halfClose,
    shared: listener.shared,
    via: listener.via,
    date: listener.date,
    mesh: listener.mesh,
    tls: listenerTls(listener.tls, directory),
    backlog: listener.backlog,
    keepAliveMs: listener.keepAlive,
    userTimeoutMs: listener.userTimeout,
    opaquePorts: listener.opaquePorts === undefined ? null : portSet(listener.opaquePorts),
    connectTimeoutMs: listener.connectTimeout,
  };
}

/** File paths are relative to `directory`, the configuration's. */
function endpointSource(source: EndpointSource, directory: string): EndpointSource {
  return source.kind === 'file' ? { ...source, path: resolve(directory, source.path) } : source;
}

function buildService(
  name: string,
  service: ServiceTree,
  written: Readonly<Record<string, unknown>>,
  directory: string,
): ServiceConfig {
  const backoff = bounds(service.breaker.minBackoff, service.breaker.maxBackoff, written.breaker, 'minBackoff');
  const ttl = bounds(service.dns.minTtl, service.dns.maxTtl, written.dns, 'minTtl');
  const pool = bounds(service.pool.maxIdle, service.pool.maxConnections, written.pool, 'maxIdle');
  const http2 = bounds(service.pool.spares, service.pool.http2Connections, written.pool, 'spares');
  return {
    name,
    protocol: service.protocol,
    proxyProtocol: service.proxyProtocol ?? null,
    applicationTls: service.applicationTls,
    endpoints: service.endpoints.map((source) => endpointSource(source, directory)),
    tls: serviceTls(service.tls, directory),
    match: service.match,
    balance: {
      policy: service.balance.policy,
      decayMs: service.balance.decay,
      defaultRttMs: service.balance.defaultRtt,
      failurePenaltyMs: service.balance.failurePenalty,
    },
    breaker: {
      failures: service.breaker.failures,
      minBackoffMs: backoff.low,
      maxBackoffMs: backoff.high,
      dialIntervalMs: service.breaker.dialInterval,
    },
    pool: {
      maxIdle: pool.low,
      maxConnections: pool.high,
      idleTimeoutMs: service.pool.idleTimeout,
      maxStreams: service.pool.maxStreams,
      maxAgeMs: service.pool.maxAge,
      spares: http2.low,
      http2Connections: http2.high,
    },
    retry: service.retry,
    connectTimeoutMs: service.connectTimeout,
    hedgeDelayMs: service.hedgeDelay,
    responseTimeoutMs: service.responseTimeout,
    bodyTimeoutMs: service.bodyTimeout ?? -1,
    streamTimeoutMs: service.streamTimeout,
    keepAliveMs: service.keepAlive,
    userTimeoutMs: service.userTimeout,
    dnsMinTtlMs: ttl.low,
    dnsMaxTtlMs: ttl.high,
  };
}

function buildHttp2({ http2: limits, slab }: ConfigTree['limits'], written: unknown): Http2Limits {
  const window = bounds(limits.streamWindow, limits.maxStreamWindow, written, 'streamWindow');
  return {
    maxStreams: limits.maxStreams,
    maxHeaderBytes: limits.maxHeaderBytes,
    maxHeaders: limits.maxHeaders,
    headerTimeoutMs: limits.headerTimeout,
    idleTimeoutMs: limits.idleTimeout,
    bodyTimeoutMs: limits.bodyTimeout,
    stallTimeoutMs: limits.stallTimeout,
    windowTimeoutMs: limits.windowTimeout,
    discardTimeoutMs: limits.discardTimeout,
    maxDiscardBytes: limits.maxDiscard,
    streamWindow: Math.min(window.low, limits.connectionWindow),
    maxStreamWindow: Math.min(window.high, limits.connectionWindow),
    connectionWindow: limits.connectionWindow,
    maxBufferedBytes: Math.min(limits.maxBuffered, slab),
    keepAliveMs: limits.keepAlive,
    keepAliveTimeoutMs: limits.keepAliveTimeout,
    maxAgeMs: limits.maxAge,
    ageGraceMs: limits.ageGrace,
    maxResets: limits.maxResets,
    maxProvokedResets: limits.maxProvokedResets,
    maxControlFrames: limits.maxControlFrames,
    maxEmptyFrames: limits.maxEmptyFrames,
    maxTinyFrames: limits.maxTinyFrames,
    maxContinuations: limits.maxContinuations,
    maxReplayBytes: limits.maxReplay,
  };
}

/** Makes equal groups of settings one object: most of thousands of services have the same. */
function sharing(services: readonly ServiceConfig[]): ServiceConfig[] {
  const groups = new Map<string, object>();
  const share = <T extends object>(group: T): T => {
    const text = JSON.stringify(group);
    const first = groups.get(text);
    if (first === undefined) groups.set(text, group);
    return (first ?? group) as T;
  };
  return services.map((service) => ({
    ...service,
    balance: share(service.balance),
    breaker: share(service.breaker),
    pool: share(service.pool),
    retry: share(service.retry),
  }));
}

/** A service without endpoints that the file does not mention. */
export function defaultService(name: string): ServiceConfig {
  const tree = v.parse(serviceSchema, { endpoints: ['127.0.0.1:1'] });
  return { ...buildService(name, tree, {}, '/'), endpoints: [] };
}

/** The limits of HTTP/2 where a file sets none. */
export const defaultHttp2 = (): Http2Limits => buildHttp2(v.parse(limitsSchema, undefined), undefined);

/** Settings for discovered services. */
function unnamedService(tree: ServiceDefaultsTree, written: unknown): ServiceConfig {
  const bare = v.parse(serviceSchema, { endpoints: ['127.0.0.1:1'] });
  const said = (written ?? {}) as Readonly<Record<string, unknown>>;
  return { ...buildService('', { ...bare, ...tree }, said, '/'), endpoints: [] };
}

const podOf = ({
  enabled = false,
  pod = '',
  namespace = '',
  node = '',
  account = '',
  clusterNetworks,
}: SidecarTree): SidecarConfig => ({
  enabled,
  pod,
  namespace,
  node,
  account,
  clusterNetworks: clusterNetworks ?? CLUSTER_NETWORKS.map((text) => parseNetwork(text)),
});

/** `written`: the tree before defaults; `file`: an absolute path. */
export function buildConfig(file: string, tree: ConfigTree, written: unknown): Config {
  const { limits, drain } = tree;
  const { timeout, race, hello, learnTtl } = tree.detect;
  const detect = { timeoutMs: timeout, raceMs: race, helloMs: hello, learnTtlMs: learnTtl };
  const { opaque, annotated } = opaquePortSets(tree.opaquePorts);
  const {
    services: writtenServices,
    limits: writtenLimits,
    identity: writtenIdentity,
    destination: writtenDestination,
  } = written as {
    readonly destination?: Readonly<Record<string, unknown>>;
    readonly services: Readonly<Record<string, Record<string, unknown>>>;
    readonly identity?: Readonly<Record<string, unknown>>;
    readonly limits?: Readonly<Record<string, unknown>> | null;
  };
  return {
    file,
    workers: tree.workers,
    io: tree.io,
    warmup: tree.warmup,
    coalesceUs: tree.coalesce,
    admin: tree.admin === null ? null : tree.admin.listen,
    adminShutdown: tree.admin?.shutdown === true,
    log: tree.log,
    metrics: {
      ...tree.metrics,
      otlp: tree.metrics.otlp === undefined ? null : buildMetricsOtlp(tree.metrics.otlp),
    },
    live: tree.live,
    tap: tree.tap,
    tracing: tree.tracing === undefined ? null : buildTracing(tree.tracing),
    drain: { holdMs: drain.hold, graceMs: drain.grace, outbound: drain.outbound },
    limits: {
      maxConnections: limits.maxConnections,
      slabBytes: limits.slab,
      slabIdleMs: limits.slabIdle,
      maxBufferedBytes: Math.min(limits.maxBuffered, limits.slab),
      maxPipes: limits.maxPipes,
      protocolExpiryMs: limits.protocolExpiry,
      http1: {
        maxHeaderBytes: limits.http1.maxHeaderBytes,
        maxHeaders: limits.http1.maxHeaders,
        maxTargetBytes: limits.http1.maxTarget,
        headerTimeoutMs: limits.http1.headerTimeout,
        bodyTimeoutMs: limits.http1.bodyTimeout,
        lingerTimeoutMs: limits.http1.lingerTimeout,
        maxLingerBytes: limits.http1.maxLinger,
        idleTimeoutMs: limits.http1.idleTimeout,
        maxRequests: limits.http1.maxRequests,
        maxPipelinedBytes: limits.http1.maxPipelined,
      },
      http2: buildHttp2(limits, writtenLimits?.http2),
      opaque: {
        maxConnections: limits.opaque.maxConnections,
        idleTimeoutMs: limits.opaque.idleTimeout,
        lifetimeMs: limits.opaque.lifetime,
        halfCloseTimeoutMs: limits.opaque.halfCloseTimeout,
      },
      tls: {
        handshakeTimeoutMs: limits.tls.handshakeTimeout,
        maxHandshakes: limits.tls.maxHandshakes,
        handshakesPerTurn: limits.tls.handshakesPerTurn,
        handshakeTurnUs: limits.tls.handshakeTurn,
        handshakePatienceMs: limits.tls.handshakePatience,
        maxHello: limits.tls.maxHello,
        maxChain: limits.tls.maxChain,
      },
    },
    destinations: {
      max: tree.destinations.max,
      resolveTimeoutMs: tree.destinations.resolveTimeout,
      idleTimeoutMs: tree.destinations.idleTimeout,
    },
    discovery: {
      maxFileBytes: tree.discovery.maxFileSize,
      pollMs: tree.discovery.pollInterval,
      startWaitMs: tree.discovery.startWait,
    },
    identity: tree.identity === undefined ? null : buildIdentity(tree.identity, writtenIdentity, dirname(file)),
    sidecar: podOf(tree.sidecar),
    destination:
      tree.destination === undefined
        ? null
        : buildDestination(
            tree.destination,
            writtenDestination,
            tree.identity === undefined ? null : (tree.identity.name ?? ''),
            unnamedService(tree.destination.defaults, writtenDestination?.defaults),
            (path) => resolve(dirname(file), path),
          ),
    bareService: defaultService(''),
    opaquePorts: opaque,
    annotatedPorts: annotated,
    listeners: tree.listeners.map((listener) => buildListener(listener, detect, tree.authorization, dirname(file))),
    services: sharing(
      Object.entries(tree.services).map(([name, item]) =>
        buildService(name, item, writtenServices[name], dirname(file)),
      ),
    ),
  };
}
