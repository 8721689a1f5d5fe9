// The mesh's issuer for components of the controller, and the certificates they use: signed by it, renewed when due and when it changes.
import type { IssuerInUse } from '../identity/issuing/issuer.js';
import { type CertificateSpan, OwnCertificate, type ServingCertificate } from '../identity/issuing/own-certificate.js';
import type { Logger } from '../log/logger.js';

export interface MeshIssuer extends IssuerInUse {
  /** Trusted anchors, PEM. */
  readonly anchors: string;
  /** Called when the issuer or the anchors have changed. */
  onChange(changed: () => void): void;
}

/** Interval for checking whether the certificate is due. */
const POLL_MS = 1000;

export interface RenewingCertificateDeps {
  readonly issuer: MeshIssuer;
  readonly logger: Pick<Logger, 'error'>;
  readonly now: () => number;
}

/** A certificate that is kept current. */
export class RenewingCertificate {
  readonly #own: OwnCertificate;
  #timer: NodeJS.Timeout | null = null;
  /** Renewals, one after the other: a change during one is part of the next. */
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(
    private readonly what: string,
    names: readonly string[],
    private readonly deps: RenewingCertificateDeps,
    span: CertificateSpan,
  ) {
    this.#own = new OwnCertificate(names, deps.issuer, span, deps.now);
  }

  /** Gets the first one; `use` gets later ones, after `changed` has handled a new issuer. */
  begin(
    use: (serving: ServingCertificate) => void,
    changed: () => Promise<void> = () => Promise.resolve(),
  ): Promise<ServingCertificate> {
    const renew = async (): Promise<void> => {
      if (this.#timer !== null) use(await this.#own.make());
    };
    const { issuer, now } = this.deps;
    issuer.onChange(() => this.#queue(() => changed().then(renew)));
    this.#timer = setInterval(() => {
      if (this.#waiting === 0 && this.#own.due(now())) this.#queue(renew);
    }, POLL_MS);
    const first = this.#own.make();
    this.#last = first.catch(() => undefined);
    return first;
  }

  end(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  #queue(renew: () => Promise<void>): void {
    this.#waiting += 1;
    this.#last = this.#last
      .then(renew)
      .catch((error: unknown) => this.deps.logger.error(`the certificate of ${this.what} was not renewed`, { error }))
      .finally(() => {
        this.#waiting -= 1;
      });
  }
}
