// What a reload does not change: memory and threads of the workers, and sockets of the process, are made for it.
import type { Config, MetricsConfig } from '../config/model.js';

const FIXED_KEYS = ['workers', 'io', 'warmup', 'admin', 'adminShutdown', 'metrics', 'sidecar', 'destination'] as const;
const FIXED_LIMITS = ['slabBytes', 'maxPipes'] as const;

/** What is sent to a collector is none of the workers' concern. */
const fixedPart = (key: string, value: unknown): string =>
  JSON.stringify(key === 'metrics' ? { ...(value as MetricsConfig), otlp: null } : value);

/** Keys whose change needs a restart, as they are written. */
export function fixedChanges(before: Config, after: Config): string[] {
  const keys = FIXED_KEYS.filter((key) => fixedPart(key, after[key]) !== fixedPart(key, before[key]));
  const limits = FIXED_LIMITS.filter((key) => after.limits[key] !== before.limits[key]);
  return [
    ...keys.map((key) => (key === 'adminShutdown' ? 'admin.shutdown' : key)),
    ...limits.map((key) => `limits.${key === 'slabBytes' ? 'slab' : key}`),
  ];
}

/** `after` with what stays as it was. */
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
