// The identity service as a component of the controller.
import type { Address } from '../config/model.js';
import { Admission, type AdmissionLimits } from '../identity/issuing/admission.js';
import { Certifier, type CertifierOptions } from '../identity/issuing/certifier.js';
import type { IssuingMetrics } from '../identity/issuing/metrics.js';
import { IdentityService, SERVICE_LIMITS, type ServiceLimits } from '../identity/issuing/service.js';
import { TokenReview, type TokenReviewOptions } from '../identity/issuing/token-review.js';
import { type Authenticator, TokenFile } from '../identity/issuing/tokens.js';
import type { Logger } from '../log/logger.js';
import type { Component } from './component.js';
import { type MeshIssuer, RenewingCertificate } from './mesh-issuer.js';

export interface IdentityComponentOptions extends CertifierOptions, AdmissionLimits {
  readonly listen: Address;
  /** Of its own certificate. */
  readonly names: readonly string[];
  readonly tokens: { readonly file: string } | { readonly review: TokenReviewOptions };
  readonly limits: Partial<ServiceLimits>;
}

export interface IdentityComponentDeps {
  readonly issuer: MeshIssuer;
  readonly metrics: IssuingMetrics;
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>;
}

export class IdentityComponent implements Component {
  readonly name = 'identity';
  readonly #certifier: Certifier;
  readonly #certificate: RenewingCertificate;
  readonly #authenticator: Authenticator;
  readonly #admission: Admission;
  #service: IdentityService | null = null;

  constructor(
    private readonly options: IdentityComponentOptions,
    private readonly deps: IdentityComponentDeps,
  ) {
    const { issuer, metrics, logger } = deps;
    this.#authenticator =
      'file' in options.tokens
        ? new TokenFile(options.tokens.file)
        : new TokenReview(options.tokens.review, { reviewed: (result, ms) => metrics.reviewed(result, ms) });
    this.#admission = new Admission(options);
    const certifying = { issuer, authenticator: this.#authenticator, admission: this.#admission, metrics, logger };
    this.#certifier = new Certifier(options, { ...certifying, now: Date.now });
    this.#certificate = new RenewingCertificate(
      'the identity service',
      options.names,
      { issuer, logger, now: Date.now },
      options,
    );
  }

  get port(): number {
    return this.#service?.port ?? 0;
  }

  /** The issuer must exist. */
  async start(): Promise<void> {
    const { issuer, metrics, logger } = this.deps;
    let service: IdentityService | null = null;
    const first = await this.#certificate.begin((serving) => service?.serve(serving));
    const limits = { ...SERVICE_LIMITS, ...this.options.limits };
    const made = new IdentityService(this.#certifier, first, limits, () => metrics.connectionRefused());
    service = made;
    await made.listen(this.options.listen);
    this.#service = made;
    metrics.watch({
      concurrent: () => this.#admission.concurrent,
      connections: () => made.connections,
      issuerEndsMs: () => issuer.authority.notAfter.getTime(),
    });
    logger.info('identity service started', { port: made.port });
  }

  async close(): Promise<boolean> {
    this.#certificate.end();
    this.#certifier.drain();
    const clean = (await this.#service?.close()) ?? true;
    if (this.#authenticator instanceof TokenReview) await this.#authenticator.close();
    return clean;
  }

  unready(): string | null {
    return this.#service === null ? 'the identity service has not started yet' : null;
  }

  /** Not a reason to be unready: without requests nobody would notice that the problem is over. */
  get problem(): string | null {
    return this.#authenticator.problem;
  }
}
