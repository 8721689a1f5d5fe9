// Sends encoded messages to a collector by OTLP/HTTP (opentelemetry.io/docs/specs/otlp): one request at a time, from a bounded queue. Callers
// never wait. Failures only appear in the counts.
import { request as plainRequest } from 'node:http';
import { request as tlsRequest } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { Backoff } from '../identity/backoff.js';
import { Reader } from '../protobuf/reader.js';

export interface ExporterOptions {
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** Maximum size of the queue, bytes. Messages that do not fit are dropped. */
  readonly maxQueuedBytes?: number;
  /** Timeout of one request. */
  readonly timeoutMs?: number;
  /** Attempts per message before it is dropped. */
  readonly attempts?: number;
  /** Delay before the second attempt; doubles up to `maxDelayMs`. */
  readonly minDelayMs?: number;
  readonly maxDelayMs?: number;
  readonly random?: () => number;
  /** Called with a problem, once for each kind in a row; null: it works again. */
  readonly onTrouble?: (trouble: string | null) => void;
}

export interface ExporterCounts {
  /** Messages that the collector accepted. */
  sent: number;
  /** Lost messages: no room, refused, or too many attempts. */
  dropped: number;
  /** Failed attempts that were followed by another. */
  retries: number;
  /** Spans or points that it rejected in messages that it accepted. */
  rejected: number;
}

interface Reply {
  readonly status: number;
  readonly body: Buffer;
  readonly retryAfterMs: number | null;
}

/** Statuses after which a client should retry, by the specification. */
const RETRYABLE = new Set([429, 502, 503, 504]);
const MAX_QUEUED_BYTES = 4 * 1024 * 1024;
const MAX_REPLY_BYTES = 64 * 1024;
const MAX_RETRY_AFTER_MS = 60_000;

export class OtlpExporter {
  readonly counts: ExporterCounts = { sent: 0, dropped: 0, retries: 0, rejected: 0 };
  readonly #options: Required<ExporterOptions>;
  readonly #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #working = false;
  #closed = false;
  #trouble: string | null = null;
  /** Aborts the current request or wait. */
  readonly #abort = new AbortController();
  readonly #idle: (() => void)[] = [];

  constructor(options: ExporterOptions) {
    this.#options = {
      headers: {},
      maxQueuedBytes: MAX_QUEUED_BYTES,
      timeoutMs: 10_000,
      attempts: 5,
      minDelayMs: 1000,
      maxDelayMs: 30_000,
      random: Math.random,
      onTrouble: () => undefined,
      ...options,
    };
  }

  /** Queues a message encoded as protocol buffers. False: it was dropped. */
  offer(body: Uint8Array): boolean {
    if (this.#closed || this.#queuedBytes + body.length > this.#options.maxQueuedBytes) {
      this.counts.dropped++;
      if (!this.#closed) this.#report('the queue for it is full');
      return false;
    }
    this.#queue.push(body);
    this.#queuedBytes += body.length;
    if (!this.#working) void this.#work();
    return true;
  }

  /** The last problem; null: none, or it works again. */
  get trouble(): string | null {
    return this.#trouble;
  }

  /** Whether any message is queued or being sent. */
  get busy(): boolean {
    return this.#working;
  }

  /** Resolves when the queue is empty, whether messages were sent or dropped. */
  idle(): Promise<void> {
    if (!this.#working) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Accepts no more messages, waits up to `graceMs` for the queue, and drops the rest. */
  async close(graceMs: number): Promise<void> {
    this.#closed = true;
    const late = setTimeout(() => this.#abort.abort(), graceMs);
    await this.idle();
    clearTimeout(late);
  }

  async #work(): Promise<void> {
    this.#working = true;
    for (let body = this.#queue[0]; body !== undefined; body = this.#queue[0]) {
      if (await this.#deliver(body)) this.counts.sent++;
      else this.counts.dropped++;
      this.#queue.shift();
      this.#queuedBytes -= body.length;
    }
    this.#working = false;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  async #deliver(body: Uint8Array): Promise<boolean> {
    const { attempts, minDelayMs, maxDelayMs, random } = this.#options;
    const backoff = new Backoff(minDelayMs, maxDelayMs, random);
    for (let attempt = 1; !this.#abort.signal.aborted; attempt++) {
      let retryAfterMs: number | null = null;
      try {
        const reply = await this.#post(body);
        if (reply.status >= 200 && reply.status < 300) {
          this.#taken(reply.body);
          return true;
        }
        this.#report(`it answers ${reply.status}${said(reply.body)}`);
        if (!RETRYABLE.has(reply.status)) return false;
        retryAfterMs = reply.retryAfterMs;
      } catch (error) {
        this.#report(error instanceof Error ? error.message || String(error.cause ?? error.name) : String(error));
      }
      if (attempt >= attempts) return false;
      this.counts.retries++;
      await sleep(retryAfterMs ?? backoff.next(), undefined, { signal: this.#abort.signal }).catch(() => undefined);
    }
    return false;
  }

  /** A collector may accept a request and reject some of its content. */
  #taken(body: Buffer): void {
    let trouble: string | null = null;
    try {
      const reader = new Reader(body);
      while (reader.next()) {
        if (reader.field !== 1) continue;
        const partial = reader.message();
        let why = '';
        let rejected = 0;
        while (partial.next()) {
          if (partial.field === 1) rejected = Number(partial.uint64());
          if (partial.field === 2) why = partial.string();
        }
        this.counts.rejected += rejected;
        if (rejected > 0) trouble = `it refused ${rejected} of the items sent: ${why}`;
      }
    } catch {
      // It accepted the message. The rest of its answer does not matter.
    }
    this.#report(trouble);
  }

  #report(trouble: string | null): void {
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    this.#options.onTrouble(trouble);
  }

  #post(body: Uint8Array): Promise<Reply> {
    const { url, headers, timeoutMs } = this.#options;
    const request = url.protocol === 'https:' ? tlsRequest : plainRequest;
    return new Promise((resolve, reject) => {
      const sent = request(url, {
        method: 'POST',
        headers: { ...headers, 'Content-Type': 'application/x-protobuf', 'Content-Length': body.length },
        signal: this.#abort.signal,
      });
      // Not a socket timeout: a collector that sends one byte a second would never run into it.
      const late = setTimeout(() => sent.destroy(new Error(`no answer in ${timeoutMs} ms`)), timeoutMs);
      sent.once('close', () => clearTimeout(late));
      sent.once('error', reject);
      sent.once('response', (response) => {
        const chunks: Buffer[] = [];
        let length = 0;
        response.on('data', (chunk: Buffer) => {
          length += chunk.length;
          if (length <= MAX_REPLY_BYTES) chunks.push(chunk);
          else sent.destroy(new Error('its answer is too long'));
        });
        response.once('error', reject);
        response.once('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            body: Buffer.concat(chunks),
            retryAfterMs: retryAfter(response.headers['retry-after']),
          }),
        );
      });
      sent.end(body);
    });
  }
}

/** Seconds, or a date. */
function retryAfter(value: string | undefined): number | null {
  if (value === undefined) return null;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isNaN(ms) ? null : Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS);
}

/** The message in an error response: a google.rpc.Status, or plain text. */
function said(body: Buffer): string {
  try {
    const status = new Reader(body);
    while (status.next()) if (status.field === 2) return `: ${status.string()}`;
  } catch {
    const text = body.toString('utf8').trim();
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are not shown.
    if (text !== '' && !/[\x00-\x08\x0e-\x1f\ufffd]/.test(text)) return `: ${text.slice(0, 200)}`;
  }
  return '';
}
