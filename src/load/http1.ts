// HTTP/1.1 on a load's connections: one request at a time on each, from prepared bytes.
import { methodOf } from '../http/methods.js';
import { BODY, BodyReader } from '../http1/body.js';
import { FRAMING, Head } from '../http1/head.js';
import { MORE, parseResponse } from '../http1/head-parser.js';
import type { Slab } from '../io/slab.js';
import type { DriverContext, ProtocolDriver } from './driver.js';
import { Requests } from './requests.js';
import { ERROR } from './tally.js';

const NONE = -1;
const LIMITS = { maxHeaderBytes: 15 * 1024, maxHeaders: 256, maxTargetBytes: 0 } as const;
/** What a connection expects next: nothing, a response head, or the rest of a body. */
const STATE = { IDLE: 0, HEAD: 1, BODY: 2 } as const;

export class Http1Driver implements ProtocolDriver {
  private readonly slab: Slab;
  private readonly bytes: Uint8Array;
  private readonly requests: Requests;
  private readonly state: Uint8Array;
  private readonly status: Uint16Array;
  /** 1: the connection can be reused after this response. */
  private readonly reusable: Uint8Array;
  /** Received data that is incomplete, in a buffer that is held: NONE, or up to here. */
  private readonly held: Int32Array;
  private readonly heldFrom: Int32Array;
  private readonly heldTo: Int32Array;
  private readonly head = new Head(LIMITS.maxHeaders);
  private readonly bodies: BodyReader;
  private readonly method: number;

  constructor(private readonly context: DriverContext) {
    const { reactor, plan, shareOf } = context;
    const n = shareOf.length;
    this.slab = reactor.slab;
    this.bytes = reactor.slab.bytes;
    this.requests = new Requests(context);
    this.state = new Uint8Array(n);
    this.status = new Uint16Array(n);
    this.reusable = new Uint8Array(n);
    this.held = new Int32Array(n).fill(NONE);
    this.heldFrom = new Int32Array(n);
    this.heldTo = new Int32Array(n);
    this.bodies = new BodyReader(n);
    const method = Buffer.from(plan.method, 'latin1');
    this.method = methodOf(method, 0, method.length);
  }

  opened(connection: number): void {
    this.context.ready(connection, 1);
  }

  send(connection: number, socket: number): number {
    this.state[connection] = STATE.HEAD;
    this.requests.queue(connection, socket);
    return connection;
  }

  data(connection: number, socket: number, bid: number, at: number, length: number): void {
    if (this.held[connection] !== NONE) {
      this.dataBehind(connection, socket, bid, at, length);
      return;
    }
    if (this.read(connection, socket, at, at + length)) {
      this.held[connection] = bid;
      this.heldTo[connection] = at + length;
    } else this.slab.release(bid);
  }

  ended(connection: number): void {
    if (this.state[connection] === STATE.BODY && this.bodies.eof(connection)) {
      this.reusable[connection] = 0;
      this.complete(connection);
    }
  }

  closed(connection: number): void {
    const held = this.held[connection];
    if (held !== NONE) {
      this.held[connection] = NONE;
      this.slab.release(held);
    }
    if (this.state[connection] === STATE.IDLE) return;
    this.state[connection] = STATE.IDLE;
    this.context.aborted(connection);
  }

  expire(connection: number, _socket: number, time: number): void {
    if (this.state[connection] !== STATE.IDLE && this.context.sent[connection] < time)
      this.context.lost(connection, ERROR.timeout);
  }

  /** The held data goes before it: both are joined if there is room. */
  private dataBehind(connection: number, socket: number, bid: number, at: number, length: number): void {
    const { slab, held, heldTo } = this;
    const before = held[connection];
    const to = heldTo[connection];
    if (slab.dataEnd(before) - to < length) {
      slab.release(bid);
      this.unreadable(connection, this.heldFrom[connection], to);
      return;
    }
    this.bytes.copyWithin(to, at, at + length);
    slab.release(bid);
    heldTo[connection] = to + length;
    // closed() must not release it: it may be read meanwhile.
    held[connection] = NONE;
    if (this.read(connection, socket, this.heldFrom[connection], to + length)) held[connection] = before;
    else slab.release(before);
  }

  /** Reads [start, end). True if its end must be kept, from `heldFrom`. */
  private read(connection: number, socket: number, start: number, end: number): boolean {
    const { bodies, bytes, state } = this;
    let at = start;
    while (at < end) {
      switch (state[connection]) {
        case STATE.IDLE:
          // Some servers say why they close an idle connection (408); but there is no request to answer.
          if (at > start) this.unreadable(connection, at, end);
          else {
            this.context.tally.unexpected(bytes, at, end - at);
            this.context.lost(connection, this.otherProtocol(at, end) ?? ERROR.closed);
          }
          return false;
        case STATE.HEAD: {
          const after = this.readHead(connection, at, end);
          if (after < 0) return false;
          if (after === MORE) {
            this.heldFrom[connection] = at;
            return true;
          }
          at = after;
          break;
        }
        default: {
          const result = bodies.read(connection, bytes, at, end);
          at = bodies.consumed;
          if (result < 0) {
            this.unreadable(connection, at, end);
            return false;
          }
          if (result === BODY.INCOMPLETE) {
            this.heldFrom[connection] = at;
            return true;
          }
          if (result === BODY.DONE) this.complete(connection);
        }
      }
      if (this.context.socketOf(connection) !== socket) return false;
    }
    return false;
  }

  /** Returns the start of the body, MORE, or a negative number if the connection is over. */
  private readHead(connection: number, at: number, end: number): number {
    const { head, bodies } = this;
    const after = parseResponse(this.bytes, at, end, head, this.method, LIMITS);
    if (after < 0) {
      this.unreadable(connection, at, end);
      return NONE;
    }
    if (after === MORE) {
      const otherProtocol = this.otherProtocol(at, end);
      if (otherProtocol === undefined) return MORE;
      this.context.lost(connection, otherProtocol);
      return NONE;
    }
    if (head.status < 200) {
      if (head.status !== 101) return after;
      this.unreadable(connection, at, end);
      return NONE;
    }
    this.status[connection] = head.status;
    this.reusable[connection] = head.keepAlive ? 1 : 0;
    const { framing, contentLength } = head;
    // Usually all of it is here.
    if (framing === FRAMING.LENGTH && contentLength <= end - after) {
      this.complete(connection);
      return after + contentLength;
    }
    bodies.begin(connection, framing, contentLength, true);
    if (bodies.finished(connection)) this.complete(connection);
    else this.state[connection] = STATE.BODY;
    return after;
  }

  /** Ends the connection, as [at, end) is not an answer, or comes when none may. */
  private unreadable(connection: number, at: number, end: number): void {
    this.context.tally.unexpected(this.bytes, at, end - at);
    this.context.lost(connection, this.otherProtocol(at, end) ?? ERROR.protocol);
  }

  /** The ERROR for another protocol in [at, end). */
  private otherProtocol(at: number, end: number): number | undefined {
    const { bytes } = this;
    // The server's preface: a SETTINGS frame on stream 0.
    if (end - at >= 9 && bytes[at] === 0 && bytes[at + 3] === 4 && bytes[at + 4] === 0) return ERROR.http2;
    // A TLS alert or handshake.
    if (end - at >= 3 && (bytes[at] === 0x15 || bytes[at] === 0x16) && bytes[at + 1] === 3) return ERROR['tls-only'];
    return undefined;
  }

  private complete(connection: number): void {
    this.state[connection] = STATE.IDLE;
    this.context.answered(connection, connection, this.status[connection], this.reusable[connection] === 1);
  }
}
