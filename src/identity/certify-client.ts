// An identity from an identity service as Linkerd's (`Identity/Certify`): a new key for each certificate, the token read for each
// request, and the next certificate asked for well before the end of the last.

import { createSecureContext } from 'node:tls';
import type { ServiceError } from '@grpc/grpc-js';
import { Backoff } from './backoff.js';
import { readPart, readPartOrText } from './credential-files.js';
import { type CheckedAnchors, checkAnchors } from './credentials.js';
import { pemOf } from './der-bundle.js';
import { CHANNEL, callFailure, type GrpcService, grpcService } from './grpc.js';
import { isPem } from './pem-text.js';
import { CredentialProblem } from './problem.js';
import { makeSigningRequest } from './signing-request.js';
import { IdentityProblem, type IdentitySource, type Offer, part, problemOf, type SourceDeps } from './source.js';

/** When a new certificate is asked for, as a share of what is left of the last one's life; jitter is added or taken away. */
const REFRESH_SHARE = 0.7;
const JITTER = 0.05;

export interface CertifyOptions {
  /** `host:port`. */
  readonly address: string;
  readonly serverName: string;
  /** Files. */
  readonly token: string;
  readonly anchors: string;
  /** The name to ask for. */
  readonly name: string;
  readonly minRefreshMs: number;
  readonly maxRefreshMs: number;
  readonly timeoutMs: number;
  readonly minBackoffMs: number;
  readonly maxBackoffMs: number;
}

interface CertifyResponse {
  readonly leaf_certificate: Uint8Array;
  readonly intermediate_certificates: readonly Uint8Array[];
  readonly valid_until: { readonly seconds: number; readonly nanos: number } | null;
}

/** Ms from now to the request for the next certificate, where this one ends at `endsMs`. */
export function refreshDelay(
  { minRefreshMs, maxRefreshMs }: Pick<CertifyOptions, 'minRefreshMs' | 'maxRefreshMs'>,
  nowMs: number,
  endsMs: number,
  random: number,
): number {
  const share = REFRESH_SHARE + (random * 2 - 1) * JITTER;
  return Math.min(maxRefreshMs, Math.max(minRefreshMs, (endsMs - nowMs) * share));
}

/** The token in a file. */
export function readToken(file: string): string {
  const token = Buffer.from(readPart(file).bytes).toString('latin1').trim();
  if (token === '') throw new CredentialProblem(file, 'is empty; it should have the token of an account');
  return token;
}

/** What a token says of its own end, where it is a JWT that does; empty where it doesn't, or is in the future. */
export function expiredSince(token: string, nowMs: number): string {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    const exp = typeof claims === 'object' && claims !== null ? (claims as { readonly exp?: unknown }).exp : undefined;
    if (typeof exp !== 'number' || exp * 1000 > nowMs) return '';
    return new Date(exp * 1000).toISOString();
  } catch {
    return '';
  }
}

export class CertifyClient implements IdentitySource {
  readonly #backoff: Backoff;
  readonly #who: string;
  #timer: unknown = null;
  #stopped = false;
  #cancel: () => void = () => undefined;

  constructor(
    private readonly options: CertifyOptions,
    private readonly deps: SourceDeps,
  ) {
    this.#backoff = new Backoff(options.minBackoffMs, options.maxBackoffMs, deps.random);
    this.#who = `the identity service at ${options.address}`;
  }

  start(): void {
    void this.#renew();
  }

  stop(): void {
    this.#stopped = true;
    this.deps.clock.clear(this.#timer);
    this.#cancel();
  }

  async #renew(): Promise<void> {
    let delayMs: number;
    try {
      const { offer, validUntilMs } = await this.#certify();
      if (this.#stopped) return;
      const material = this.deps.offer(offer);
      if (material === null) delayMs = this.#backoff.next();
      else {
        this.#backoff.succeeded();
        const endsMs = Math.min(material.notAfterMs, validUntilMs);
        delayMs = refreshDelay(this.options, this.deps.clock.now(), endsMs, this.deps.random());
      }
    } catch (error) {
      if (this.#stopped) return;
      this.deps.failed(problemOf(error));
      delayMs = this.#backoff.next();
    }
    this.#timer = this.deps.clock.set(() => void this.#renew(), delayMs);
  }

  async #certify(): Promise<{ offer: Offer; validUntilMs: number }> {
    const { token: tokenFile, anchors: anchorsFile, name } = this.options;
    const token = readToken(tokenFile);
    const anchors = readPartOrText(anchorsFile, 'identity.linkerd.anchors');
    const { request, key } = await makeSigningRequest(name);
    const service = await grpcService('identity.proto', 'io.linkerd.proxy.identity.Identity');
    if (this.#stopped) throw new Error('stopped');
    const response = await this.#call(service, checkAnchors(anchors, this.deps.clock.now()), token, {
      identity: name,
      token: Buffer.from(token, 'latin1'),
      certificate_signing_request: request,
    });
    const chain = [response.leaf_certificate, ...response.intermediate_certificates];
    const from = `the certificate from ${this.#who}`;
    return {
      offer: {
        certificate: part(from, chain.map((der) => pemOf('CERTIFICATE', der)).join('')),
        key: part(`the key of ${from}`, key),
        anchors,
      },
      validUntilMs: response.valid_until === null ? Number.POSITIVE_INFINITY : response.valid_until.seconds * 1000,
    };
  }

  #call(
    { grpc, method }: GrpcService,
    trusted: CheckedAnchors,
    token: string,
    request: object,
  ): Promise<CertifyResponse> {
    const { address, serverName, timeoutMs } = this.options;
    const context = createSecureContext({ ca: [...trusted.anchors], minVersion: 'TLSv1.3' });
    const credentials = grpc.credentials.createFromSecureContext(context);
    const client = new grpc.Client(address, credentials, { ...CHANNEL, 'grpc.ssl_target_name_override': serverName });
    const { path, requestSerialize, responseDeserialize } = method('Certify');
    return new Promise<CertifyResponse>((resolve, reject) => {
      const done = (error: ServiceError | null, response?: object): void => {
        client.close();
        this.deps.clock.clear(late);
        this.#cancel = () => undefined;
        if (error === null && response !== undefined) resolve(response as CertifyResponse);
        else reject(error === null ? new Error('no response') : this.#failure(grpc, error, token));
      };
      const call = client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, done);
      this.#cancel = () => call.cancel();
      const late = this.deps.clock.set(() => {
        reject(new IdentityProblem('timeout', `${this.#who} did not answer within ${timeoutMs} ms (identity.timeout)`));
        call.cancel();
      }, timeoutMs);
    });
  }

  #failure(grpc: GrpcService['grpc'], error: ServiceError, token: string): IdentityProblem {
    const problem = callFailure(grpc, this.#who, error, this.options.timeoutMs);
    if (problem.reason === 'unreachable') return this.#unverified(problem);
    const since = problem.reason === 'denied' ? expiredSince(token, this.deps.clock.now()) : '';
    if (since === '') return problem;
    return new IdentityProblem(
      'denied',
      `${problem.message}; the token in ${this.options.token} has expired at ${since}`,
    );
  }

  /** Says whose certificate was expected, where it is that which was wrong. */
  #unverified(problem: IdentityProblem): IdentityProblem {
    const { anchors, serverName } = this.options;
    const { message } = problem;
    if (/altnames/i.test(message))
      return new IdentityProblem('unreachable', `${message} (expected: ${serverName}, identity.linkerd.serverName)`);
    if (!/certificate|CERT_/i.test(message)) return problem;
    return new IdentityProblem(
      'unreachable',
      `${message}; its certificate must be signed by one of ${isPem(anchors) ? 'those' : anchors} (identity.linkerd.anchors)`,
    );
  }
}
