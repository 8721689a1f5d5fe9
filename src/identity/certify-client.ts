// An identity from a Linkerd-style identity service (`Identity/Certify`): a new key for each certificate, the token read for each request,
// and each certificate renewed well before it expires.
import { parseHostPort } from '../config/values.js';
import { ConnectTimeout } from '../grpc/connection.js';
import { FramingError } from '../grpc/framing.js';
import type { Status } from '../grpc/status.js';
import { callUnary, StatusError } from '../grpc/unary.js';
import { ProtobufError } from '../protobuf/reader.js';
import { Backoff } from './backoff.js';
import { type CertifyResponse, decodeResponse, encodeRequest } from './certify-messages.js';
import { readPart, readPartOrText } from './credential-files.js';
import { type CheckedAnchors, checkAnchors } from './credentials.js';
import { pemOf } from './der-bundle.js';
import { isPem } from './pem-text.js';
import { CredentialProblem } from './problem.js';
import { makeSigningRequest } from './signing-request.js';
import {
  IdentityProblem,
  type IdentitySource,
  type IdentityUpdate,
  part,
  problemOf,
  type SourceDeps,
} from './source.js';

const METHOD = '/io.linkerd.proxy.identity.Identity/Certify';
/** Maximum bytes of a response: chains have a few thousand. */
const MAX_RESPONSE = 2 ** 20;
/** When to request a new certificate, as a share of the remaining lifetime; with jitter in both directions. */
const REFRESH_SHARE = 0.7;
const JITTER = 0.05;

export interface CertifyOptions {
  /** `host:port`. */
  readonly address: string;
  readonly serverName: string;
  /** Files. */
  readonly token: string;
  readonly anchors: string;
  /** The name to request. */
  readonly name: string;
  readonly minRefreshMs: number;
  readonly maxRefreshMs: number;
  readonly timeoutMs: number;
  readonly minBackoffMs: number;
  readonly maxBackoffMs: number;
}

/** Ms from now to the next request, for a certificate that expires at `endsMs`. */
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
  if (token === '') throw new CredentialProblem(file, 'is empty; it should hold the token of a service account');
  return token;
}

/** The expiry in a token, if it is a JWT that has expired; empty otherwise. */
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
      const { update, validUntilMs } = await this.#certify();
      if (this.#stopped) return;
      const material = this.deps.update(update);
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

  async #certify(): Promise<{ update: IdentityUpdate; validUntilMs: number }> {
    const { token: tokenFile, anchors: anchorsFile, name } = this.options;
    const token = readToken(tokenFile);
    const anchors = readPartOrText(anchorsFile, 'identity.linkerd.anchors');
    const { request, key } = await makeSigningRequest(name);
    if (this.#stopped) throw new Error('stopped');
    const trusted = checkAnchors(anchors, this.deps.clock.now());
    const { leaf, intermediates, validUntilMs } = await this.#call(
      trusted,
      token,
      encodeRequest({ identity: name, token: Buffer.from(token, 'latin1'), request }),
    );
    const chain = [leaf, ...intermediates];
    const from = `the certificate from ${this.#who}`;
    return {
      update: {
        certificate: part(from, chain.map((der) => pemOf('CERTIFICATE', der)).join('')),
        key: part(`the key of ${from}`, key),
        anchors,
      },
      validUntilMs,
    };
  }

  /** The response, or the problem. */
  async #call(trusted: CheckedAnchors, token: string, request: Uint8Array): Promise<CertifyResponse> {
    const { address, serverName, timeoutMs } = this.options;
    const late = `${this.#who} did not answer within ${timeoutMs} ms (identity.timeout)`;
    const giveUp = new AbortController();
    let timedOut = false;
    const timer = this.deps.clock.set(() => {
      timedOut = true;
      giveUp.abort();
    }, timeoutMs);
    this.#cancel = () => giveUp.abort();
    try {
      const { host, port } = parseHostPort(address, 'identity.example:8080');
      const where = { host, port, timeoutMs, timeoutKey: 'identity.timeout', random: this.deps.random };
      const options = { ...where, method: METHOD, maxBytes: MAX_RESPONSE, signal: giveUp.signal };
      return decodeResponse(await callUnary(options, { serverName, anchors: trusted.anchors }, request));
    } catch (error) {
      if (timedOut || error instanceof ConnectTimeout) throw new IdentityProblem('timeout', late);
      if (error instanceof StatusError) throw this.#refused(error.status, token);
      if (error instanceof FramingError || error instanceof ProtobufError)
        throw new IdentityProblem('error', `${this.#who} gave no usable answer: ${error.message}`);
      const why = error instanceof Error ? error.message : String(error);
      throw this.#unverified(new IdentityProblem('unreachable', `${this.#who} cannot be reached: ${why}`));
    } finally {
      this.deps.clock.clear(timer);
      this.#cancel = () => undefined;
    }
  }

  #refused({ name, message }: Status, token: string): IdentityProblem {
    if (name === 'UNAVAILABLE') return new IdentityProblem('unreachable', `${this.#who} cannot be reached: ${message}`);
    const denied = name === 'PERMISSION_DENIED' || name === 'UNAUTHENTICATED';
    const refuses = `${this.#who} refuses: ${message === '' ? 'no reason given' : message} (${name})`;
    const since = denied ? expiredSince(token, this.deps.clock.now()) : '';
    const expired = since === '' ? '' : `; the token in ${this.options.token} expired at ${since}`;
    return new IdentityProblem(denied ? 'denied' : 'error', `${refuses}${expired}`);
  }

  /** Adds the expected name to a problem with the service's certificate. */
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
