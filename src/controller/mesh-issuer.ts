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

/** A certificate that is kept. */
export class KeptCertificate {
  readonly #own: OwnCertificate;
  #timer: NodeJS.Timeout | null = null;
  #making = false;

  constructor(
    private readonly what: string,
    names: readonly string[],
    private readonly issuer: MeshIssuer,
    span: CertificateSpan,
    private readonly logger: Pick<Logger, 'error'>,
  ) {
    this.#own = new OwnCertificate(names, issuer, span);
  }

  /** The first one; `use` gets those that follow. */
  async begin(use: (serving: ServingCertificate) => void): Promise<ServingCertificate> {
    const first = await this.#own.make();
    this.issuer.onChange(() => void this.#renew(true, use));
    this.#timer = setInterval(() => void this.#renew(false, use), POLL_MS);
    return first;
  }

  end(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  async #renew(forced: boolean, use: (serving: ServingCertificate) => void): Promise<void> {
    if (this.#timer === null || this.#making || !(forced || this.#own.due(Date.now()))) return;
    this.#making = true;
    try {
      use(await this.#own.make());
    } catch (error) {
      this.logger.error(`the certificate of ${this.what} was not renewed`, { error });
    } finally {
      this.#making = false;
    }
  }
}
