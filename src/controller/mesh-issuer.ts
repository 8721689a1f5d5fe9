// The mesh's issuer as parts of the controller use it, and the certificates that they show: signed by it, and made anew when they are due or
// it is another one.
import type { IssuerInUse } from '../identity/issuing/issuer.js';
import { type CertificateSpan, OwnCertificate, type ServingCertificate } from '../identity/issuing/own-certificate.js';
import type { Logger } from '../log/logger.js';

export interface MeshIssuer extends IssuerInUse {
  /** What proxies trust, PEM. */
  readonly anchors: string;
  /** Called when there is another issuer, or other anchors. */
  onChange(changed: () => void): void;
}

/** How often it is asked whether the certificate is due. */
const POLL_MS = 1000;

export interface KeptCertificateDeps {
  readonly issuer: MeshIssuer;
  readonly logger: Pick<Logger, 'error'>;
  readonly now: () => number;
}

/** A certificate that is kept. */
export class KeptCertificate {
  readonly #own: OwnCertificate;
  #timer: NodeJS.Timeout | null = null;
  /** Renewals, one after the other: what changes during one is in the next. */
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(
    private readonly what: string,
    names: readonly string[],
    private readonly deps: KeptCertificateDeps,
    span: CertificateSpan,
  ) {
    this.#own = new OwnCertificate(names, deps.issuer, span, deps.now);
  }

  /** The first one; `use` gets those that follow, after what `changed` does about another issuer. */
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
