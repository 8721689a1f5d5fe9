// Assembles the identity service: issuer, authentication of tokens, the two ports, and signals.
import type { Address } from '../../config/model.js';
import { fileSignature } from '../../discovery/read-file.js';
import type { Logger } from '../../log/logger.js';
import { sluiceVersion } from '../../log/process-state.js';
import { IssuingAdmin } from './admin.js';
import { Admission } from './admission.js';
import { Certifier } from './certifier.js';
import { Issuer, type IssuerFiles } from './issuer.js';
import { IssuingMetrics } from './metrics.js';
import { OwnCertificate } from './own-certificate.js';
import { IdentityService, SERVICE_LIMITS, type ServiceLimits } from './service.js';
import { TokenReview, type TokenReviewOptions } from './token-review.js';
import { type Authenticator, TokenFile } from './tokens.js';

export interface ServeOptions {
  readonly issuer: IssuerFiles;
  readonly listen: Address;
  readonly admin: Address;
  readonly mesh: string;
  readonly trustDomain: string;
  readonly tokens: { readonly file: string } | { readonly review: TokenReviewOptions };
  readonly lifetimeMs: number;
  readonly skewMs: number;
  /** Names in its own certificate; null: plain text. */
  readonly tlsNames: readonly string[] | null;
  readonly maxConcurrent: number;
  readonly maxRate: number;
  readonly limits: Pick<ServiceLimits, 'maxConnections' | 'maxCalls' | 'maxMessageBytes'>;
}

type Signals = Pick<NodeJS.Process, 'on'>;

/** Interval for checking files. */
const POLL_MS = 1000;

/** Runs until SIGTERM or SIGINT; returns the exit code. Rejects if it can't start. */
export async function serveIdentities(options: ServeOptions, logger: Logger, signals: Signals): Promise<number> {
  const metrics = new IssuingMetrics({ version: sluiceVersion() });
  const now = Date.now;
  const issuer = await Issuer.load(options.issuer, { logger, now, loaded: (result) => metrics.loaded(result) });
  const { maxConcurrent, maxRate, lifetimeMs, skewMs, mesh, trustDomain } = options;
  const admission = new Admission({ maxConcurrent, maxRate });
  const authenticator: Authenticator =
    'file' in options.tokens
      ? new TokenFile(options.tokens.file)
      : new TokenReview(options.tokens.review, { reviewed: (result, ms) => metrics.reviewed(result, ms) });
  const certifier = new Certifier(
    { mesh, trustDomain, lifetimeMs, skewMs },
    { issuer, authenticator, admission, metrics, logger, now },
  );
  const own = options.tlsNames === null ? null : new OwnCertificate(options.tlsNames, issuer, options);
  const limits = { ...SERVICE_LIMITS, ...options.limits };
  const service = new IdentityService(certifier, own === null ? null : await own.make(), limits, () =>
    metrics.connectionRefused(),
  );
  metrics.watch({
    concurrent: () => admission.concurrent,
    connections: () => service.connections,
    issuerEndsMs: () => issuer.authority.notAfter.getTime(),
  });
  let draining = false;
  const admin = new IssuingAdmin({
    registry: metrics.registry,
    reasons: () => [draining ? 'draining' : null, issuer.unusable()].filter((reason) => reason !== null),
    // Not a reason to be unready: without requests nobody would notice that the problem is over.
    notes: () => [issuer.problem, authenticator.problem].filter((problem) => problem !== null),
  });
  await admin.listen(options.admin);
  try {
    await service.listen(options.listen);
  } catch (error) {
    admin.close();
    throw error;
  }
  const watch = new FileWatch(issuer, authenticator, logger, async (replaced) => {
    if (own === null || !(replaced || own.due(now()))) return;
    service.serve(await own.make());
  });
  logger.info('identity service started', {
    port: service.port,
    adminPort: admin.port,
    tls: options.tlsNames ?? 'off',
    issuerUntil: issuer.authority.notAfter.toISOString(),
  });
  const signal = await stopped(signals, () => void watch.look(true));
  draining = true;
  certifier.drain();
  logger.info('draining', { signal });
  watch.stop();
  const again = new Promise<boolean>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const) signals.on(name, () => resolve(false));
  });
  const clean = await Promise.race([service.close(), again]);
  admin.close();
  if (authenticator instanceof TokenReview) await authenticator.close();
  logger.info('identity service ended', { cutOff: !clean });
  return clean ? 0 : 1;
}

/** Resolves at the first signal to stop; `reload` is for SIGHUP. */
function stopped(signals: Signals, reload: () => void): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    signals.on('SIGHUP', reload);
    for (const name of ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const) signals.on(name, () => resolve(name));
  });
}

/** Checks the files periodically, and other things that are due. */
class FileWatch {
  #busy = false;
  #tokens = '';
  readonly #timer: NodeJS.Timeout;

  constructor(
    private readonly issuer: Issuer,
    private readonly authenticator: Authenticator,
    private readonly logger: Logger,
    /** Told whether there is a new issuer. */
    private readonly after: (replaced: boolean) => Promise<void>,
  ) {
    this.#tokens = this.#tokensSignature();
    this.#timer = setInterval(() => void this.look(false), POLL_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async look(force: boolean): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      this.#lookAtTokens(force);
      await this.after(await this.issuer.refresh(force));
    } catch (error) {
      this.logger.error('files could not be checked for changes', { error });
    } finally {
      this.#busy = false;
    }
  }

  #lookAtTokens(force: boolean): void {
    if (!(this.authenticator instanceof TokenFile)) return;
    const signature = this.#tokensSignature();
    if (!force && signature === this.#tokens) return;
    this.#tokens = signature;
    this.authenticator.reload();
    const { path, problem } = this.authenticator;
    if (problem === null) this.logger.info('tokens read again', { file: path });
    else this.logger.error('tokens refused; the previous ones stay in use', { problem });
  }

  #tokensSignature(): string {
    return this.authenticator instanceof TokenFile ? fileSignature(this.authenticator.path) : '';
  }
}
