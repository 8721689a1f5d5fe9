// Writes the access log: lines of JSON, off by default. They are collected and written now and then, off the request path; what the reader
// does not take waits, and over a limit is dropped and counted.
import { writeSync } from 'node:fs';
import { W } from '../metrics/layout.js';

const FLUSH_MS = 200;
/** When to retry a full pipe. */
const RETRY_MS = 5;
/** Number of attempts (one per ms) at the end. */
const LAST_TRIES = 100;
const MAX_PENDING = 1024 * 1024;
const STDERR = 2;
/** PIPE_BUF: what a pipe takes atomically, so that lines of several writers do not mix (pipe(7)). */
const PIECE_BYTES = 4096;
/** How often to retry the rest of a partly written line. */
const MAX_TRIES = 1000;

export class AccessLog {
  private lines: string[] = [];
  /** Size of each line, bytes. */
  private sizes: number[] = [];
  private pending = 0;
  private timer: NodeJS.Timeout | undefined;
  private readonly flushLater = (): void => this.flush();
  private readonly never = new Int32Array(new SharedArrayBuffer(4));

  /** `later` runs a function after that many ms. */
  constructor(
    private readonly values: Float64Array,
    private readonly later: (ms: number, run: () => void) => NodeJS.Timeout,
  ) {}

  /** Writes what is pending, as far as the reader takes it. `last`: the final call; what is not taken soon is dropped. */
  flush(last = false): void {
    if (this.timer !== undefined) clearTimeout(this.timer);
    this.timer = undefined;
    const { lines, sizes } = this;
    let done = 0;
    for (let tries = 0; done < lines.length; ) {
      let next = done;
      let piece = '';
      let size = 0;
      do {
        piece += lines[next];
        size += sizes[next++];
      } while (next < lines.length && size + sizes[next] <= PIECE_BYTES);
      if (this.put(piece)) {
        done = next;
        this.pending -= size;
      } else if (last && tries++ < LAST_TRIES) Atomics.wait(this.never, 0, 0, 1);
      else break;
    }
    this.lines = done === lines.length ? [] : lines.slice(done);
    this.sizes = done === lines.length ? [] : sizes.slice(done);
    if (this.lines.length === 0) return;
    if (last) this.values[W.ACCESS_LOG_DROPPED] += this.lines.length;
    else this.timer = this.later(RETRY_MS, this.flushLater);
  }

  /** Adds a line: the members of an object, without its braces, time and level. */
  write(members: string): void {
    if (this.pending > MAX_PENDING) {
      this.values[W.ACCESS_LOG_DROPPED]++;
      return;
    }
    const line = `{"time":"${new Date().toISOString()}","level":"info",${members}}\n`;
    const bytes = Buffer.byteLength(line);
    this.lines.push(line);
    this.sizes.push(bytes);
    this.pending += bytes;
    this.timer ??= this.later(FLUSH_MS, this.flushLater);
  }

  /** Writes whole lines; false if nothing was taken. A partly written line is finished, or the next one would be joined to it. */
  private put(piece: string): boolean {
    const bytes = Buffer.from(piece);
    let at = 0;
    for (let tries = 0; at < bytes.length && tries < MAX_TRIES; ) {
      try {
        at += writeSync(STDERR, bytes, at);
      } catch {
        // A full pipe, or no reader: a log must not delay traffic.
        if (at === 0) return false;
        tries++;
      }
    }
    return true;
  }
}
