// Parsed configurations for tests, spelt with what matters to them.
import type { Address, Config, EndpointSource, ListenerConfig, ServiceConfig } from '../../src/config/model.js';

export const at = (host: string, port: number): Address => ({ host, port });

export const fixed = (host: string, port: number): EndpointSource => ({ kind: 'static', address: at(host, port) });

export function service(
  name: string,
  endpoints: readonly EndpointSource[],
  overrides: Partial<ServiceConfig> = {},
): ServiceConfig {
  return {
    name,
    protocol: 'auto',
    proxyProtocol: null,
    tls: null,
    endpoints,
    match: [],
    balance: { policy: 'ewma', decayMs: 10_000, defaultRttMs: 30, failurePenaltyMs: 5000 },
    breaker: { failures: 7, minBackoffMs: 1000, maxBackoffMs: 60_000, dialIntervalMs: 50 },
    pool: {
      maxIdle: 100,
      maxConnections: 1000,
      idleTimeoutMs: 60_000,
      maxStreams: 100,
      maxAgeMs: 3_600_000,
      spares: 0,
      http2Connections: 16,
    },
    retry: { budget: 0.2, minPerSecond: 10, replayBytes: -1 },
    connectTimeoutMs: 1000,
    hedgeDelayMs: 250,
    responseTimeoutMs: 0,
    bodyTimeoutMs: -1,
    streamTimeoutMs: 0,
    keepAliveMs: 10_000,
    userTimeoutMs: 30_000,
    dnsMinTtlMs: 1000,
    dnsMaxTtlMs: 60_000,
    ...overrides,
  };
}

export function listener(listen: Address, overrides: Partial<ListenerConfig> = {}): ListenerConfig {
  return {
    name: 'edge',
    listen,
    protocol: 'detect',
    services: { http1: 'web', http2: 'web', tls: 'web', opaque: 'web' },
    originalDestination: false,
    halfClose: false,
    shared: false,
    via: null,
    date: false,
    proxyProtocol: null,
    tls: null,
    direction: 'inbound',
    detect: { timeoutMs: 10_000, raceMs: -1, learnTtlMs: 60_000 },
    backlog: 4096,
    keepAliveMs: 10_000,
    userTimeoutMs: 30_000,
    ...overrides,
  };
}

export function config(overrides: Partial<Config> = {}): Config {
  return {
    file: '-',
    workers: 1,
    io: 'auto',
    coalesceUs: 50,
    admin: null,
    metrics: { maxServices: 128, maxEndpoints: 512 },
    identity: null,
    log: { level: 'info', access: false },
    drain: { holdMs: 0, graceMs: 30_000 },
    limits: {
      maxConnections: 10_000,
      slabBytes: 64 * 2 ** 20,
      slabIdleMs: 10_000,
      maxBufferedBytes: 2 ** 20,
      maxPipes: 256,
      protocolExpiryMs: 600_000,
      http1: {
        maxHeaderBytes: 65_536,
        maxHeaders: 100,
        maxTargetBytes: 8192,
        headerTimeoutMs: 10_000,
        bodyTimeoutMs: 60_000,
        lingerTimeoutMs: 30_000,
        maxLingerBytes: 268_435_456,
        idleTimeoutMs: 120_000,
        maxRequests: 0,
        maxPipelinedBytes: 65_536,
      },
      http2: {
        maxStreams: 128,
        maxHeaderBytes: 15_360,
        maxHeaders: 128,
        headerTimeoutMs: 10_000,
        idleTimeoutMs: 3_600_000,
        bodyTimeoutMs: 60_000,
        stallTimeoutMs: 300_000,
        windowTimeoutMs: 1000,
        discardTimeoutMs: 5000,
        maxDiscardBytes: 64 * 1024 * 1024,
        streamWindow: 65_536,
        maxStreamWindow: 1_048_576,
        connectionWindow: 16_777_216,
        maxBufferedBytes: 4_194_304,
        keepAliveMs: 30_000,
        keepAliveTimeoutMs: 10_000,
        maxAgeMs: 0,
        ageGraceMs: 30_000,
        maxResets: 500,
        maxProvokedResets: 100,
        maxControlFrames: 2000,
        maxEmptyFrames: 200,
        maxTinyFrames: 10_000,
        maxContinuations: 16,
        maxReplayBytes: 8_388_608,
      },
      opaque: { maxConnections: 0, idleTimeoutMs: 3_600_000, lifetimeMs: 0, halfCloseTimeoutMs: 60_000 },
    },
    destinations: { max: 1024, resolveTimeoutMs: 500, idleTimeoutMs: 300_000 },
    discovery: { maxFileBytes: 16 * 2 ** 20, pollMs: 5000, startWaitMs: 0 },
    opaquePorts: new Set([25, 587, 3306, 4444, 5432, 6379, 9300, 11211]),
    annotatedPorts: new Set(),
    listeners: [listener(at('127.0.0.1', 8080))],
    services: [service('web', [fixed('127.0.0.1', 9001), fixed('127.0.0.1', 9002)])],
    ...overrides,
  };
}
