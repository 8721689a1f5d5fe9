// The certificate of a mesh service itself: signed by the mesh's own issuer, renewed in time.
import type { IssuerInUse } from './issuer.js';
import { keyPem, makeKeys, publicKeyDer } from './keys.js';

/** PEM of a certificate with its chain, and its key. */
export interface ServingCertificate {
  readonly cert: string;
  readonly key: string;
}

export interface CertificateSpan {
  readonly lifetimeMs: number;
  /** How far in the past certificates begin, for slow clocks. */
  readonly skewMs: number;
}

/** It is renewed after this share of its lifetime. */
const RENEW_SHARE = 0.5;

export class OwnCertificate {
  #dueMs = 0;

  constructor(
    private readonly names: readonly string[],
    private readonly issuer: Pick<IssuerInUse, 'authority' | 'unusable'>,
    private readonly span: CertificateSpan,
    private readonly now: () => number = Date.now,
  ) {}

  due(nowMs: number): boolean {
    return nowMs >= this.#dueMs && this.issuer.unusable() === null;
  }

  async make(): Promise<ServingCertificate> {
    const nowMs = this.now();
    const keys = await makeKeys('ecdsa');
    const { authority } = this.issuer;
    const leaf = await authority.issue({
      publicKey: await publicKeyDer(keys.publicKey),
      dns: this.names,
      uris: [],
      notBefore: new Date(nowMs - this.span.skewMs),
      notAfter: new Date(nowMs + this.span.lifetimeMs),
    });
    this.#dueMs = nowMs + (leaf.notAfter.getTime() - nowMs) * RENEW_SHARE;
    return {
      cert: String(leaf.certificate) + authority.intermediates.map(String).join(''),
      key: await keyPem(keys.privateKey),
    };
  }
}
