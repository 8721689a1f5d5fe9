// One HTTP/2 session for all calls and watches. Plain node:http2, because an agent only adds a choice among sessions, and there is one.
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { Received, Sent, Wire, WireTimes } from './wire.js';

/** Watches are read as they arrive; a list must not wait for a round trip per 64 KiB. */
const STREAM_WINDOW = 1 << 20;
const SESSION_WINDOW = 4 << 20;
/** How long calls may continue after a GOAWAY. */
const LEAVE_MS = 30_000;

export class Http2Wire implements Wire {
  readonly protocol = 'h2';
  readonly #session: ClientHttp2Session;
  readonly #pings: NodeJS.Timeout;
  #leaving = false;
  /** Why it was given up. */
  #lost: Error | null = null;

  constructor(server: URL, socket: TLSSocket, times: WireTimes) {
    const session = connect(server, {
      createConnection: () => socket,
      settings: { enablePush: false, initialWindowSize: STREAM_WINDOW },
    });
    this.#session = session;
    session.once('connect', () => session.setLocalWindowSize(SESSION_WINDOW));
    // Streams fail with the same error; their users are told there.
    session.on('error', (error) => {
      this.#lost ??= error;
    });
    session.on('goaway', () => this.leave());
    session.once('close', () => clearInterval(this.#pings));
    this.#pings = setInterval(() => this.#ping(times.pingTimeoutMs), times.pingMs).unref();
  }

  get ended(): boolean {
    return this.#leaving || this.#session.closed || this.#session.destroyed;
  }

  send({ method, path, headers, body }: Sent, signal: AbortSignal): Promise<Received> {
    return new Promise((resolve, reject) => {
      const stream = this.#session.request(
        { ':method': method, ':path': path, ...headers },
        { endStream: body === null },
      );
      const abort = (): void => {
        stream.close(constants.NGHTTP2_CANCEL);
        reject(signal.reason);
      };
      if (signal.aborted) abort();
      else signal.addEventListener('abort', abort, { once: true });
      stream.once('response', (fields) => {
        const retryAfter = fields['retry-after'];
        const body = whole(stream, () => this.#lost);
        resolve({ status: Number(fields[':status']), retryAfter, body, discard: () => stream.destroy() });
      });
      stream.on('error', reject);
      stream.once('close', () => {
        signal.removeEventListener('abort', abort);
        reject(this.#lost ?? new Error('the server ended the connection without an answer'));
      });
      if (body !== null) stream.end(body);
    });
  }

  /** An ending session sends no pings, so nobody would notice its death: what is still on it has to move. */
  leave(): void {
    if (this.#leaving) return;
    this.#leaving = true;
    const end = setTimeout(() => this.#session.destroy(), LEAVE_MS).unref();
    this.#session.once('close', () => clearTimeout(end));
    this.#session.close();
  }

  destroy(): void {
    this.#session.destroy();
  }

  #ping(timeoutMs: number): void {
    if (this.#session.destroyed) return;
    const late = setTimeout(() => {
      this.#lost = new Error(`no answer to a ping within ${timeoutMs} ms`);
      this.#session.destroy(this.#lost);
    }, timeoutMs).unref();
    const sent = this.#session.ping(() => clearTimeout(late));
    if (!sent) clearTimeout(late);
  }
}

/**
 * The content of the stream. A stream reset without an error, as with CANCEL, or by the end of its connection, would otherwise look
 * complete.
 */
async function* whole(stream: ClientHttp2Stream, lost: () => Error | null): AsyncGenerator<Buffer> {
  const closed = new Promise((resolve) => stream.once('close', resolve));
  yield* stream;
  await closed;
  if (stream.rstCode !== constants.NGHTTP2_NO_ERROR) throw lost() ?? new Error('the answer was cut off');
}
