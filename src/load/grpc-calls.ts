// gRPC calls with several messages in one direction or both. A request is a call, from its first message to its status.
import type { Connection } from '../http2/connection.js';
import { GrpcStreams } from './grpc.js';
import { MessageReader } from './grpc-messages.js';
import { IntegerQueue } from './integer-queue.js';
import { ERROR } from './tally.js';

export class GrpcCallStreams extends GrpcStreams {
  private readonly reader: MessageReader;
  /** Of a call: messages still to be sent, and messages received. */
  private readonly unsent: Int32Array;
  private readonly received: Float64Array;
  /** Calls that may send messages at the end of this turn; 1: the call is in the queue. */
  private readonly sendable: IntegerQueue;
  private readonly listed: Uint8Array;
  /** Messages that a call sends, and that it must receive; 0: any number. */
  private readonly sends: number;
  private readonly expected: number;
  /** Each message waits for the answer to the one before. */
  private readonly pingPong: boolean;
  /** Whether to record the latency of messages. */
  private readonly times: boolean;

  constructor(context: ConstructorParameters<typeof GrpcStreams>[0]) {
    super(context);
    const { protocol, messages = 1 } = context.plan;
    const { capacity } = this.core.streams;
    this.reader = new MessageReader(this.core.bytes, capacity);
    this.unsent = new Int32Array(capacity);
    this.received = new Float64Array(capacity);
    this.listed = new Uint8Array(capacity);
    this.sendable = new IntegerQueue(capacity);
    this.sends = protocol === 'grpc-server' ? 1 : messages;
    this.expected = protocol === 'grpc-client' ? 1 : messages;
    this.pingPong = protocol === 'grpc-bidi';
    this.times = protocol !== 'grpc-client';
  }

  override send(connection: number, on: Connection): number {
    const slot = this.open(connection, on);
    this.reader.begin(slot);
    this.unsent[slot] = this.sends;
    this.received[slot] = 0;
    if (this.requests.head(connection, on, slot, false)) this.sendMessages(on, slot);
    else this.giveUp(on, ERROR.local);
    return slot;
  }

  override data(connection: Connection, slot: number, at: number, length: number, end: boolean): void {
    this.machine.frames.credit(slot, length);
    const { reader, received, context } = this;
    for (let p = at; reader.next(slot, p, at + length); p = reader.at) {
      received[slot]++;
      context.messageReceived(slot, this.times);
      if (this.pingPong) this.list(slot);
    }
    if (end) this.complete(connection, slot);
  }

  /** Some of the waiting data has been sent. If it was the last, there is room for more. */
  override dataSent(slot: number): void {
    if (!this.pingPong) this.list(slot);
  }

  override turn(): void {
    const { sendable, listed } = this;
    if (sendable.count > 0) this.context.refresh();
    while (sendable.count > 0) {
      const slot = sendable.shift();
      listed[slot] = 0;
      // It may have ended meanwhile, or be a different call by now.
      const connection = this.core.streams.connection[slot];
      if (connection !== null && this.due(slot)) this.sendMessages(connection, slot);
    }
    super.turn();
  }

  protected override over(slot: number): void {
    this.unsent[slot] = 0;
    super.over(slot);
  }

  /** The call has its status. With OK it must have received the right number of messages. */
  protected override complete(connection: Connection, slot: number): void {
    const c = this.numberOf(connection);
    if (this.status[slot] !== 0 || this.expected === 0 || this.received[slot] === this.expected || c < 0) {
      super.complete(connection, slot);
      return;
    }
    this.leave(slot);
    this.context.failed(c, slot, ERROR.messages);
    this.leaveIfDone(connection);
  }

  /** Whether the next message of a call may be sent now. */
  private due(slot: number): boolean {
    const unsent = this.unsent[slot];
    return unsent > 0 && (this.pingPong ? this.sends - unsent <= this.received[slot] : this.core.pending.empty(slot));
  }

  private list(slot: number): void {
    if (this.listed[slot] === 1 || !this.due(slot)) return;
    this.listed[slot] = 1;
    this.sendable.push(slot);
  }

  /** Sends the next message, or as many as the windows allow. */
  private sendMessages(on: Connection, slot: number): void {
    const { unsent, requests, context } = this;
    do {
      // Counted first: sending the last one may end the stream.
      const last = --unsent[slot] === 0;
      context.messageSent(slot);
      if (!requests.body(slot, last)) {
        this.giveUp(on, ERROR.local);
        return;
      }
    } while (!this.pingPong && this.due(slot));
  }
}
