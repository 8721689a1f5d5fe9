// Settings that a reload does not change, because workers' memory and threads, or the process's sockets, depend on them.
import type { Config } from '../config/model.js';
import type { MetricsConfig } from '../config/telemetry-model.js';

const FIXED_KEYS = ['workers', 'io', 'warmup', 'admin', 'adminShutdown', 'metrics', 'sidecar', 'destination'] as const;
const FIXED_LIMITS = ['slabBytes', 'maxPipes'] as const;

/** What is sent to a collector is none of the workers' concern. */
const fixedPart = (key: string, value: unknown): string =>
  JSON.stringify(key === 'metrics' ? { ...(value as MetricsConfig), otlp: null } : value);

/** Changed keys that need a restart, as written in the configuration. */
export function fixedChanges(before: Config, after: Config): string[] {
  const keys = FIXED_KEYS.filter((key) => fixedPart(key, after[key]) !== fixedPart(key, before[key]));
  const limits = FIXED_LIMITS.filter((key) => after.limits[key] !== before.limits[key]);
  return [
    ...keys.map((key) => (key === 'adminShutdown' ? 'admin.shutdown' : key)),
    ...limits.map((key) => `limits.${key === 'slabBytes' ? 'slab' : key}`),
  ];
}

/** `after` with the fixed settings of `before`. */
export function withFixed(before: Config, after: Config): Config {
  const { slabBytes, maxPipes } = before.limits;
  return {
    ...after,
    workers: before.workers,
    io: before.io,
    warmup: before.warmup,
    admin: before.admin,
    adminShutdown: before.adminShutdown,
    metrics: { ...before.metrics, otlp: after.metrics.otlp },
    sidecar: before.sidecar,
    destination: before.destination,
    limits: { ...after.limits, slabBytes, maxPipes },
  };
}
