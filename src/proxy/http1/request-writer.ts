// Requests to HTTP/1 endpoints: the head, from an HTTP/1 client's head, a list of fields, or the kept copy; and the DATA that follows it.
import type { FieldList } from '../../hpack/field-list.js';
import { CONNECT_PROTOCOL as MESSAGE_PROTOCOL } from '../../http/facts.js';
import { METHOD } from '../../http/methods.js';
import { ORIGIN } from '../../http/orig-proto.js';
import { KEY_LENGTH, NONCE_LENGTH, nodeCrypto, putKey } from '../../http/web-socket.js';
import { MESSAGE_ERROR } from '../../http1/errors.js';
import { FRAMING } from '../../http1/head.js';
import { parseRequest } from '../../http1/head-parser.js';
import { writeRequest } from '../../http1/write.js';
import { NO_PIECE } from '../../http2/buffer-chains.js';
import type { Core } from '../../http2/shared-state.js';
import { NO_ROOM } from '../../translate/fields.js';
import { RequestBridge, requestFraming } from '../../translate/request.js';
import type { Context } from '../context.js';
import type { Exchanges } from '../exchange/exchange.js';
import { FORM, type ReplayBuffers } from '../exchange/replay-buffers.js';
import type { ExchangeSlot, SocketSlot } from '../slots.js';
import { LargeOutput } from './large-output.js';
import { type Http1Sockets, SENDING } from './sockets.js';
import { NO_BUFFER, type StreamBodyWriter } from './stream-body-writer.js';

const NONE = -1;
const LARGE = -2;
/** Bodies up to this size are sent in one piece with the head. */
const INLINE_BYTES = 4096;
const NO_KEY = new Uint8Array(KEY_LENGTH);

export class RequestWriter {
  /** After `write`: the piece of the body that arrived with the head was sent with it. */
  inlined = false;
  private readonly bridge: RequestBridge;
  /** A head that is written but not sent; its buffer is -1 for none. */
  private buffer = NONE;
  /** Holds a head larger than a buffer; `buffer` is then LARGE. */
  private readonly large: LargeOutput;
  private from = 0;
  private to = 0;
  private sending: number = SENDING.DONE;

  constructor(
    private readonly context: Context,
    private readonly core: Core,
    private readonly exchanges: Exchanges,
    private readonly replay: ReplayBuffers,
    private readonly http1: Http1Sockets,
    private readonly bodyWriter: StreamBodyWriter,
  ) {
    this.bridge = new RequestBridge(core.memory);
    this.large = new LargeOutput(context, core);
  }

  /** Writes the head of the request parsed last, including a small complete body. Returns 0, NO_BUFFER or -MESSAGE_ERROR. */
  fromHead(x: ExchangeSlot): number {
    const { slab, bytes } = this.context;
    const { head, bodies } = this.http1;
    const buffer = slab.take();
    if (buffer < 0) return NO_BUFFER;
    const from = slab.dataStart(buffer);
    const limit = slab.dataEnd(buffer);
    this.inlined = false;
    let to = this.writeHead(x, from, limit);
    if (to < 0) {
      slab.release(buffer);
      return this.fromLargeHead(x);
    }
    const whole = this.exchanges.requestComplete[x] === 1;
    if (whole && head.hasBody && head.framing !== FRAMING.CHUNKED) {
      const length = bodies.dataEnd - bodies.dataStart;
      if (length <= INLINE_BYTES && to + length <= limit) {
        bytes.copyWithin(to, bodies.dataStart, bodies.dataEnd);
        to += length;
        this.inlined = true;
      }
    }
    this.hold(buffer, from, to, SENDING.DONE);
    if (!head.hasBody || this.replay.roomFor(x, head.contentLength))
      this.replay.keepWritten(x, buffer, from, to - from, whole && (this.inlined || !head.hasBody));
    return 0;
  }

  /** Writes the head of the request in `list`. Returns as `fromHead`. */
  fromList(x: ExchangeSlot, list: FieldList): number {
    const { slab } = this.context;
    const { facts } = list;
    const end = this.exchanges.bodyless[x] === 1;
    const key = facts.protocol === MESSAGE_PROTOCOL.WEBSOCKET ? this.key(x) : NO_KEY;
    let buffer = slab.take();
    if (buffer < 0) return NO_BUFFER;
    let from = slab.dataStart(buffer);
    let to = this.writeList(x, list, from, slab.dataEnd(buffer), end, key);
    if (to === NO_ROOM) {
      slab.release(buffer);
      buffer = LARGE;
      from = this.large.at;
      to = this.writeList(x, list, from, this.large.limit, end, key);
      if (to >= 0 && !this.large.hold(from, to)) return NO_BUFFER;
    }
    if (to < 0) {
      if (buffer >= 0) slab.release(buffer);
      return to;
    }
    let sending: number = SENDING.PLAIN;
    if (facts.method === METHOD.CONNECT) sending = SENDING.AWAITING_TUNNEL;
    else if (end) sending = SENDING.DONE;
    else if (requestFraming(facts, end) === FRAMING.CHUNKED) sending = SENDING.CHUNKED;
    this.hold(buffer, from, to, sending);
    return 0;
  }

  /** Writes the head of the kept request. Returns as `fromHead`. */
  fromKept(x: ExchangeSlot): number {
    const { bytes, limits } = this.context;
    const { replay } = this;
    if (replay.form[x] === FORM.FIELDS) {
      replay.restore(x, this.core.list);
      return this.fromList(x, this.core.list);
    }
    const from = replay.locate(x);
    const to = from + replay.length[x];
    let sending: number = SENDING.DONE;
    if (!replay.body.empty(x) || replay.whole[x] === 0) {
      // Only the head says how the body after it is framed.
      parseRequest(bytes, from, to, this.http1.head, limits.http1);
      sending = this.http1.head.framing === FRAMING.CHUNKED ? SENDING.CHUNKED : SENDING.PLAIN;
    }
    if (!replay.isLarge(x)) this.hold(replay.retainHead(x), from, to, sending);
    else if (this.large.hold(from, to)) this.hold(LARGE, from, to, sending);
    else return NO_BUFFER;
    return 0;
  }

  /** Sends the head written last on a connection, which may still be dialled. */
  send(socket: SocketSlot): void {
    this.http1.sending[socket] = this.sending;
    if (this.buffer === LARGE) this.large.queue(socket);
    else this.context.sockets.queue(socket, this.from, this.to - this.from, this.buffer);
    this.buffer = NONE;
  }

  /** Discards the head written last. */
  drop(): void {
    if (this.buffer === LARGE) this.large.drop();
    else if (this.buffer !== NONE) this.context.slab.release(this.buffer);
    this.buffer = NONE;
  }

  /** Sends the kept body after its head. False if the slab is exhausted. */
  sendKept(x: ExchangeSlot, socket: SocketSlot): boolean {
    const { replay, bodyWriter } = this;
    const { body } = replay;
    const whole = replay.whole[x] === 1;
    const sending = this.http1.sending[socket];
    if (sending === SENDING.AWAITING_TUNNEL) return true;
    for (let piece = body.start(x); piece !== NO_PIECE; piece = body.following(piece)) {
      const end = whole && body.following(piece) === NO_PIECE;
      const at = body.pieceAt(piece);
      const length = body.pieceLength(piece);
      const sent =
        sending === SENDING.CHUNKED
          ? bodyWriter.chunk(socket, at, length, end, false)
          : bodyWriter.put(socket, at, length);
      if (!sent) return false;
    }
    if (sending === SENDING.CHUNKED && whole && body.empty(x) && !bodyWriter.chunk(socket, 0, 0, true, false))
      return false;
    if (whole) this.http1.sending[socket] = SENDING.DONE;
    return true;
  }

  /** A piece of the body that arrived as DATA. False if the slab is exhausted. */
  data(socket: SocketSlot, at: number, length: number, end: boolean): boolean {
    const { bodyWriter, http1 } = this;
    switch (http1.sending[socket]) {
      case SENDING.CHUNKED:
        if (end) http1.sending[socket] = SENDING.DONE;
        return bodyWriter.chunk(socket, at, length, end, true);
      case SENDING.PLAIN:
        if (end) http1.sending[socket] = SENDING.DONE;
        return bodyWriter.put(socket, at, length);
      default:
        return true;
    }
  }

  /** The request ends with the trailers in `list`, which only chunked bodies can carry. Returns 0, NO_BUFFER or -MESSAGE_ERROR. */
  trailers(socket: SocketSlot, list: FieldList): number {
    const { http1 } = this;
    const sending = http1.sending[socket];
    if (sending === SENDING.REFUSED) return 0;
    http1.sending[socket] = SENDING.DONE;
    return sending === SENDING.CHUNKED ? this.bodyWriter.trailers(socket, list) : 0;
  }

  private hold(buffer: number, from: number, to: number, sending: number): void {
    this.buffer = buffer;
    this.from = from;
    this.to = to;
    this.sending = sending;
  }

  /** As `fromHead`, for a head larger than a buffer. */
  private fromLargeHead(x: ExchangeSlot): number {
    const { large, replay } = this;
    const { head } = this.http1;
    const to = this.writeHead(x, large.at, large.limit);
    if (to < 0) return -MESSAGE_ERROR.HEADER_TOO_LARGE;
    if (!large.hold(large.at, to)) return NO_BUFFER;
    this.hold(LARGE, large.at, to, SENDING.DONE);
    replay.release(x);
    if (head.hasBody && !replay.roomFor(x, head.contentLength)) return 0;
    if (replay.keepLarge(x, FORM.HTTP1, large.at, to)) replay.whole[x] = head.hasBody ? 0 : 1;
    return 0;
  }

  private writeHead(x: ExchangeSlot, from: number, limit: number): number {
    const { services, bytes } = this.context;
    const { head } = this.http1;
    const service = this.exchanges.service[x];
    return writeRequest(
      bytes,
      head,
      from,
      limit,
      head.framing,
      head.contentLength,
      head.upgrade,
      services.hostAt[service],
      services.hostLength[service],
    );
  }

  private writeList(
    x: ExchangeSlot,
    list: FieldList,
    from: number,
    limit: number,
    end: boolean,
    key: Uint8Array,
  ): number {
    const { services } = this.context;
    const service = this.exchanges.service[x];
    const { hostAt, hostLength } = services;
    const absolute = this.exchanges.origin[x] === ORIGIN.ABSOLUTE;
    return this.bridge.write(list, from, limit, end, key, 0, hostAt[service], hostLength[service], absolute);
  }

  /** Generates the key of a WebSocket. */
  private key(x: ExchangeSlot): Uint8Array {
    const key = new Uint8Array(KEY_LENGTH);
    putKey(nodeCrypto().randomFillSync(new Uint8Array(NONCE_LENGTH)), 0, key, 0);
    this.exchanges.keys.set(x, key);
    return key;
  }
}
