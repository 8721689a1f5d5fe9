// The access log: one JSON line a request or opaque connection, off by default. Lines are collected and written once in a
// while, off the path of the request; what the reader does not take waits, and beyond a bound is dropped and counted.
import { writeSync } from 'node:fs';
import type { FieldList } from '../../hpack/field-list.js';
import type { Streams } from '../../http2/streams.js';
import { CLOSE_REASONS, W } from '../../metrics/layout.js';
import type { Context } from '../context.js';
import type { Exchanges } from '../exchange.js';
import type { StreamExchanges } from '../http2-exchange.js';

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
const NONE = -1;

export class AccessLog {
  private lines: string[] = [];
  private pending = 0;
  private timer: NodeJS.Timeout | undefined;
  private readonly never = new Int32Array(new SharedArrayBuffer(4));

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
    this.exchange(client, endpoint, status, '', exchanges);
  }

  /** An exchange ended without a whole response: the client left, or a response that had begun was cut off. */
  unanswered(client: number, exchanges: Exchanges): void {
    this.exchange(client, NONE, 0, ',"unanswered":true', exchanges);
  }

  /** Keeps method and target of the request whose fields are in `list`. */
  streamTarget(slot: number, exchanges: StreamExchanges, list: FieldList): void {
    const { facts } = list;
    const { bytes } = this.context;
    const text = (at: number, length: number): string =>
      at < 0 ? '' : Buffer.from(bytes.buffer, bytes.byteOffset + at, length).toString('latin1');
    exchanges.target[slot] =
      `"method":${JSON.stringify(text(facts.methodAt, facts.methodLength))},"target":${JSON.stringify(text(facts.pathAt, facts.pathLength))},` +
      `"host":${JSON.stringify(facts.authorityAt < 0 ? text(facts.hostAt, facts.hostLength) : text(facts.authorityAt, facts.authorityLength))}`;
  }

  /** The exchange of an HTTP/2 stream has ended; `endpoint` -1: answered by the proxy. */
  stream(slot: number, endpoint: number, status: number, streams: Streams, exchanges: StreamExchanges): void {
    const upstream = streams.peer[slot];
    const grpc = upstream >= 0 && exchanges.grpc[slot] === 1 ? `,"grpc_status":${exchanges.grpcStatus[upstream]}` : '';
    this.streamLine(slot, endpoint, status, grpc, streams, exchanges);
  }

  streamUnanswered(slot: number, streams: Streams, exchanges: StreamExchanges): void {
    this.streamLine(slot, NONE, 0, ',"unanswered":true', streams, exchanges);
  }

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

  private streamLine(
    slot: number,
    endpoint: number,
    status: number,
    more: string,
    streams: Streams,
    exchanges: StreamExchanges,
  ): void {
    const { reactor } = this.context;
    const what = exchanges.target[slot] ?? '"method":"","target":"","host":""';
    exchanges.target[slot] = undefined;
    const socket = streams.connection[slot]?.socket ?? NONE;
    const id = `,"stream":${streams.id[slot]}`;
    this.line(socket, what, status, endpoint, reactor.now - exchanges.started[slot], id + more);
  }

  private exchange(client: number, endpoint: number, status: number, more: string, exchanges: Exchanges): void {
    const kept = exchanges.target[client];
    exchanges.target[client] = undefined;
    const what = kept ?? '"method":"","target":"","host":""';
    // A request whose head could not be read has no beginning.
    const elapsed = kept === undefined ? 0 : this.context.reactor.now - exchanges.started[client];
    this.line(client, what, status, endpoint, elapsed, more);
  }

  private line(socket: number, what: string, status: number, endpoint: number, elapsed: number, more: string): void {
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
