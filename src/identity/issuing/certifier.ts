// Handles a certificate request from its arrival to its answer, independently of gRPC.
import type { X509Certificate } from 'node:crypto';
import type { LogFields, Logger } from '../../log/logger.js';
import { accountName, accountSpiffe, parseWorkloadName } from '../names.js';
import type { Admission } from './admission.js';
import type { IssuerInUse } from './issuer.js';
import type { IssuingMetrics } from './metrics.js';
import { Refusal } from './refusal.js';
import { RefusalLines } from './refusal-lines.js';
import { type Asked, readSigningRequest } from './signing-request.js';
import type { Authenticator, TokenAccount } from './tokens.js';

export interface CertifierOptions {
  readonly mesh: string;
  readonly trustDomain: string;
  readonly lifetimeMs: number;
  /** Tolerance for clocks: certificates begin this much earlier. */
  readonly skewMs: number;
}

export interface CertifierDeps {
  readonly issuer: Pick<IssuerInUse, 'authority' | 'unusable'>;
  readonly authenticator: Authenticator;
  readonly admission: Admission;
  readonly metrics: IssuingMetrics;
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly now: () => number;
}

export interface CertificateRequest {
  readonly identity: string;
  readonly token: Uint8Array;
  readonly signingRequest: Uint8Array;
  /** Address of the caller. */
  readonly peer: string;
  /** Nobody waits for the answer any more. */
  readonly cancelled: () => boolean;
}

export interface Certified {
  readonly leaf: X509Certificate;
  readonly intermediates: readonly X509Certificate[];
  readonly notAfter: Date;
}

/** A service account's token has some 1 KiB. */
const MAX_TOKEN_BYTES = 16_384;
const MAX_NAME = 253;

export class Certifier {
  #draining = false;
  readonly #refusals: RefusalLines;

  constructor(
    private readonly options: CertifierOptions,
    private readonly deps: CertifierDeps,
  ) {
    this.#refusals = new RefusalLines(deps.logger, deps.now);
  }

  /** Refuses everything new from now on. */
  drain(): void {
    this.#draining = true;
  }

  /** Rejects with a Refusal, for any kind of error. */
  async certify(request: CertificateRequest): Promise<Certified> {
    const { admission, metrics } = this.deps;
    const { peer } = request;
    const startedMs = performance.now();
    const facts: Record<string, unknown> = { identity: clipped(request.identity), peer };
    try {
      if (this.#draining) throw new Refusal('draining', 'the identity service is shutting down');
      if (!admission.enter(peer)) throw new Refusal('overload', 'too many requests at present');
      try {
        return await this.#certify(request, facts);
      } finally {
        admission.leave(peer);
      }
    } catch (error) {
      const refusal = error instanceof Refusal ? error : new Refusal('internal', 'internal error', String(error));
      metrics.refused(refusal.reason);
      if (refusal.reason === 'internal') this.deps.logger.error('certificate failed', { ...facts, error });
      else this.#refusals.add(refusal.reason, { ...facts, reason: refusal.reason, detail: refusal.detail });
      throw refusal;
    } finally {
      metrics.duration(performance.now() - startedMs);
    }
  }

  async #certify(request: CertificateRequest, facts: Record<string, unknown>): Promise<Certified> {
    const { issuer, authenticator, metrics, logger, now } = this.deps;
    const name = nameOf(request.identity);
    const token = tokenOf(request.token);
    const unusable = issuer.unusable();
    if (unusable !== null) throw new Refusal('issuer-unusable', 'the issuer cannot sign at present', unusable);
    // Cheap checks that need nobody else come first.
    const asked = await readSigningRequest(request.signingRequest, name);
    const account = await authenticator.authenticate(token);
    facts.account = `${account.namespace}/${account.account}`;
    this.#checkAccount(name, asked, account);
    if (request.cancelled()) throw new Refusal('cancelled', 'the caller has gone');
    const { lifetimeMs, skewMs } = this.options;
    // The issuer may have been replaced since.
    const authority = issuer.authority;
    const leaf = await authority.issue({
      publicKey: asked.publicKey,
      dns: [name],
      uris: asked.uris,
      notBefore: new Date(now() - skewMs),
      notAfter: new Date(now() + lifetimeMs),
    });
    metrics.issued();
    const until = new Date(Date.parse(leaf.certificate.validTo));
    logger.info('certificate issued', {
      ...facts,
      serial: leaf.serial,
      until: until.toISOString(),
    } satisfies LogFields);
    return { leaf: leaf.certificate, intermediates: authority.intermediates, notAfter: until };
  }

  #checkAccount(name: string, { uris }: Asked, account: TokenAccount): void {
    const { mesh, trustDomain } = this.options;
    const whole = { ...account, mesh, trustDomain };
    const dns = accountName(whole);
    const uri = accountSpiffe(whole);
    if (name === dns && uris.every((asked) => asked === uri)) return;
    throw new Refusal('not-allowed', `the token's account may have ${dns} and ${uri} only`);
  }
}

function nameOf(identity: string): string {
  if (identity === '') throw new Refusal('bad-request', 'there is no identity in the request');
  const name = identity.toLowerCase();
  const parsed = name.length <= MAX_NAME ? parseWorkloadName(name) : 'is too long';
  if (typeof parsed === 'string' || parsed.kind !== 'dns' || parsed.text !== name)
    throw new Refusal('bad-request', 'the identity is not a DNS name');
  return name;
}

function tokenOf(bytes: Uint8Array): string {
  if (bytes.length === 0) throw new Refusal('bad-request', 'there is no token in the request');
  if (bytes.length > MAX_TOKEN_BYTES)
    throw new Refusal('bad-request', `the token has more than ${MAX_TOKEN_BYTES} bytes`);
  const token = Buffer.from(bytes).toString('latin1').trim();
  if (!/^[\x21-\x7e]+$/.test(token)) throw new Refusal('bad-token', 'the token has bytes that no token may have');
  return token;
}

const clipped = (text: string): string => (text.length > MAX_NAME ? `${text.slice(0, MAX_NAME)}...` : text);
