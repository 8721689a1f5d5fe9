// Writes the access log: lines of JSON, off by default. They are collected and written once in a while, off the path of the request;
// what the reader does not take waits, and beyond a bound is dropped and counted.
import { writeSync } from 'node:fs';
import { W } from '../metrics/layout.js';

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

export class AccessLog {
  private lines: string[] = [];
  /** Of each line, bytes. */
  private sizes: number[] = [];
  private pending = 0;
  private timer: NodeJS.Timeout | undefined;
  private readonly flushLater = (): void => this.flush();
  private readonly never = new Int32Array(new SharedArrayBuffer(4));

  /** `later` runs a function in so many ms. */
  constructor(
    private readonly values: Float64Array,
    private readonly later: (ms: number, run: () => void) => NodeJS.Timeout,
  ) {}

  /** Writes what is pending, as far as the reader takes it. `last`: there is no later, what is not taken soon is dropped. */
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

  /** Writes whole lines; false if none of it was taken. What was begun is finished, or the next line would be joined to half of one. */
  private put(piece: string): boolean {
    const bytes = Buffer.from(piece);
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
}
