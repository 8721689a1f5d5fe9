// Raw TCP: round trips of equal size, and one-way bulk transfer.
import type { Slab } from '../io/slab.js';
import type { Sockets } from '../io/sockets.js';
import type { DriverContext, ProtocolDriver } from './driver.js';
import type { LoadPlan } from './plan.js';
import { bodyOf, pieceBytes } from './requests.js';
import { ERROR } from './tally.js';

/** Bytes to queue ahead on a connection. */
const AHEAD_BYTES = 1024 * 1024;

/** Content in the slab's fixed region, sent any number of times. */
class Payload {
  private readonly at: number;
  private readonly piece: number;

  constructor(
    slab: Slab,
    private readonly sockets: Sockets,
    plan: Pick<LoadPlan, 'body' | 'bodyBytes'>,
  ) {
    this.piece = pieceBytes(plan);
    this.at = slab.fixed(this.piece);
    slab.bytes.set(bodyOf({ ...plan, bodyBytes: this.piece }), this.at);
  }

  queue(socket: number, bytes: number): void {
    for (let left = bytes; left > 0; left -= this.piece)
      this.sockets.queue(socket, this.at, Math.min(left, this.piece), -1);
  }
}

/** Ping-pong: a request is over when as many bytes have come back. */
export class PingPongDriver implements ProtocolDriver {
  private readonly payload: Payload;
  /** Remaining bytes; 0: nothing was sent. */
  private readonly left: Float64Array;
  private readonly bytes: number;

  constructor(private readonly context: DriverContext) {
    const { reactor, plan, shareOf } = context;
    this.bytes = Math.max(1, plan.bodyBytes);
    this.payload = new Payload(reactor.slab, reactor.sockets, { ...plan, bodyBytes: this.bytes });
    this.left = new Float64Array(shareOf.length);
  }

  opened(connection: number): void {
    this.context.ready(connection, 1);
  }

  send(connection: number, socket: number): number {
    this.left[connection] = this.bytes;
    this.payload.queue(socket, this.bytes);
    return connection;
  }

  data(connection: number, _socket: number, bid: number, at: number, length: number): void {
    const { slab } = this.context.reactor;
    const left = this.left[connection] - length;
    // More than was sent, or something unasked.
    if (left < 0) this.context.tally.unexpected(slab.bytes, at, length);
    slab.release(bid);
    if (left < 0) {
      this.context.lost(connection, ERROR.protocol);
      return;
    }
    this.left[connection] = left;
    if (left === 0) this.context.answered(connection, connection, -1, true);
  }

  ended(): void {
    // Requests in progress end with the connection.
  }

  closed(connection: number): void {
    if (this.left[connection] === 0) return;
    this.left[connection] = 0;
    this.context.aborted(connection);
  }

  expire(connection: number, _socket: number, time: number): void {
    if (this.left[connection] > 0 && this.context.sent[connection] < time) this.context.lost(connection, ERROR.timeout);
  }
}

/** Sends without end; or only reads, if there is nothing to send. */
export class BulkDriver implements ProtocolDriver {
  private readonly payload: Payload | null;
  private readonly begun: Uint8Array;

  constructor(private readonly context: DriverContext) {
    const { reactor, plan, shareOf } = context;
    this.payload = plan.bodyBytes === 0 ? null : new Payload(reactor.slab, reactor.sockets, plan);
    this.begun = new Uint8Array(shareOf.length);
  }

  opened(connection: number): void {
    this.context.ready(connection, 1);
  }

  send(connection: number, socket: number): number {
    this.begun[connection] = 1;
    this.more(socket);
    return connection;
  }

  data(_connection: number, _socket: number, bid: number, _at: number, length: number): void {
    this.context.reactor.slab.release(bid);
    if (this.payload === null) this.context.moved(length);
  }

  sent(bytes: number): void {
    if (this.payload !== null) this.context.moved(bytes);
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
    this.context.aborted(connection);
  }

  expire(): void {
    // No timeout.
  }

  private more(socket: number): void {
    if (this.payload === null) return;
    this.payload.queue(socket, AHEAD_BYTES);
    this.context.reactor.sockets.notifyDrained(socket);
  }
}
