// A small Kubernetes API client: JSON objects, one connection, every call limited in time and size.
import type { ApiAccess } from './access.js';
import { Connection } from './connection.js';
import { isObject, type JsonObject, objectIn, objectsIn, textIn } from './json.js';
import { ApiProblem, type Call, problemOfAnswer, problemOfError } from './problem.js';
import { readEvent, type WatchEvent } from './watch-event.js';
import { WatchLines } from './watch-lines.js';
import type { Received, WireTimes } from './wire.js';

export interface ClientLimits extends WireTimes {
  /** Timeout of a whole call, or of the beginning of a watch, ms. */
  readonly callMs: number;
  /** Maximum size of an answer other than a list. */
  readonly maxAnswerBytes: number;
  /** Of one page of a list. */
  readonly maxPageBytes: number;
  /** Maximum size of a watch event: etcd stores objects of up to 1.5 MiB, which JSON may double. */
  readonly maxEventBytes: number;
  /** A watch that has been silent for this long, without even a bookmark, is abandoned, ms. */
  readonly silenceMs: number;
}

export const CLIENT_LIMITS: ClientLimits = {
  connectMs: 5000,
  pingMs: 15_000,
  pingTimeoutMs: 10_000,
  callMs: 30_000,
  maxAnswerBytes: 4 << 20,
  maxPageBytes: 64 << 20,
  maxEventBytes: 8 << 20,
  silenceMs: 180_000,
};

/** Query parameters; undefined ones are omitted. */
export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

/** Kinds of patches: RFC 7386, RFC 6902, and Kubernetes's own two. */
export type PatchKind = 'merge' | 'json' | 'strategic' | 'apply';

const PATCH_TYPES: Readonly<Record<PatchKind, string>> = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
};

export interface ApiPage {
  readonly items: readonly JsonObject[];
  readonly version: string;
  /** Start of the next page; empty: this is the last. */
  readonly next: string;
}

/** Gets the events of a watch, in order. */
export interface WatchSink {
  opened(): void;
  event(event: WatchEvent): void;
}

interface Asked {
  readonly body?: object;
  readonly type?: string;
  readonly maxBytes: number;
  readonly signal?: AbortSignal | undefined;
}

const AGENT = 'sluice';

export class ApiClient {
  readonly #connection: Connection;
  readonly #limits: ClientLimits;
  /** Calls in progress. */
  readonly #calls = new Set<CallTimeout>();

  constructor(
    private readonly access: ApiAccess,
    limits: Partial<ClientLimits> = {},
  ) {
    this.#limits = { ...CLIENT_LIMITS, ...limits };
    this.#connection = new Connection(access, this.#limits);
  }

  /** The server's protocol; null without a connection. */
  get protocol(): 'h2' | 'http/1.1' | null {
    return this.#connection.protocol;
  }

  /** Every call rejects with an ApiProblem. Paths begin with `/api`; `query` is appended. */
  get(path: string, query: Query = {}): Promise<JsonObject> {
    return this.#object('GET', path, query);
  }

  /** `path` is that of the collection. */
  create(path: string, object: object): Promise<JsonObject> {
    return this.#object('POST', path, {}, object);
  }

  /** 409 if somebody else has changed it since it was read. */
  replace(path: string, object: object): Promise<JsonObject> {
    return this.#object('PUT', path, {}, object);
  }

  patch(path: string, change: object, kind: PatchKind, query: Query = {}): Promise<JsonObject> {
    return this.#object('PATCH', path, query, change, PATCH_TYPES[kind]);
  }

  delete(path: string): Promise<JsonObject> {
    return this.#object('DELETE', path, {});
  }

  /** One page of a collection: `limit` and `continue` are in the query. */
  async list(path: string, query: Query = {}, signal?: AbortSignal): Promise<ApiPage> {
    const call = { method: 'GET', path };
    const answer = await this.#json(call, query, { maxBytes: this.#limits.maxPageBytes, signal });
    if (!Array.isArray(answer.items)) throw new ApiProblem(call, 'garbage', 0, '', 'an answer that is not a list');
    const metadata = objectIn(answer, 'metadata');
    const version = textIn(metadata, 'resourceVersion');
    return { items: objectsIn(answer, 'items'), version, next: textIn(metadata, 'continue') };
  }

  /** Resolves when the server has ended the watch, as it does from time to time. */
  async watch(path: string, query: Query, sink: WatchSink, signal?: AbortSignal): Promise<void> {
    const call = { method: 'WATCH', path };
    const { callMs, silenceMs, maxAnswerBytes } = this.#limits;
    const timeout = new CallTimeout(call, signal, this.#calls);
    try {
      timeout.within(callMs);
      const answer = await this.#send({ method: 'GET', path }, { ...query, watch: true }, { maxBytes: 0 }, timeout);
      if (answer.status !== 200) throw await this.#refusal(call, answer, maxAnswerBytes);
      sink.opened();
      timeout.within(silenceMs, 'no event');
      await this.#events(call, answer.body, sink, () => timeout.within(silenceMs, 'no event'));
    } catch (error) {
      throw timeout.problem(error);
    } finally {
      timeout.end();
    }
  }

  /** Ends everything in progress. */
  close(): void {
    for (const call of [...this.#calls]) call.giveUp();
    this.#connection.close();
  }

  async #events(call: Call, body: Received['body'], sink: WatchSink, alive: () => void): Promise<void> {
    const lines = new WatchLines(this.#limits.maxEventBytes);
    const take = (line: string): void => {
      const event = readEvent(line);
      if (event === null) throw new ApiProblem(call, 'garbage', 0, '', `no event: ${line.slice(0, 100)}`);
      sink.event(event);
    };
    for await (const chunk of body) {
      alive();
      if (lines.push(chunk, take)) continue;
      const most = this.#limits.maxEventBytes;
      throw new ApiProblem(call, 'too-large', 0, '', `an event of more than ${most} bytes`);
    }
    if (lines.pending > 0) throw new ApiProblem(call, 'unreachable', 0, '', 'the watch ended within an event');
  }

  #object(method: string, path: string, query: Query, body?: object, type = 'application/json'): Promise<JsonObject> {
    const { maxAnswerBytes: maxBytes } = this.#limits;
    return this.#json({ method, path }, query, body === undefined ? { maxBytes } : { body, type, maxBytes });
  }

  async #json(call: Call, query: Query, asked: Asked): Promise<JsonObject> {
    const timeout = new CallTimeout(call, asked.signal, this.#calls);
    try {
      timeout.within(this.#limits.callMs);
      const answer = await this.#send(call, query, asked, timeout);
      if (answer.status < 200 || answer.status > 299) throw await this.#refusal(call, answer, asked.maxBytes);
      return parsed(call, await collected(call, answer.body, asked.maxBytes));
    } catch (error) {
      throw timeout.problem(error);
    } finally {
      timeout.end();
    }
  }

  async #refusal(call: Call, { status, retryAfter, body }: Received, maxBytes: number): Promise<ApiProblem> {
    // The problem is reported even if its text can't be read.
    const text = await collected(call, body, maxBytes).catch(() => '');
    return problemOfAnswer(call, status, text, retryAfter);
  }

  /** Repeats the call if the server does not accept our token, which may have been replaced meanwhile. */
  async #send(call: Call, query: Query, asked: Asked, timeout: CallTimeout): Promise<Received> {
    const authorization = this.#authorization(call);
    const answer = await this.#sendOnce(call, query, asked, authorization, timeout);
    if (answer.status !== 401) return answer;
    this.access.refused();
    const other = this.#authorization(call);
    if (other === authorization) return answer;
    answer.discard();
    return this.#sendOnce(call, query, asked, other, timeout);
  }

  #sendOnce(
    call: Call,
    query: Query,
    asked: Asked,
    authorization: string | null,
    timeout: CallTimeout,
  ): Promise<Received> {
    const { body, type = 'application/json' } = asked;
    const sent = {
      method: call.method,
      path: withQuery(call.path, query),
      headers: {
        accept: 'application/json',
        'user-agent': AGENT,
        ...(authorization === null ? {} : { authorization }),
        ...(body === undefined ? {} : { 'content-type': type }),
      },
      body: body === undefined ? null : JSON.stringify(body),
    };
    return this.#connection.send(sent, timeout.signal);
  }

  #authorization(call: Call): string | null {
    try {
      return this.access.authorization();
    } catch (error) {
      throw new ApiProblem(call, 'credentials', 0, '', error instanceof Error ? error.message : String(error));
    }
  }
}

/** Timeout and cancellation of a call. */
class CallTimeout {
  readonly #controller = new AbortController();
  #timer: NodeJS.Timeout | null = null;
  #late: string | null = null;
  #givenUp = false;

  constructor(
    private readonly call: Call,
    private readonly outer: AbortSignal | undefined,
    private readonly all: Set<CallTimeout>,
  ) {
    all.add(this);
    if (outer?.aborted) this.giveUp();
    outer?.addEventListener('abort', this.giveUp, { once: true });
  }

  readonly giveUp = (): void => {
    this.#givenUp = true;
    this.#controller.abort();
  };

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** From now. */
  within(ms: number, what = 'no whole answer'): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#late = `${what} within ${ms} ms`;
      this.#controller.abort();
    }, ms);
  }

  /** The cause of a failure; ends whatever is still in progress. */
  problem(error: unknown): ApiProblem {
    this.#controller.abort();
    if (this.#late !== null) return new ApiProblem(this.call, 'timeout', 0, '', this.#late);
    if (this.#givenUp) return new ApiProblem(this.call, 'closed', 0, '', 'given up');
    return problemOfError(this.call, error);
  }

  end(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.outer?.removeEventListener('abort', this.giveUp);
    this.all.delete(this);
  }
}

/** A query keeps what the path may already have. */
function withQuery(path: string, query: Query): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, String(value));
  const text = parameters.toString();
  return text === '' ? path : `${path}${path.includes('?') ? '&' : '?'}${text}`;
}

async function collected(call: Call, body: Received['body'], maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > maxBytes) throw new ApiProblem(call, 'too-large', 0, '', `an answer of more than ${maxBytes} bytes`);
  }
  return Buffer.concat(chunks, length).toString();
}

function parsed(call: Call, text: string): JsonObject {
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value)) return value;
  } catch {
    // Reported below.
  }
  throw new ApiProblem(call, 'garbage', 0, '', 'an answer that is not valid JSON');
}
