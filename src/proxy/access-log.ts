// The access log: one JSON line a request or opaque connection, off by default. Lines are collected and written once in a
// while, off the path of the request; where the reader is too slow they are dropped and counted.
import { writeSync } from 'node:fs';
import { W } from '../metrics/layout.js';
import type { Context } from './context.js';
import type { Exchanges } from './exchange.js';

const FLUSH_MS = 200;
const MAX_PENDING = 1024 * 1024;
const STDERR = 2;

export class AccessLog {
  private lines: string[] = [];
  private pending = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly context: Context) {}

  /** Keeps method and target of the request whose head was parsed last. */
  target(client: number, exchanges: Exchanges): void {
    const { head } = exchanges;
    const { bytes } = this.context;
    const text = (start: number, end: number): string =>
      start < 0 ? '' : Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
    const method = text(head.methodStart, head.methodEnd);
    exchanges.target[client] =
      `"method":${JSON.stringify(method)},"target":${JSON.stringify(text(head.targetStart, head.targetEnd))},` +
      `"host":${JSON.stringify(text(head.authorityStart, head.authorityEnd))}`;
  }

  /** An exchange has ended; `endpoint` -1: answered by the proxy. */
  request(client: number, endpoint: number, status: number, exchanges: Exchanges): void {
    const { reactor, endpoints, native, sockets } = this.context;
    const what = exchanges.target[client] ?? '"method":"","target":"","host":""';
    exchanges.target[client] = undefined;
    const upstream = endpoint < 0 ? '' : endpoints.address[endpoint];
    this.write(
      `{"time":"${new Date().toISOString()}","level":"info","message":"request","client":"${native.peerName(sockets.fd[client])}",` +
        `${what},"status":${status},"upstream":"${upstream}","ms":${(reactor.now - exchanges.started[client]).toFixed(3)}}\n`,
    );
  }

  /** An opaque connection has ended. */
  connection(fields: Record<string, string | number>): void {
    this.write(`${JSON.stringify({ time: new Date().toISOString(), level: 'info', message: 'connection', ...fields })}\n`);
  }

  flush(): void {
    if (this.timer !== undefined) clearTimeout(this.timer);
    this.timer = undefined;
    if (this.lines.length === 0) return;
    const text = Buffer.from(this.lines.join(''));
    this.lines = [];
    this.pending = 0;
    try {
      for (let at = 0; at < text.length; ) at += writeSync(STDERR, text, at);
    } catch {
      // A full pipe or nobody there: a log must not hold up traffic.
      this.context.values[W.ACCESS_LOG_DROPPED]++;
    }
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
