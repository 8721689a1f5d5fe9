// Tunnels between a socket and a stream (RFC 9113 section 8.5, RFC 8441): bytes of an HTTP/1 client become DATA and the other way,
// each direction ends by itself. The exchange that opened one has been accounted for.
import { H2_ERROR } from '../../http2/frame.js';
import { PEER, STREAM } from '../../http2/streams.js';
import { ERRNO } from '../../io/abi.js';
import { SOCKET } from '../../io/sockets.js';
import { LIMITS } from '../../metrics/layout.js';
import type { FromHttp1 } from '../bridge-from-http1.js';
import { CLOSE, SOCKET_KIND } from '../connect/connections.js';

const NEVER = Number.POSITIVE_INFINITY;
const LIMIT = {
  IDLE: LIMITS.indexOf('opaque-idle'),
  LIFETIME: LIMITS.indexOf('opaque-lifetime'),
  HALF_CLOSE: LIMITS.indexOf('half-close'),
} as const;

export class Tunnels {
  constructor(private readonly bridge: FromHttp1) {}

  /** The endpoint has agreed; `end`: and has nothing to say. What the client has sent already is in its inbox. */
  open(client: number, slot: number, upstream: number, end: boolean): void {
    const { http2, http1, keys } = this.bridge;
    const { sockets, inbox, wheel, slab, connections } = http2.context;
    const { streams } = http2.core;
    http2.accounts.account(slot, upstream, false);
    http1.accounts.ended(client, false);
    keys.delete(client);
    sockets.kind[client] = SOCKET_KIND.TUNNEL;
    connections.relayedTo[client] = http2.exchanges.endpoint[upstream];
    http1.bodies.reset(client);
    streams.peerKind[upstream] = PEER.TUNNEL;
    // RFC 9110 section 9.3.6: a length that a 2xx to CONNECT has means nothing.
    streams.expected[upstream] = -1;
    wheel.cancel(client);
    for (let bid = inbox.shift(client); bid >= 0; bid = inbox.shift(client)) {
      const at = inbox.startOf(bid);
      const sent = this.send(client, upstream, at, inbox.endOf(bid) - at, false);
      slab.release(bid);
      if (!sent) return;
    }
    if (end) sockets.shutdown(client);
    if ((sockets.flags[client] & SOCKET.EOF) !== 0) this.eof(client);
    else if (http1.exchanges.throttled[client] === 0) sockets.resume(client);
    this.schedule(client);
  }

  /** Octets of the client. */
  data(client: number, bid: number, at: number, length: number): void {
    const { context } = this.bridge.http2;
    context.connections.active[client] = context.reactor.now;
    this.send(client, this.bridge.http1.exchanges.stream[client], at, length, false);
    context.slab.release(bid);
  }

  /** The client has nothing more to say. */
  eof(client: number): void {
    const upstream = this.bridge.http1.exchanges.stream[client];
    this.bridge.http2.context.connections.active[client] = this.bridge.http2.context.reactor.now;
    if (this.send(client, upstream, 0, 0, true) && !this.ended(upstream)) this.schedule(client);
  }

  /** The client's connection has broken. */
  failed(client: number, errno: number): void {
    this.end(client, H2_ERROR.CANCEL);
    this.bridge.http2.context.connections.close(client, errno === ERRNO.ETIMEDOUT ? CLOSE.TIMEOUT : CLOSE.RESET);
  }

  /** Octets of the endpoint; `end`: its last. */
  received(upstream: number, at: number, length: number, end: boolean): void {
    const { http2, responses } = this.bridge;
    const { sockets, connections } = http2.context;
    const client = this.clientOf(upstream);
    if (!responses.put(client, at, length)) {
      this.end(client, H2_ERROR.ENHANCE_YOUR_CALM);
      connections.abort(client, CLOSE.LIMIT);
      return;
    }
    if (!end) {
      responses.pace(client, upstream, length);
      return;
    }
    sockets.shutdown(client);
    if (!this.ended(upstream)) this.schedule(client);
  }

  /** All that the client said is on its way, its end included. */
  flushed(upstream: number): void {
    this.ended(upstream);
  }

  /** The endpoint has ended the stream, or its connection has broken: the client hears of it by a RST after what came before. */
  lost(slot: number, upstream: number): void {
    const { http2 } = this.bridge;
    const client = http2.exchanges.client[slot];
    http2.lifecycle.part(slot, upstream);
    http2.core.streams.release(slot);
    this.bridge.forget(client);
    http2.context.connections.abortWhenSent(client, CLOSE.RESET);
  }

  timer(client: number): void {
    const { context } = this.bridge.http2;
    const { limits, connections, reactor } = context;
    const { opaque } = limits;
    const { now } = reactor;
    const active = this.active(client);
    let limit = -1;
    if (opaque.lifetimeMs > 0 && now >= connections.opened[client] + opaque.lifetimeMs) limit = LIMIT.LIFETIME;
    else if (this.half(client) && opaque.halfCloseTimeoutMs > 0 && now >= active + opaque.halfCloseTimeoutMs)
      limit = LIMIT.HALF_CLOSE;
    else if (opaque.idleTimeoutMs > 0 && now >= active + opaque.idleTimeoutMs) limit = LIMIT.IDLE;
    if (limit < 0) {
      this.schedule(client);
      return;
    }
    context.limited(limit);
    this.end(client, H2_ERROR.CANCEL);
    connections.closeWhenSent(client, CLOSE.TIMEOUT);
  }

  /** False if the tunnel has come to its end for want of memory. */
  private send(client: number, upstream: number, at: number, length: number, end: boolean): boolean {
    const { http2 } = this.bridge;
    http2.core.clock[0] = http2.context.reactor.now;
    if (http2.machine.sender.data(upstream, at, length, end) < 0) {
      this.end(client, H2_ERROR.ENHANCE_YOUR_CALM);
      http2.context.connections.abort(client, CLOSE.LIMIT);
      return false;
    }
    this.bridge.hold(client, upstream);
    return true;
  }

  /** Ends the tunnel once both directions have. */
  private ended(upstream: number): boolean {
    const { http2, responses } = this.bridge;
    const { streams, pending } = http2.core;
    const both = STREAM.LOCAL_END | STREAM.REMOTE_END;
    if ((streams.state[upstream] & both) !== both || !pending.empty(upstream)) return false;
    const client = this.clientOf(upstream);
    responses.leave(client, streams.peer[upstream], upstream, H2_ERROR.NO_ERROR);
    http2.context.connections.closeWhenSent(client, CLOSE.OK);
    return true;
  }

  /** Takes the stream from the client. */
  private end(client: number, code: number): void {
    const { http2, http1, responses } = this.bridge;
    const upstream = http1.exchanges.stream[client];
    http2.core.clock[0] = http2.context.reactor.now;
    responses.leave(client, http2.core.streams.peer[upstream], upstream, code);
  }

  private clientOf(upstream: number): number {
    const { core, exchanges } = this.bridge.http2;
    return exchanges.client[core.streams.peer[upstream]];
  }

  private active(client: number): number {
    const { http2, http1 } = this.bridge;
    return Math.max(
      http2.context.connections.active[client],
      http2.core.streams.active[http1.exchanges.stream[client]],
    );
  }

  private half(client: number): boolean {
    const { http2, http1 } = this.bridge;
    const remote = (http2.core.streams.state[http1.exchanges.stream[client]] & STREAM.REMOTE_END) !== 0;
    return remote || (http2.context.sockets.flags[client] & SOCKET.EOF) !== 0;
  }

  private schedule(client: number): void {
    const { connections, limits, wheel } = this.bridge.http2.context;
    const { opaque } = limits;
    const active = this.active(client);
    let deadline = NEVER;
    if (opaque.lifetimeMs > 0) deadline = connections.opened[client] + opaque.lifetimeMs;
    if (opaque.idleTimeoutMs > 0) deadline = Math.min(deadline, active + opaque.idleTimeoutMs);
    if (opaque.halfCloseTimeoutMs > 0 && this.half(client))
      deadline = Math.min(deadline, active + opaque.halfCloseTimeoutMs);
    if (deadline !== NEVER) wheel.pull(client, deadline);
  }
}
