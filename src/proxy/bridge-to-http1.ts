// Streams of HTTP/2 clients for endpoints that speak HTTP/1. The endpoint's side of such an exchange is a stream slot that is on no
// connection; `exchanges.socket` names the HTTP/1 connection that serves it, from the pool that HTTP/1 clients use as well.
// Here are these connections and the way of the request; the response is in a file beside this one.
import { randomFillSync } from 'node:crypto';
import { frameChunk } from '../http1/body.js';
import { ERRORS } from '../http1/errors.js';
import { FRAMING, METHOD } from '../http1/head.js';
import { ascii } from '../http1/octets.js';
import { RequestBridge, requestFraming } from '../http2/bridge-request.js';
import { writeEnd } from '../http2/bridge-trailers.js';
import type { FieldList } from '../http2/field-list.js';
import { ERROR } from '../http2/frame.js';
import { PROTOCOL as UPGRADE } from '../http2/message.js';
import { STREAM } from '../http2/streams.js';
import { KEY_LENGTH, NONCE_LENGTH, putKey } from '../http2/web-socket.js';
import { ERRNO } from '../io/abi.js';
import { SOCKET } from '../io/sockets.js';
import { LIMITS, W } from '../metrics/layout.js';
import { BridgedResponses } from './bridge-to-http1-response.js';
import { CLOSE, KIND } from './connections.js';
import { isIdempotent } from './exchange.js';
import { WHY } from './http1-answers.js';
import { type Http2, MAX_ATTEMPTS } from './http2.js';
import { GONE, WAITING } from './http2-exchange.js';
import { DIAL } from './upstreams.js';

const NONE = -1;
/** What a queued piece counts at least, as in bodies.ts: little data must not hold many buffers. */
const SLICE_BYTES = 4096;
const LIMIT_BUFFERED = LIMITS.indexOf('buffered-bytes');

const CRLF = ascii('\r\n');
const LAST_CHUNK = ascii('0\r\n\r\n');

/** How what the client sends goes on to the endpoint. */
export const SENDING = {
  /** As it is: its length is known. */
  PLAIN: 0,
  CHUNKED: 1,
  /** Kept until the endpoint has agreed to a tunnel. */
  AGREEING: 2,
  TUNNEL: 3,
  /** All of it is on its way. */
  DONE: 4,
  /** The endpoint takes no more: it is thrown away. */
  REFUSED: 5,
} as const;

export class BridgeToHttp1 {
  /** Of a socket: the endpoint's stream of the exchange that it serves, -1 for none. */
  readonly stream: Int32Array;
  /** Of a socket: SENDING. */
  readonly sending: Uint8Array;
  /** Of a socket: the key that was sent to open a WebSocket. */
  readonly keys = new Map<number, Uint8Array>();
  private readonly responses: BridgedResponses;
  private readonly requests: RequestBridge;
  private readonly noKey = new Uint8Array(KEY_LENGTH);
  private readonly crlfAt: number;
  private readonly lastChunkAt: number;
  /** Requests that a pooled connection has lost are sent on new ones. */
  private fresh = false;

  constructor(private readonly http2: Http2) {
    const { sockets, slab } = http2.context;
    this.stream = new Int32Array(sockets.capacity).fill(NONE);
    this.sending = new Uint8Array(sockets.capacity);
    this.requests = new RequestBridge(http2.core.memory);
    this.responses = new BridgedResponses(http2, this);
    this.crlfAt = slab.fixed(CRLF.length);
    slab.bytes.set(CRLF, this.crlfAt);
    this.lastChunkAt = slab.fixed(LAST_CHUNK.length);
    slab.bytes.set(LAST_CHUNK, this.lastChunkAt);
  }

  /**
   * A connection to `endpoint` for the exchange: an idle one, or one that is dialled; then the exchange is WAITING.DIALLED, and
   * `begin` is called once it stands. Returns 0 or a DIAL code.
   */
  take(upstream: number, endpoint: number, kept: boolean): number {
    const { http1, exchanges, context, upstreams } = this.http2;
    let socket = this.fresh ? NONE : upstreams.takeIdle(endpoint);
    if (socket < 0) {
      // Until the connection stands the request has no other place than where it is kept.
      if (!kept) return DIAL.FAILED;
      socket = upstreams.dial(endpoint, KIND.BRIDGE_UPSTREAM);
      if (socket < 0) return socket;
      http1.exchanges.openUpstream(socket);
      exchanges.waiting[upstream] = WAITING.DIALLED;
    } else context.sockets.kind[socket] = KIND.BRIDGE_UPSTREAM;
    http1.exchanges.link(socket);
    context.connections.active[socket] = context.reactor.now;
    this.stream[socket] = upstream;
    exchanges.socket[upstream] = socket;
    return 0;
  }

  /** Writes the request to its connection, which stands: from `core.list` if it is `listed` there, else from where it is kept. */
  begin(upstream: number, listed: boolean): void {
    const { http2 } = this;
    const { core, exchanges, context } = http2;
    const { slab, sockets, services } = context;
    const { streams, list } = core;
    const { replay } = exchanges;
    const slot = streams.peer[upstream];
    const socket = exchanges.socket[upstream];
    const saved = exchanges.saved[upstream];
    const body = listed ? 0 : replay.bytes[upstream] - saved;
    const whole = listed ? (streams.state[slot] & STREAM.REMOTE_END) !== 0 : exchanges.whole[upstream] === 1;
    if (!listed) {
      const at = replay.pieceAt(replay.start(upstream));
      core.memory.restore(at, at + saved, list);
    }
    const end = whole && body === 0;
    const { facts } = list;
    const buffer = slab.take();
    if (buffer < 0) {
      http2.giveUp(slot, upstream, 503, WHY.MEMORY);
      return;
    }
    const service = exchanges.service[slot];
    const from = slab.dataStart(buffer);
    const to = this.requests.write(
      list,
      from,
      slab.dataEnd(buffer),
      end,
      facts.protocol === UPGRADE.WEBSOCKET ? this.key(socket) : this.noKey,
      0,
      services.hostAt[service],
      services.hostLength[service],
    );
    if (to < 0) {
      slab.release(buffer);
      const { status, reasonIndex } = ERRORS[-to];
      http2.giveUp(slot, upstream, status, reasonIndex);
      return;
    }
    if (facts.method === METHOD.CONNECT) {
      this.sending[socket] = SENDING.AGREEING;
      if (end) streams.state[upstream] |= STREAM.END_PENDING;
    } else if (end) this.sending[socket] = SENDING.DONE;
    else this.sending[socket] = requestFraming(facts, end) === FRAMING.CHUNKED ? SENDING.CHUNKED : SENDING.PLAIN;
    sockets.queue(socket, from, to - from, buffer);
    if (listed) return;
    // The rest goes through the chain of what waits, which leaves the kept copy as it is.
    let skip = saved;
    for (let piece = replay.start(upstream); piece !== NONE; piece = replay.following(piece)) {
      const length = replay.pieceLength(piece) - skip;
      if (length > 0 && !core.pending.append(upstream, replay.pieceAt(piece) + skip, length)) {
        http2.giveUp(slot, upstream, 503, WHY.MEMORY);
        return;
      }
      skip = 0;
    }
    if (body > 0 && whole) streams.state[upstream] |= STREAM.END_PENDING;
    if (body > services.replayBytes[service] || (streams.state[upstream] & STREAM.TRAILERS_PENDING) !== 0)
      exchanges.forget(upstream);
    this.drain(upstream, socket);
  }

  /** A piece of the request. Returns how much of it is on its way; the rest waits. -1: there is no memory for it to wait in. */
  data(upstream: number, socket: number, at: number, length: number, end: boolean): number {
    const { core, context } = this.http2;
    const { slab, sockets } = context;
    const sending = this.sending[socket];
    if (sending === SENDING.REFUSED) return length;
    if (sending === SENDING.AGREEING || !core.pending.empty(upstream) || this.full(socket)) {
      if (length > 0 && !core.pending.append(upstream, at, length)) return NONE;
      if (end) core.streams.state[upstream] |= STREAM.END_PENDING;
      if (sending !== SENDING.AGREEING) sockets.notifyDrained(socket);
      return 0;
    }
    if (length > 0) {
      const bid = slab.bufferOf(at);
      slab.retain(bid);
      if (sending === SENDING.CHUNKED) {
        // What follows in the buffer is the client's next frame: the line's end comes from elsewhere.
        const start = chunkSize(context.bytes, at, length);
        sockets.queue(socket, start, at - start + length, bid);
        sockets.queue(socket, this.crlfAt, CRLF.length, NONE);
      } else sockets.queue(socket, at, length, bid);
    }
    if (end) this.finish(upstream, socket, null);
    return length;
  }

  /** The request ends with the trailers in `list`. */
  trailers(upstream: number, socket: number, list: FieldList): void {
    const { core, retries } = this.http2;
    const sending = this.sending[socket];
    if (sending === SENDING.REFUSED) return;
    if (sending === SENDING.AGREEING || !core.pending.empty(upstream)) retries.holdTrailers(upstream, list);
    else this.finish(upstream, socket, list);
  }

  /** Some of the response that had waited for the client is on its way. */
  moved(upstream: number, slot: number): void {
    const { core, context, exchanges } = this.http2;
    const { sockets, limits } = context;
    const socket = exchanges.socket[upstream];
    if (socket < 0 || (sockets.flags[socket] & SOCKET.PAUSED) === 0) return;
    if (core.pending.bytes[slot] <= limits.http2.streamWindow >> 1) sockets.resume(socket);
  }

  /** Holds the endpoint back while its client is slow: no more waits than a stream of an HTTP/2 endpoint may have under way. */
  pace(socket: number, slot: number): void {
    const { core, context } = this.http2;
    const { sockets, limits, values } = context;
    const waits = core.pending.bytes[slot];
    if (waits === 0 || (sockets.flags[socket] & SOCKET.PAUSED) !== 0) return;
    if (waits < limits.http2.streamWindow && core.pending.total <= limits.http2.maxBufferedBytes) return;
    values[W.BACKPRESSURE]++;
    context.limited(LIMIT_BUFFERED);
    sockets.pause(socket);
  }

  /** Whether the exchange is a tunnel whose client may still have something to say. */
  tunnelling(upstream: number): boolean {
    const socket = this.http2.exchanges.socket[upstream];
    return socket >= 0 && this.sending[socket] === SENDING.TUNNEL;
  }

  /** The exchange is over, whatever its connection is at. */
  drop(upstream: number): void {
    const { core, context, exchanges } = this.http2;
    const { sockets, connections, balancer } = context;
    const socket = exchanges.socket[upstream];
    exchanges.socket[upstream] = NONE;
    core.pending.clear(upstream);
    if (exchanges.waiting[upstream] === WAITING.DIALLED) exchanges.waiting[upstream] = WAITING.NO;
    if (socket < 0) return;
    this.unlink(socket);
    if ((sockets.flags[socket] & SOCKET.CONNECTING) !== 0) balancer.connectAbandoned(connections.endpoint[socket]);
    // A tunnel that both sides have ended: its last octets are on their way.
    const ended = (sockets.flags[socket] & (SOCKET.EOF | SOCKET.SHUT)) === (SOCKET.EOF | SOCKET.SHUT);
    if (ended) connections.closeWhenSent(socket, CLOSE.OK);
    else connections.close(socket, CLOSE.OK);
  }

  /** The response is complete: the connection is ready for another request, or closed. The exchange goes on without it. */
  letGo(upstream: number, socket: number): void {
    const { core, context, exchanges, http1, upstreams, machine } = this.http2;
    const { sockets, inbox, connections } = context;
    const reusable =
      http1.exchanges.reusable[socket] === 1 &&
      this.sending[socket] === SENDING.DONE &&
      inbox.empty(socket) &&
      sockets.queued[socket] === 0 &&
      (sockets.flags[socket] & (SOCKET.EOF | SOCKET.CLOSED)) === 0;
    this.unlink(socket);
    exchanges.socket[upstream] = GONE;
    if (!core.pending.empty(upstream)) {
      machine.frames.credit(core.streams.peer[upstream], core.pending.bytes[upstream]);
      core.pending.clear(upstream);
    }
    if (!reusable) {
      connections.close(socket, CLOSE.OK);
      return;
    }
    http1.exchanges.served[socket]++;
    http1.bodies.reset(socket);
    sockets.kind[socket] = KIND.HTTP1_UPSTREAM;
    sockets.peer[socket] = NONE;
    sockets.resume(socket);
    upstreams.release(socket);
  }

  /** Sends what waits, as far as the connection takes it. */
  drain(upstream: number, socket: number): void {
    const { http2 } = this;
    const { core, context, machine } = http2;
    const { slab, sockets } = context;
    const { pending, streams } = core;
    const slot = streams.peer[upstream];
    while (!pending.empty(upstream)) {
      if (this.full(socket)) {
        sockets.notifyDrained(socket);
        return;
      }
      const buffer = slab.take();
      if (buffer < 0) {
        http2.shed(slot, upstream);
        return;
      }
      const limit = slab.dataEnd(buffer);
      let start = slab.dataStart(buffer);
      let end = start;
      while (end < limit && !pending.empty(upstream)) {
        const count = Math.min(pending.firstLength(upstream), limit - end);
        const at = pending.firstAt(upstream);
        context.bytes.copyWithin(end, at, at + count);
        pending.consume(upstream, count);
        end += count;
      }
      machine.frames.credit(slot, end - start);
      if (this.sending[socket] === SENDING.CHUNKED) {
        start = frameChunk(context.bytes, start, end);
        end += CRLF.length;
      }
      sockets.queue(socket, start, end - start, buffer);
    }
    const state = streams.state[upstream];
    if ((state & STREAM.TRAILERS_PENDING) !== 0) {
      const at = slab.dataStart(streams.trailersBuffer[upstream]);
      core.memory.restore(at, at + streams.trailersLength[upstream], core.spare);
      streams.state[upstream] &= ~STREAM.TRAILERS_PENDING;
      http2.retries.dropTrailers(upstream);
      this.finish(upstream, socket, core.spare);
    } else if ((state & STREAM.END_PENDING) !== 0) {
      streams.state[upstream] &= ~STREAM.END_PENDING;
      this.finish(upstream, socket, null);
    }
  }

  // Events of the sockets.

  socketConnected(socket: number, result: number): void {
    const { context, exchanges, upstreams } = this.http2;
    const upstream = this.stream[socket];
    if (!upstreams.connected(socket, result)) {
      this.dialFailed(socket, WHY.CONNECT_FAILED, result === -ERRNO.ETIMEDOUT ? CLOSE.TIMEOUT : CLOSE.REFUSED);
      return;
    }
    context.sockets.resume(socket);
    context.wheel.cancel(socket);
    exchanges.waiting[upstream] = WAITING.NO;
    this.begin(upstream, false);
  }

  socketData(socket: number, bid: number, at: number, length: number): void {
    const { core, context } = this.http2;
    context.connections.active[socket] = context.reactor.now;
    core.streams.active[this.stream[socket]] = context.reactor.now;
    core.clock[0] = context.reactor.now;
    this.responses.data(socket, bid, at, length);
  }

  /** The endpoint has ended its direction, or the connection is broken. */
  socketEnded(socket: number, reason: number): void {
    const { http2 } = this;
    const { context, core } = http2;
    const { sockets, connections } = context;
    const upstream = this.stream[socket];
    core.clock[0] = context.reactor.now;
    if (this.responses.ended(socket, upstream, reason)) return;
    const answered = http2.exchanges.answered[core.streams.peer[upstream]] === 1;
    if (!answered && this.retriable(socket, upstream)) {
      if ((sockets.flags[socket] & SOCKET.SENDING) !== 0) {
        // How much of the request was taken is known when the send under way has ended: then this is called again.
        http2.http1.exchanges.ended[socket] = reason === CLOSE.OK ? 1 : 2;
        sockets.notifyDrained(socket);
        return;
      }
      if (this.retry(socket, upstream)) return;
    }
    connections.close(socket, reason);
    http2.endpointFailed(core.streams.peer[upstream], upstream, ERROR.INTERNAL_ERROR, WHY.UPSTREAM_RESET);
  }

  /** The endpoint takes no more of the request; a response may still come. */
  socketSendFailed(socket: number): void {
    const { core, context, http1, machine } = this.http2;
    const { sockets } = context;
    const upstream = this.stream[socket];
    if (this.retriable(socket, upstream) && this.retry(socket, upstream)) return;
    sockets.dropQueue(socket);
    http1.exchanges.reusable[socket] = 0;
    if ((sockets.flags[socket] & SOCKET.EOF) !== 0 || http1.exchanges.ended[socket] !== 0) {
      this.socketEnded(socket, CLOSE.RESET);
      return;
    }
    this.sending[socket] = SENDING.REFUSED;
    machine.frames.credit(core.streams.peer[upstream], core.pending.bytes[upstream]);
    core.pending.clear(upstream);
    sockets.resume(socket);
  }

  /** All that was queued is sent. */
  socketDrained(socket: number): void {
    const { core, context, http1 } = this.http2;
    const { ended } = http1.exchanges;
    const upstream = this.stream[socket];
    if (upstream < 0) return;
    core.clock[0] = context.reactor.now;
    if (ended[socket] !== 0) this.socketEnded(socket, ended[socket] === 1 ? CLOSE.OK : CLOSE.RESET);
    else this.drain(upstream, socket);
  }

  /** Only dials have a deadline of their own: all else is bounded by the client's stream. */
  socketTimer(socket: number): void {
    const { context, upstreams } = this.http2;
    const { sockets, reactor, wheel } = context;
    if ((sockets.flags[socket] & SOCKET.CONNECTING) === 0) return;
    const deadline = upstreams.connectDeadline(socket);
    if (reactor.now < deadline) {
      if (deadline !== Number.POSITIVE_INFINITY) wheel.schedule(socket, deadline);
      return;
    }
    upstreams.connectTimedOut(socket);
    this.dialFailed(socket, WHY.CONNECT_TIMEOUT, CLOSE.TIMEOUT);
  }

  /** Takes the exchange off a connection that did not process it, and sends it again. False if it can't be; then it is on none. */
  again(socket: number, upstream: number): boolean {
    const { core, exchanges, retries } = this.http2;
    this.unlink(socket);
    exchanges.socket[upstream] = NONE;
    core.pending.clear(upstream);
    this.fresh = true;
    const sent = retries.again(core.streams.peer[upstream], upstream, true);
    this.fresh = false;
    return sent;
  }

  private dialFailed(socket: number, why: number, reason: number): void {
    const { context, core, exchanges, retries } = this.http2;
    const upstream = this.stream[socket];
    this.unlink(socket);
    exchanges.socket[upstream] = NONE;
    exchanges.waiting[upstream] = WAITING.NO;
    core.clock[0] = context.reactor.now;
    context.connections.close(socket, reason);
    retries.elsewhere(core.streams.peer[upstream], upstream, exchanges.endpoint[upstream], why);
  }

  /** A pooled connection that was lost before any byte of the response may have been closed before the request reached it. */
  private retriable(socket: number, upstream: number): boolean {
    const { http1, exchanges, core } = this.http2;
    return (
      http1.exchanges.served[socket] > 0 &&
      http1.exchanges.heard[socket] === 0 &&
      exchanges.attempts[core.streams.peer[upstream]] < MAX_ATTEMPTS
    );
  }

  /** The rules are those of http1-retry.ts: nothing of it was taken, or taking it twice does no harm. */
  private retry(socket: number, upstream: number): boolean {
    const { http1, exchanges, core, context } = this.http2;
    const slot = core.streams.peer[upstream];
    if ((context.sockets.flags[socket] & SOCKET.SENDING) !== 0 || exchanges.saved[upstream] === 0) return false;
    if (http1.exchanges.sent[socket] > 0 && !isIdempotent(exchanges.method[slot])) return false;
    const sent = this.again(socket, upstream);
    context.connections.close(socket, CLOSE.RESET);
    if (!sent) this.http2.endpointFailed(slot, upstream, ERROR.INTERNAL_ERROR, WHY.UPSTREAM_RESET);
    return true;
  }

  /** The request is complete. */
  private finish(upstream: number, socket: number, list: FieldList | null): void {
    const { http2 } = this;
    const { context, core } = http2;
    const { slab, sockets } = context;
    const sending = this.sending[socket];
    this.sending[socket] = SENDING.DONE;
    if (sending === SENDING.CHUNKED) {
      if (list === null) {
        sockets.queue(socket, this.lastChunkAt, LAST_CHUNK.length, NONE);
        return;
      }
      const slot = core.streams.peer[upstream];
      const buffer = slab.take();
      const at = buffer < 0 ? NONE : slab.dataStart(buffer);
      const to = buffer < 0 ? NONE : writeEnd(context.bytes, list, at, slab.dataEnd(buffer));
      if (to >= 0) {
        sockets.queue(socket, at, to - at, buffer);
        return;
      }
      if (buffer >= 0) slab.release(buffer);
      // The endpoint must not take the request for whole: its connection is closed.
      http2.shed(slot, upstream);
    } else if (sending === SENDING.TUNNEL) {
      sockets.shutdown(socket);
      const slot = core.streams.peer[upstream];
      if ((core.streams.state[slot] & STREAM.LOCAL_END) !== 0) http2.responded(slot, upstream);
    }
  }

  private full(socket: number): boolean {
    const { sockets, limits } = this.http2.context;
    return (
      sockets.queued[socket] > limits.maxBufferedBytes || sockets.slices[socket] * SLICE_BYTES > limits.maxBufferedBytes
    );
  }

  private unlink(socket: number): void {
    this.stream[socket] = NONE;
    if (this.keys.size > 0) this.keys.delete(socket);
  }

  /** Makes the key of a WebSocket. */
  private key(socket: number): Uint8Array {
    const key = new Uint8Array(KEY_LENGTH);
    putKey(randomFillSync(new Uint8Array(NONCE_LENGTH)), 0, key, 0);
    this.keys.set(socket, key);
    return key;
  }
}

/** Writes the size line of a chunk right before it: at most 6 octets, as a frame holds 16 KiB. Returns where it begins. */
function chunkSize(bytes: Uint8Array, at: number, length: number): number {
  let p = at;
  bytes[--p] = 0x0a;
  bytes[--p] = 0x0d;
  let size = length;
  do {
    const digit = size & 15;
    bytes[--p] = digit < 10 ? 0x30 + digit : 0x57 + digit;
    size >>>= 4;
  } while (size !== 0);
  return p;
}
