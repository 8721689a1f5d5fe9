// Authentication through Kubernetes: TokenReview (authentication.k8s.io/v1). Anything but a clear answer means that the caller should try
// again: nobody is refused because of problems of the API server, or missing permissions of ours.
import { Agent, request } from 'undici';
import { readFile } from '../../discovery/read-file.js';
import { Refusal } from './refusal.js';
import type { Authenticator, TokenAccount } from './tokens.js';

export interface TokenReviewOptions {
  /** `https://10.0.0.1:443`. */
  readonly server: string;
  /** File with our own token, which Kubernetes replaces from time to time. */
  readonly tokenFile: string;
  /** File with the CA of the API server's certificate. */
  readonly authorityFile: string;
  /** The audience that callers' tokens must have. */
  readonly audience: string;
  readonly timeoutMs: number;
}

export type ReviewResult = 'authenticated' | 'denied' | 'unavailable';

export interface TokenReviewDeps {
  readonly reviewed: (result: ReviewResult, ms: number) => void;
}

const PATH = '/apis/authentication.k8s.io/v1/tokenreviews';
const USER = /^system:serviceaccount:([^:]+):([^:]+)$/;
const MAX_ANSWER_BYTES = 1 << 18;
const MAX_FILE_BYTES = 1 << 20;
const MAX_CONNECTIONS = 16;

export class TokenReview implements Authenticator {
  #agent: Agent | null = null;
  #authority = '';
  /** The problem of the last review; the next answered one clears it. */
  problem: string | null = null;

  constructor(
    private readonly options: TokenReviewOptions,
    private readonly deps: TokenReviewDeps,
  ) {}

  async authenticate(token: string): Promise<TokenAccount> {
    const startedMs = performance.now();
    let result: ReviewResult = 'unavailable';
    try {
      const account = accountOf(await this.#review(token), this.options.audience);
      result = 'authenticated';
      this.problem = null;
      return account;
    } catch (error) {
      if (error instanceof Refusal && error.reason !== 'review-unavailable') {
        result = 'denied';
        this.problem = null;
        throw error;
      }
      this.problem = `Kubernetes can't be asked about tokens: ${reasonOf(error)}`;
      throw new Refusal('review-unavailable', 'tokens cannot be checked at present', this.problem);
    } finally {
      this.deps.reviewed(result, performance.now() - startedMs);
    }
  }

  async close(): Promise<void> {
    await this.#agent?.destroy();
  }

  async #review(token: string): Promise<unknown> {
    const { server, tokenFile, audience, timeoutMs } = this.options;
    const body = {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      spec: { token, audiences: [audience] },
    };
    const response = await request(new URL(PATH, server), {
      method: 'POST',
      dispatcher: this.#dispatcher(),
      headers: {
        authorization: `Bearer ${text(tokenFile).trim()}`,
        'content-type': 'application/json',
        accept: 'application/json',
      },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(timeoutMs),
    });
    const answer = await bounded(response.body);
    const { statusCode: status } = response;
    if (status !== 200 && status !== 201) throw new Error(`status ${status}${messageIn(answer)}`);
    try {
      return JSON.parse(answer);
    } catch {
      throw new Error('an answer that is not valid JSON');
    }
  }

  /** Recreated when the API server's CA changes. */
  #dispatcher(): Agent {
    const authority = text(this.options.authorityFile);
    if (this.#agent !== null && authority === this.#authority) return this.#agent;
    void this.#agent?.close();
    this.#authority = authority;
    this.#agent = new Agent({
      connect: { ca: authority, timeout: this.options.timeoutMs },
      connections: MAX_CONNECTIONS,
      pipelining: 1,
      maxResponseSize: MAX_ANSWER_BYTES,
    });
    return this.#agent;
  }
}

function text(path: string): string {
  try {
    return readFile(path, MAX_FILE_BYTES).text;
  } catch (error) {
    throw new Error(`${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

async function bounded(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > MAX_ANSWER_BYTES) throw new Error(`an answer of more than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;

/** The account of a reviewed token. */
function accountOf(review: unknown, audience: string): TokenAccount {
  const status = isRecord(review) ? review.status : undefined;
  if (!isRecord(status)) throw new Error('an answer without a status');
  if (status.authenticated !== true) {
    const why = typeof status.error === 'string' && status.error !== '' ? `: ${clipped(status.error)}` : '';
    throw new Refusal(
      'bad-token',
      'Kubernetes does not vouch for the token',
      `Kubernetes does not vouch for the token${why}`,
    );
  }
  // An API server without audiences would also authenticate tokens made for somebody else.
  if (!Array.isArray(status.audiences) || !status.audiences.includes(audience))
    throw new Refusal('bad-token', `the token is not for the audience ${audience}`);
  const username = isRecord(status.user) ? status.user.username : undefined;
  if (typeof username !== 'string') throw new Error('an answer without a user');
  const match = USER.exec(username);
  if (match === null)
    throw new Refusal(
      'not-allowed',
      'the token is not of a service account',
      `${clipped(username)} is not a service account`,
    );
  return { namespace: match[1], account: match[2] };
}

const clipped = (message: string): string => (message.length > 200 ? `${message.slice(0, 197)}...` : message);

/** The message of a Kubernetes Status. */
function messageIn(answer: string): string {
  try {
    const status: unknown = JSON.parse(answer);
    if (isRecord(status) && typeof status.message === 'string') return ` (${clipped(status.message)})`;
  } catch {
    // A proxy in between may answer in its own words.
  }
  return '';
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError') return 'no answer in time';
  return error.cause instanceof Error && error.message === '' ? error.cause.message : error.message;
}
