// The port that API servers call before they store an object: HTTPS, HTTP/1.1 and HTTP/2. Invalid calls are answered with a message, and
// the cost of callers is limited. The meaning of reviews is elsewhere.
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  constants,
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2';
import type { Address } from '../config/model.js';
import type { ServingCertificate } from '../identity/issuing/own-certificate.js';
import { listenOn, portOf } from '../listening/listen-address.js';
import { WebhookConnections } from './webhook-connections.js';

export interface WebhookLimits {
  /** No address gets more than half of the rest. */
  readonly maxConnections: number;
  /** Requests between the start of their bodies and their answers. */
  readonly maxRequests: number;
  /** Maximum request body: an object has at most 1.5 MiB in etcd, a request to the API server 3 MiB. */
  readonly maxBodyBytes: number;
  /** Time from the start of a connection, or request, to the end of its handshake, or body. API servers wait for 10 s by default. */
  readonly requestMs: number;
  /** A connection without a request. */
  readonly idleMs: number;
  /** Time from the start of a drain to the end of everything open. */
  readonly graceMs: number;
}

export const WEBHOOK_LIMITS: WebhookLimits = {
  maxConnections: 256,
  maxRequests: 64,
  maxBodyBytes: 4 << 20,
  requestMs: 10_000,
  idleMs: 120_000,
  graceMs: 10_000,
};

export const WEBHOOK_REFUSALS = ['path', 'method', 'type', 'length', 'late', 'overload', 'review', 'failure'] as const;
/** Why a call gets no review. */
export type WebhookRefusal = (typeof WEBHOOK_REFUSALS)[number];

/** An unintelligible review: its caller is told why. */
export class ReviewProblem extends Error {
  override readonly name = 'ReviewProblem';
}

export interface WebhookDeps {
  /** Answers a review, both as JSON values. May throw or reject with a ReviewProblem. */
  readonly review: (asked: unknown) => Promise<object> | object;
  readonly refused: (reason: WebhookRefusal) => void;
  /** An internal error in a review. */
  readonly failed: (error: unknown) => void;
}

type Request = IncomingMessage | Http2ServerRequest;
type Response = ServerResponse | Http2ServerResponse;

const PATH = '/inject';

class Refused extends Error {
  constructor(
    readonly reason: WebhookRefusal,
    readonly status: number,
    message: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
  }
}

export class Webhook {
  readonly #server: Http2SecureServer;
  readonly #connections: WebhookConnections;
  #requests = 0;

  constructor(
    certificate: ServingCertificate,
    private readonly deps: WebhookDeps,
    private readonly limits: WebhookLimits = WEBHOOK_LIMITS,
  ) {
    this.#server = createSecureServer({
      ...certificate,
      allowHTTP1: true,
      minVersion: 'TLSv1.2',
      handshakeTimeout: limits.requestMs,
      settings: { maxConcurrentStreams: limits.maxRequests, enablePush: false },
    });
    this.#connections = new WebhookConnections(this.#server, limits);
    this.#server.on('request', (request, response) => {
      this.#connections.begun(request, response);
      this.#answer(request, response).catch(() => response.destroy());
    });
  }

  /** New connections use this one; existing ones continue. */
  use(certificate: ServingCertificate): void {
    this.#server.setSecureContext({ ...certificate, minVersion: 'TLSv1.2' });
  }

  get port(): number {
    return portOf(this.#server);
  }

  get connections(): number {
    return this.#connections.size;
  }

  listen(place: Address): Promise<void> {
    return listenOn(this.#server, place, 'for reviews on');
  }

  /** Accepts no more connections; open requests finish, or are cut off after a while. Returns whether none was. */
  close(): Promise<boolean> {
    return this.#connections.close();
  }

  async #answer(request: Request, response: Response): Promise<void> {
    try {
      const answer = JSON.stringify(await this.#reviewed(request));
      send(response, 200, 'application/json', answer);
    } catch (error) {
      const refused = error instanceof Refused ? error : this.#failure(error);
      this.deps.refused(refused.reason);
      refuse(request, response, refused);
    }
  }

  #failure(error: unknown): Refused {
    if (error instanceof ReviewProblem) return new Refused('review', 400, error.message);
    this.deps.failed(error);
    return new Refused('failure', 500, 'the review failed; the log of the controller says why');
  }

  async #reviewed(request: Request): Promise<object> {
    const path = (request.url ?? '').split('?', 1)[0];
    if (path !== PATH) throw new Refused('path', 404, `the only path is ${PATH}`);
    if (request.method !== 'POST') throw new Refused('method', 405, 'only POST is allowed here', { allow: 'POST' });
    const type = request.headers['content-type'] ?? '';
    if (!/^application\/json *(;|$)/i.test(type))
      throw new Refused('type', 415, `${type === '' ? 'no content type' : type}; reviews are application/json`);
    if (this.#requests >= this.limits.maxRequests)
      throw new Refused('overload', 503, 'too many reviews at present', { 'retry-after': '1' });
    this.#requests++;
    try {
      return await this.deps.review(parsed(await this.#body(request)));
    } finally {
      this.#requests--;
    }
  }

  async #body(request: Request): Promise<string> {
    const late = new Refused('late', 408, `the body did not come within ${this.limits.requestMs} ms`);
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(late), this.limits.requestMs);
    });
    try {
      return await Promise.race([collected(request, this.limits.maxBodyBytes), timeout]);
    } finally {
      clearTimeout(timer);
    }
  }
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch (error) {
    throw new ReviewProblem(`the body is not valid JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function collected(request: Request, max: number): Promise<string> {
  const tooLong = new Refused('length', 413, `the body has more than ${max} bytes`);
  if (Number(request.headers['content-length'] ?? 0) > max) return Promise.reject(tooLong);
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > max) reject(tooLong);
      else chunks.push(chunk);
    });
    request.on('end', () => resolve(Buffer.concat(chunks).toString()));
    // A caller that aborts reads no answer.
    for (const gone of ['error', 'aborted', 'close'] as const)
      request.on(gone, () => reject(new Refused('late', 408, 'the body was cut off')));
  });
}

function send(
  response: Response,
  status: number,
  type: string,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.statusCode = status;
  for (const [name, value] of Object.entries({ ...headers, 'content-type': type, 'cache-control': 'no-store' }))
    response.setHeader(name, value);
  response.setHeader('content-length', Buffer.byteLength(body));
  response.end(body);
}

/** Nothing more is read from a refused caller. */
function refuse(request: Request, response: Response, { status, message, headers }: Refused): void {
  if (response.destroyed || response.headersSent) return;
  request.removeAllListeners('data');
  const { socket } = request;
  if ('stream' in response) {
    const { stream } = response;
    // A response over HTTP/2 finishes when its stream is closed, which this does.
    stream.once('finish', () => stream.close(constants.NGHTTP2_NO_ERROR));
    send(response, status, 'text/plain; charset=utf-8', `${message}\n`, headers);
    return;
  }
  response.once('finish', () => socket.destroySoon());
  send(response, status, 'text/plain; charset=utf-8', `${message}\n`, { ...headers, connection: 'close' });
}
