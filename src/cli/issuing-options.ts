// Options shared by the commands that issue certificates: `sluice identity serve` and `sluice controller`.
import { parseDuration, ValueError } from '../config/values.js';
import type { TokenReviewOptions } from '../identity/issuing/token-review.js';
import { trustDomainProblem } from '../identity/names.js';
import { isNamespaceName } from '../kubernetes/names.js';
import { createLogger, LOG_LEVELS, type Logger } from '../log/logger.js';
import { lifetimeOf, type OptionReader } from './option-reader.js';
import { exitWithError } from './run.js';
import { UsageError } from './usage.js';

const text = { type: 'string' } as const;

export const ISSUING_OPTIONS = {
  'issuer-key': text,
  anchors: text,
  tokens: text,
  audience: text,
  'api-token': text,
  'api-ca': text,
  admin: text,
  'trust-domain': text,
  lifetime: text,
  skew: text,
  'max-concurrent': text,
  'max-rate': text,
  'max-connections': text,
  'max-streams': text,
  'log-level': text,
} as const;

type Options = OptionReader<keyof typeof ISSUING_OPTIONS>;

/** Where Kubernetes mounts a pod's API credentials. */
export const IN_CLUSTER = '/var/run/secrets/kubernetes.io/serviceaccount';

/** `https://HOST:PORT` from the environment that Kubernetes gives a pod; null: this is not a pod. */
export function apiServerOf({
  KUBERNETES_SERVICE_HOST: host = '',
  KUBERNETES_SERVICE_PORT: port = '443',
}: NodeJS.ProcessEnv) {
  return host === '' ? null : `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** The files with this pod's API credentials. */
export const apiFiles = (given: Options) => ({
  token: given.text('api-token', `${IN_CLUSTER}/token`),
  authority: given.text('api-ca', `${IN_CLUSTER}/ca.crt`),
});

export function reviewOf(given: Options, server: string, timeoutMs: number): TokenReviewOptions {
  const { token: tokenFile, authority: authorityFile } = apiFiles(given);
  return { server, tokenFile, authorityFile, audience: given.text('audience', 'identity.l5d.io'), timeoutMs };
}

/** Settings for certificates, and limits for requests. */
export const certifying = (given: Options) => ({
  lifetimeMs: given.parsed('lifetime', '24h', lifetimeOf),
  skewMs: given.parsed('skew', '20s', (value) =>
    parseDuration(value, { in: 'ms', step: 1000, min: '1s', max: '10m', orZero: true }),
  ),
  maxConcurrent: given.integer('max-concurrent', 100, 10_000),
  maxRate: given.integer('max-rate', 200, 100_000),
});

/** Throws a ValueError. */
export function namespaceNamed(name: string): string {
  if (!isNamespaceName(name)) throw new ValueError(`${JSON.stringify(name)} is not the name of a namespace`);
  return name;
}

/** Throws a ValueError. */
export function domainNamed(name: string): string {
  const problem = trustDomainProblem(name);
  if (problem !== null) throw new ValueError(`it ${problem}`);
  return name;
}

/** The command's logger, which also logs fatal errors. */
export function loggerOf(given: Options): Logger {
  const wanted = given.text('log-level', 'info');
  const level = LOG_LEVELS.find((known) => known === wanted);
  if (level === undefined)
    throw new UsageError(`--log-level: ${wanted} is unknown; expected one of ${LOG_LEVELS.join(', ')}`);
  const logger = createLogger({ level });
  exitWithError(logger);
  return logger;
}
