// HTTP/2 requests of Node's own client, and how they came out.
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import { connect as dial, type Socket } from 'node:net';
import { PatternCheck } from '../pattern.js';
import type { Random } from '../random.js';
import { TIMEOUT_MS } from './limits.js';
import type { Listener } from './listeners.js';
import { writePattern } from './upstreams.js';

/** Of connections that last, to each listener. */
const KEPT = 3;

/** A connection of its own, and the socket under it. */
export function openSession(port: number): { session: ClientHttp2Session; socket: Socket } {
  const socket = dial({ port, host: '127.0.0.1', noDelay: true });
  const session = connect(`http://127.0.0.1:${port}`, { createConnection: () => socket, maxSessionMemory: 64 });
  session.on('error', () => socket.destroy()); // the streams tell
  return { session, socket };
}

/** Connections that many streams share. One that is lost is replaced. */
export class Sessions {
  readonly #kept = new Map<string, ClientHttp2Session>();

  constructor(
    private readonly ports: Readonly<Record<Listener, number>>,
    private readonly random: Random,
  ) {}

  any(listener: Listener): ClientHttp2Session {
    const name = `${listener} ${this.random.integer(1, KEPT)}`;
    const kept = this.#kept.get(name);
    if (kept && !kept.closed && !kept.destroyed) return kept;
    const { session } = openSession(this.ports[listener]);
    this.#kept.set(name, session);
    return session;
  }

  close(): void {
    for (const session of this.#kept.values()) session.destroy();
  }
}

export interface Outcome {
  /** 0: none came. */
  readonly status: number;
  /** Of the proxy, where it has answered itself. */
  readonly reason: string;
  readonly received: number;
  /** Why the response did not come to its end; empty if it did. */
  readonly failure: string;
}

export interface Body {
  readonly size: number;
  readonly chunk: number;
}

export function open(session: ClientHttp2Session, path: string, body?: Body): ClientHttp2Stream {
  const headers = { ':path': path, ':method': body ? 'POST' : 'GET' };
  const stream = session.request(headers, { endStream: !body });
  if (body) writePattern(stream, body.size, body.chunk, () => stream.end());
  return stream;
}

/** Ends a stream whose response is not 200: its body is somebody else's. */
export function expectOk(stream: ClientHttp2Stream): void {
  stream.once('response', (fields) => {
    const status = Number(fields[':status']);
    if (status !== 200) stream.destroy(new Error(`status ${status} ${fields['sluice-error'] ?? ''}`));
  });
}

/**
 * The response, whose body is to be the pattern; `pause` says for how many milliseconds not to read on. Rejects where bytes are wrong
 * and where nothing happens; every other failure is an outcome.
 */
export function outcome(stream: ClientHttp2Stream, pause?: () => number): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const check = new PatternCheck();
    let status = 0;
    let reason = '';
    let failure = '';
    let ended = false;
    const wrong = (error: unknown): void => {
      reject(error instanceof Error ? error : new Error(String(error)));
      stream.close(constants.NGHTTP2_CANCEL);
    };
    stream.setTimeout(TIMEOUT_MS, () => wrong(new Error(`silence of ${TIMEOUT_MS} ms after ${check.received} bytes`)));
    stream.once('response', (fields) => {
      status = Number(fields[':status']);
      reason = String(fields['sluice-error'] ?? '');
    });
    stream.on('data', (chunk: Buffer) => {
      if (status !== 200) return;
      try {
        check.feed(chunk);
      } catch (error) {
        wrong(error);
      }
      const ms = pause?.() ?? 0;
      if (ms === 0) return;
      stream.pause();
      setTimeout(() => stream.resume(), ms);
    });
    stream.once('end', () => {
      ended = true;
    });
    stream.once('error', (error: Error) => {
      failure = error.message;
    });
    stream.once('close', () => {
      const cut = !ended || stream.aborted || stream.rstCode !== constants.NGHTTP2_NO_ERROR;
      if (failure === '' && cut) failure = `cut off with code ${stream.rstCode}`;
      resolve({ status, reason, received: check.received, failure });
    });
  });
}
