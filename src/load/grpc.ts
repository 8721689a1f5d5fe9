// gRPC on HTTP/2 streams: calls with one message, and messages back and forth on long-lived calls.
import type { Connection } from '../http2/connection.js';
import { MessageReader } from './grpc-messages.js';
import { LoadStreams } from './http2-streams.js';
import { ERROR } from './tally.js';

const NONE = -1;
/** Status of a call that ended without one (grpc: UNKNOWN). */
const UNKNOWN = 2;

/** One call per request; its status is the gRPC status. */
export class GrpcStreams extends LoadStreams {
  override response(connection: Connection, slot: number, end: boolean): void {
    const { status, grpcStatus } = this.core.list.facts;
    if (status < 200) return;
    this.status[slot] = UNKNOWN;
    if (end) {
      if (grpcStatus >= 0) this.status[slot] = grpcStatus;
      this.complete(connection, slot);
    }
  }

  override trailers(connection: Connection, slot: number): void {
    const { grpcStatus } = this.core.list.facts;
    if (grpcStatus >= 0) this.status[slot] = grpcStatus;
    this.complete(connection, slot);
  }
}

/** Long-lived calls: a message is sent on an idle one, and its answer is the next message. */
export class GrpcMessageStreams extends GrpcStreams {
  /** 1: an answer is expected. */
  private readonly waiting: Uint8Array;
  /** Idle calls of a connection, as a stack: the last one, and for each the one before it; NONE. */
  private readonly idle: Int32Array;
  private readonly before: Int32Array;
  private readonly reader: MessageReader;

  constructor(context: ConstructorParameters<typeof GrpcStreams>[0]) {
    super(context);
    const { capacity } = this.core.streams;
    this.waiting = new Uint8Array(capacity);
    this.idle = new Int32Array(context.shareOf.length).fill(NONE);
    this.before = new Int32Array(capacity);
    this.reader = new MessageReader(this.core.bytes, capacity);
  }

  override connect(connection: number, socket: number): Connection {
    this.idle[connection] = NONE;
    return super.connect(connection, socket);
  }

  override send(connection: number, on: Connection): number {
    let slot = this.idle[connection];
    if (slot === NONE) {
      slot = this.open(connection, on);
      this.reader.begin(slot);
      if (!this.requests.head(connection, on, slot, false)) this.giveUp(on, ERROR.local);
    } else this.idle[connection] = this.before[slot];
    this.waiting[slot] = 1;
    if (!this.requests.body(slot, false)) this.giveUp(on, ERROR.local);
    return slot;
  }

  override data(connection: Connection, slot: number, at: number, length: number, end: boolean): void {
    this.machine.frames.credit(slot, length);
    const { reader } = this;
    for (let p = at; reader.next(slot, p, at + length); p = reader.at) {
      this.message(connection, slot);
      if (this.core.streams.connection[slot] !== connection) return;
    }
    if (end) this.complete(connection, slot);
  }

  protected override waits(slot: number): boolean {
    return this.waiting[slot] === 1;
  }

  protected override over(slot: number): void {
    const connection = this.core.streams.connection[slot];
    const c = connection === null ? NONE : this.numberOf(connection);
    if (this.waiting[slot] === 0 && c >= 0) this.unlist(c, slot);
    this.waiting[slot] = 0;
    super.over(slot);
  }

  /** The server has ended a long-lived call. */
  protected override complete(connection: Connection, slot: number): void {
    const c = this.numberOf(connection);
    const waits = this.waits(slot);
    const status = this.status[slot];
    this.leave(slot);
    if (c < 0) return;
    if (waits && status > 0) this.context.answered(c, slot, status, true);
    else if (waits) this.context.failed(c, slot, ERROR.closed);
    this.leaveIfDone(connection);
  }

  private message(connection: Connection, slot: number): void {
    const c = this.numberOf(connection);
    // An unsolicited message.
    if (this.waiting[slot] === 0 || c < 0) return;
    this.waiting[slot] = 0;
    this.before[slot] = this.idle[c];
    this.idle[c] = slot;
    this.context.answered(c, slot, 0, true);
  }

  private unlist(c: number, slot: number): void {
    if (this.idle[c] === slot) {
      this.idle[c] = this.before[slot];
      return;
    }
    for (let at = this.idle[c]; at !== NONE; at = this.before[at])
      if (this.before[at] === slot) {
        this.before[at] = this.before[slot];
        return;
      }
  }
}
