// The access log: one JSON line a request or opaque connection, off by default. Lines are collected and written once in a
// while, off the path of the request; what the reader does not take waits, and beyond a bound is dropped and counted.
import { writeSync } from 'node:fs';
import { CLOSE_REASONS, W } from '../metrics/layout.js';

const FLUSH_MS = 200;
/** When a full pipe is tried again. */
const RETRY_MS = 5;
/** How often (and ms between) it is tried at the end. */
const LAST_TRIES = 100;
const MAX_PENDING = 1024 * 1024;
const STDERR = 2;
/** PIPE_BUF: what a pipe takes in one piece, so that the lines of several writers are not mixed (pipe(7)). */
const PIECE_BYTES = 4096;
/** How often the rest of a line that a full pipe took half of is tried again. */
const MAX_TRIES = 1000;

/** What this needs of the worker's context. */
interface Shared {
  readonly values: Float64Array;
  readonly reactor: { readonly now: number };
  readonly native: { peerName(fd: number): string };
  readonly sockets: { readonly fd: Int32Array };
  readonly endpoints: { readonly address: readonly string[] };
  readonly connections: {
    readonly relayedTo: ArrayLike<number>;
    readonly read: Float64Array;
    readonly written: Float64Array;
    readonly opened: Float64Array;
  };
}

export class AccessLog {
  private lines: string[] = [];
  private pending = 0;
  private timer: NodeJS.Timeout | undefined;
  private readonly never = new Int32Array(new SharedArrayBuffer(4));

  constructor(private readonly context: Shared) {}

  /** An opaque connection has ended. */
  connection(client: number, reason: number): void {
    const { reactor, endpoints, native, sockets, connections } = this.context;
    const endpoint = connections.relayedTo[client];
    const upstream = endpoint < 0 ? '' : endpoints.address[endpoint];
    this.write(
      `{"time":"${new Date().toISOString()}","level":"info","message":"connection","client":"${native.peerName(sockets.fd[client])}",` +
        `"upstream":"${upstream}","closed":"${CLOSE_REASONS[reason]}","received":${connections.read[client]},` +
        `"sent":${connections.written[client]},"ms":${(reactor.now - connections.opened[client]).toFixed(3)}}\n`,
    );
  }

  /** Writes what is pending, as far as the reader takes it. `last`: there is no later, what is not taken soon is dropped. */
  flush(last = false): void {
    if (this.timer !== undefined) clearTimeout(this.timer);
    this.timer = undefined;
    const { lines } = this;
    let done = 0;
    for (let tries = 0; done < lines.length; ) {
      let next = done;
      let piece = '';
      do piece += lines[next++];
      while (next < lines.length && piece.length + lines[next].length <= PIECE_BYTES);
      if (this.put(piece)) {
        done = next;
        this.pending -= piece.length;
      } else if (last && tries++ < LAST_TRIES) Atomics.wait(this.never, 0, 0, 1);
      else break;
    }
    this.lines = done === lines.length ? [] : lines.slice(done);
    if (this.lines.length === 0) return;
    if (last) this.context.values[W.ACCESS_LOG_DROPPED] += this.lines.length;
    else this.timer = setTimeout(() => this.flush(), RETRY_MS).unref();
  }

  /** An exchange has ended. `what`: its method, target and host; `more`: further members, each after a comma. */
  request(socket: number, what: string, status: number, endpoint: number, elapsed: number, more: string): void {
    const { endpoints, native, sockets } = this.context;
    const upstream = endpoint < 0 ? '' : endpoints.address[endpoint];
    const client = socket < 0 ? '' : native.peerName(sockets.fd[socket]);
    this.write(
      `{"time":"${new Date().toISOString()}","level":"info","message":"request","client":"${client}",` +
        `${what},"status":${status},"upstream":"${upstream}","ms":${elapsed.toFixed(3)}${more}}\n`,
    );
  }

  /** Writes whole lines; false if none of it was taken. What was begun is finished, or the next line would be joined to half of one. */
  private put(piece: string): boolean {
    const bytes = Buffer.from(piece, 'latin1');
    let at = 0;
    for (let tries = 0; at < bytes.length && tries < MAX_TRIES; ) {
      try {
        at += writeSync(STDERR, bytes, at);
      } catch {
        // A full pipe or nobody there: a log must not hold up traffic.
        if (at === 0) return false;
        tries++;
      }
    }
    return true;
  }

  private write(line: string): void {
    if (this.pending > MAX_PENDING) {
      this.context.values[W.ACCESS_LOG_DROPPED]++;
      return;
    }
    this.lines.push(line);
    this.pending += line.length;
    this.timer ??= setTimeout(() => this.flush(), FLUSH_MS).unref();
  }
}
