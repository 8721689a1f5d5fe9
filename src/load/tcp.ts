// Raw TCP: round trips of equal size, and one-way bulk transfer.
import type { Slab } from '../io/slab.js';
import type { Sockets } from '../io/sockets.js';
import type { LoadPlan } from './plan.js';
import { contentsOf, pieceBytes } from './requests.js';
import type { Line, Talk } from './talk.js';
import { ERROR } from './tally.js';

/** Bytes to queue ahead on a connection. */
const AHEAD_BYTES = 1024 * 1024;

/** Content in the slab's fixed region, sent any number of times. */
class Contents {
  private readonly at: number;
  private readonly piece: number;

  constructor(
    slab: Slab,
    private readonly sockets: Sockets,
    plan: Pick<LoadPlan, 'body' | 'bodyBytes'>,
  ) {
    this.piece = pieceBytes(plan);
    this.at = slab.fixed(this.piece);
    slab.bytes.set(contentsOf({ ...plan, bodyBytes: this.piece }), this.at);
  }

  queue(socket: number, bytes: number): void {
    for (let left = bytes; left > 0; left -= this.piece)
      this.sockets.queue(socket, this.at, Math.min(left, this.piece), -1);
  }
}

/** Ping-pong: a request is over when as many bytes have come back. */
export class PingTalk implements Talk {
  private readonly contents: Contents;
  /** Remaining bytes; 0: nothing was sent. */
  private readonly left: Float64Array;
  private readonly bytes: number;

  constructor(private readonly line: Line) {
    const { reactor, plan, shareOf } = line;
    this.bytes = Math.max(1, plan.bodyBytes);
    this.contents = new Contents(reactor.slab, reactor.sockets, { ...plan, bodyBytes: this.bytes });
    this.left = new Float64Array(shareOf.length);
  }

  opened(connection: number): void {
    this.line.ready(connection, 1);
  }

  send(connection: number, socket: number): number {
    this.left[connection] = this.bytes;
    this.contents.queue(socket, this.bytes);
    return connection;
  }

  data(connection: number, _socket: number, bid: number, at: number, length: number): void {
    const { slab } = this.line.reactor;
    const left = this.left[connection] - length;
    // More than was sent, or something unasked.
    if (left < 0) this.line.tally.unexpected(slab.bytes, at, length);
    slab.release(bid);
    if (left < 0) {
      this.line.lost(connection, ERROR.protocol);
      return;
    }
    this.left[connection] = left;
    if (left === 0) this.line.answered(connection, connection, -1, true);
  }

  ended(): void {
    // Requests in progress end with the connection.
  }

  closed(connection: number): void {
    if (this.left[connection] === 0) return;
    this.left[connection] = 0;
    this.line.spoiled(connection);
  }

  expire(connection: number, _socket: number, time: number): void {
    if (this.left[connection] > 0 && this.line.sent[connection] < time) this.line.lost(connection, ERROR.timeout);
  }
}

/** Sends without end; or only reads, if there is nothing to send. */
export class BulkTalk implements Talk {
  private readonly contents: Contents | null;
  private readonly begun: Uint8Array;

  constructor(private readonly line: Line) {
    const { reactor, plan, shareOf } = line;
    this.contents = plan.bodyBytes === 0 ? null : new Contents(reactor.slab, reactor.sockets, plan);
    this.begun = new Uint8Array(shareOf.length);
  }

  opened(connection: number): void {
    this.line.ready(connection, 1);
  }

  send(connection: number, socket: number): number {
    this.begun[connection] = 1;
    this.more(socket);
    return connection;
  }

  data(_connection: number, _socket: number, bid: number, _at: number, length: number): void {
    this.line.reactor.slab.release(bid);
    if (this.contents === null) this.line.moved(length);
  }

  sent(bytes: number): void {
    if (this.contents !== null) this.line.moved(bytes);
  }

  drained(_connection: number, socket: number): void {
    this.more(socket);
  }

  ended(): void {
    // It is over.
  }

  closed(connection: number): void {
    if (this.begun[connection] === 0) return;
    this.begun[connection] = 0;
    this.line.spoiled(connection);
  }

  expire(): void {
    // No timeout.
  }

  private more(socket: number): void {
    if (this.contents === null) return;
    this.contents.queue(socket, AHEAD_BYTES);
    this.line.reactor.sockets.notifyDrained(socket);
  }
}
