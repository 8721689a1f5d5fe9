// The opaque relay: passes bytes between two sockets in both directions, unread. A tunnel (Upgrade, CONNECT) between sockets becomes one
// too. flow.ts decides whether a direction is copied or spliced.
import { column } from '../../http/columns.js';
import { ERRNO } from '../../io/abi.js';
import { SOCKET } from '../../io/sockets.js';
import { PUMP } from '../../io/splice.js';
import { L, LIMITS, W } from '../../metrics/layout.js';
import { CLOSE, closeOf, SOCKET_KIND } from '../connect/connections.js';
import { type Caller, DIAL, type Dialer, PURPOSE } from '../connect/dialer.js';
import type { ProxyHeaderWriter } from '../connect/proxy-header-writer.js';
import type { Context } from '../context.js';
import { connectFailureReason, REPLY_REASON } from '../exchange/reply-reasons.js';
import type { SocketSlot } from '../slots.js';
import { RelayFlow } from './flow.js';

export const DIAL_ATTEMPTS = 3;
const NONE = -1;

const LIMIT_IDLE = LIMITS.indexOf('opaque-idle');
const LIMIT_LIFETIME = LIMITS.indexOf('opaque-lifetime');
const LIMIT_HALF_CLOSE = LIMITS.indexOf('half-close');

/** Value of `OpaqueRelay.failure` if nothing kept the client from an endpoint. */
export const SERVED = 255;

export class OpaqueRelay implements Caller {
  private readonly flow: RelayFlow;
  private readonly attempts: Uint8Array;
  /** 1: the client's own TLS goes to its endpoint unchanged. */
  private readonly plain: Uint8Array;
  /** Service of a relayed client. */
  readonly service: Int32Array;
  /** REPLY_REASON of the last failed dial for the client, or SERVED. */
  readonly failure: Uint8Array;
  /** errno of a socket that can no longer be written, while what it sent before is still being read; else 0. */
  private readonly broken: Uint8Array;

  constructor(
    private readonly context: Context,
    private readonly dialer: Dialer,
    private readonly proxyHeaderWriter: ProxyHeaderWriter,
  ) {
    const n = context.sockets.capacity;
    this.flow = new RelayFlow(context);
    this.attempts = column(Uint8Array, n);
    this.plain = column(Uint8Array, n);
    this.service = column(Int32Array, n);
    this.broken = column(Uint8Array, n);
    this.failure = column(Uint8Array, n);
    dialer.serve(PURPOSE.OPAQUE, this);
  }

  /** Columns by socket of which the cells of free slots may become 0. */
  columns(): readonly ArrayBufferView[] {
    return [...this.flow.columns(), this.attempts, this.plain, this.service, this.broken, this.failure];
  }

  /**
   * Relays the client to an endpoint of `service`. `upstream`: a connection dialled earlier, or -1. The client's bytes so far are in its
   * inbox. `plain`: they are TLS, which the mesh does not encrypt again.
   */
  open(client: number, service: number, upstream: number, plain = false): void {
    const { sockets, wheel } = this.context;
    sockets.kind[client] = SOCKET_KIND.OPAQUE;
    this.service[client] = service;
    const { authorization } = this.context;
    if (authorization.active && !authorization.permitsBytes(client, service)) {
      this.refuse(client, upstream);
      return;
    }
    this.reset(client);
    this.attempts[client] = 0;
    this.plain[client] = plain ? 1 : 0;
    this.failure[client] =
      this.context.services.unresolved[service] === 1 ? REPLY_REASON.UNRESOLVED : REPLY_REASON.NO_ENDPOINT;
    wheel.cancel(client);
    if (upstream >= 0) {
      this.failure[client] = SERVED;
      this.join(client, upstream);
      this.scheduleIdle(client);
      return;
    }
    this.dial(client, NONE, false);
  }

  /** Whether a connection to an endpoint is encrypted because of the endpoint's identity. */
  encrypts(upstream: number): boolean {
    const { sockets, connections, endpoints } = this.context;
    return sockets.layer[upstream] !== 0 && endpoints.identity.get(connections.endpoint[upstream]) !== '';
  }

  /** A silent client waited in vain for an endpoint of `service`; `unreached`: the endpoint that did not answer. */
  endpointUnavailable(client: number, service: number, unreached: boolean): void {
    this.service[client] = service;
    this.failure[client] = REPLY_REASON.CONNECT_FAILED;
    if (!unreached) return;
    const { refusals, connections } = this.context;
    refusals.note(REPLY_REASON.CONNECT_FAILED, client, service, connections.relayedTo[client]);
  }

  /** Makes a tunnel of two sockets that another protocol has released; delivers their inboxes. */
  tunnel(client: number, upstream: number): void {
    const { sockets, wheel } = this.context;
    sockets.kind[client] = SOCKET_KIND.OPAQUE;
    this.reset(client);
    wheel.cancel(client);
    this.join(client, upstream);
    this.scheduleIdle(client);
  }

  /** The dialled endpoint can now receive what was queued for it. */
  ready(upstream: SocketSlot): void {
    const { sockets } = this.context;
    sockets.kind[upstream] = SOCKET_KIND.OPAQUE;
    const client = sockets.peer[upstream];
    if (client < 0) return;
    this.failure[client] = SERVED;
    sockets.resume(upstream);
  }

  /** The endpoint did not answer: tries the next one, with everything the client has sent so far. */
  failed(upstream: SocketSlot, reason: number): void {
    const { connections, sockets } = this.context;
    const client = sockets.peer[upstream];
    if (client < 0) return;
    sockets.peer[client] = NONE;
    sockets.peer[upstream] = NONE;
    this.failure[client] = reason === CLOSE.TIMEOUT ? REPLY_REASON.CONNECT_TIMEOUT : REPLY_REASON.CONNECT_FAILED;
    this.dial(client, connections.endpoint[upstream], true);
    const next = sockets.peer[client];
    if (next < 0) return;
    sockets.moveQueue(upstream, next);
    // It was paused because of a queue that has moved.
    this.flow.throttle(client, next);
  }

  mayHedge(): boolean {
    return true;
  }

  hedged(upstream: SocketSlot, next: SocketSlot): boolean {
    const client = this.context.sockets.peer[upstream];
    return client >= 0 && this.proxyHeaderWriter.writeForHedge(client, next);
  }

  /** Another endpoint was faster: it gets everything the client has sent so far. */
  overtaken(upstream: SocketSlot, next: SocketSlot): boolean {
    const { sockets } = this.context;
    const client = sockets.peer[upstream];
    if (client < 0) return true;
    sockets.peer[upstream] = NONE;
    // Before the client's FIN, which may already be here.
    sockets.moveQueue(upstream, next);
    this.proxyHeaderWriter.queueMoved(next);
    this.join(client, next);
    this.flow.throttle(client, next);
    return true;
  }

  data(slot: number, bid: number, at: number, length: number): void {
    const { sockets, connections, reactor, values } = this.context;
    const peer = sockets.peer[slot];
    connections.active[slot] = reactor.now;
    if (peer < 0 || this.broken[peer] !== 0) {
      this.context.slab.release(bid);
      return;
    }
    values[W.COPIED_BYTES] += length;
    sockets.queue(peer, at, length, bid);
    if (this.flow.received(slot, peer, length)) this.pump(slot);
    this.flow.throttleOnce(slot, peer);
  }

  eof(slot: number): void {
    const { sockets, connections, reactor } = this.context;
    const peer = sockets.peer[slot];
    connections.active[slot] = reactor.now;
    this.flow.endSplice(slot);
    if (peer < 0) {
      connections.close(slot, CLOSE.OK);
      return;
    }
    if (this.broken[slot] !== 0) {
      this.socketFailed(slot, this.broken[slot]);
      return;
    }
    if ((sockets.flags[peer] & SOCKET.EOF) !== 0 && !this.context.splicer.active(peer)) {
      this.end(slot, peer, CLOSE.OK);
      return;
    }
    sockets.shutdown(peer);
    this.scheduleIdle(this.clientOf(slot, peer));
  }

  /** The socket broke. Its peer learns this as it would without a proxy: by a RST after the preceding data. */
  socketFailed(slot: number, errno: number): void {
    const { sockets, connections } = this.context;
    const peer = sockets.peer[slot];
    const reason =
      errno === ERRNO.ECONNRESET || errno === ERRNO.EPIPE
        ? CLOSE.RESET
        : errno === ERRNO.ETIMEDOUT || errno === ERRNO.EPROTO
          ? closeOf(errno)
          : CLOSE.ERROR;
    if (peer >= 0) {
      this.unlink(slot, peer);
      if ((sockets.flags[peer] & SOCKET.CONNECTING) !== 0) connections.close(peer, reason);
      else if ((sockets.flags[slot] & SOCKET.EOF) !== 0 && this.broken[slot] === 0) {
        // The peer has had everything, FIN included; only what it still sends must be answered with a RST, as the kernel does.
        connections.closeWhenSent(peer, reason);
      } else connections.abortWhenSent(peer, reason);
    }
    connections.close(slot, reason);
  }

  /** The socket can no longer be written. What it sent before is still delivered; the end of its stream ends the relay. */
  sendFailed(slot: number, errno: number): void {
    const { sockets } = this.context;
    if (sockets.peer[slot] < 0 || (sockets.flags[slot] & SOCKET.EOF) !== 0) {
      this.socketFailed(slot, errno);
      return;
    }
    this.broken[slot] = errno & 0xff;
    sockets.dropQueue(slot);
  }

  paused(slot: number): void {
    if (this.flow.paused(slot)) this.pump(slot);
  }

  drained(slot: number): void {
    const source = this.context.sockets.peer[slot];
    if (source >= 0 && this.flow.drained(source)) this.pump(source);
  }

  starved(slot: number): void {
    const peer = this.context.sockets.peer[slot];
    if (peer >= 0) this.flow.starved(slot, peer);
  }

  pump(slot: number): void {
    const { splicer, sockets, connections, values, reactor } = this.context;
    const result = splicer.step(slot);
    const peer = sockets.peer[slot];
    if (splicer.bytesIn > 0 || splicer.bytesOut > 0) {
      connections.active[slot] = reactor.now;
      values[connections.meter[slot] + L.READ_BYTES] += splicer.bytesIn;
      if (peer >= 0) values[connections.meter[peer] + L.WRITE_BYTES] += splicer.bytesOut;
      values[W.SPLICED_BYTES] += splicer.bytesOut;
      connections.read[slot] += splicer.bytesIn;
      if (peer >= 0) connections.written[peer] += splicer.bytesOut;
    }
    switch (result) {
      case PUMP.WAIT:
        return;
      case PUMP.EOF:
        sockets.flags[slot] |= SOCKET.EOF;
        this.eof(slot);
        return;
      case PUMP.SLOW:
        this.flow.reset(slot);
        sockets.resume(slot);
        return;
      case PUMP.DESTINATION_FAILED:
        this.flow.endSplice(slot);
        if (peer >= 0) this.sendFailed(peer, splicer.errno);
        return;
      default:
        this.socketFailed(slot, splicer.errno);
    }
  }

  timer(slot: number): void {
    const { sockets, connections, reactor, limits } = this.context;
    const now = reactor.now;
    // For an open relay only the client's timer counts.
    const peer = sockets.peer[slot];
    if (peer < 0 || connections.listener[slot] < 0) return;
    const { opaque } = limits;
    if (opaque.lifetimeMs > 0 && now >= connections.opened[slot] + opaque.lifetimeMs) {
      this.context.limited(LIMIT_LIFETIME);
      this.end(slot, peer, CLOSE.TIMEOUT);
      return;
    }
    const active = Math.max(connections.active[slot], connections.active[peer]);
    const half = ((sockets.flags[slot] | sockets.flags[peer]) & SOCKET.EOF) !== 0;
    if (half && opaque.halfCloseTimeoutMs > 0 && now >= active + opaque.halfCloseTimeoutMs) {
      this.context.limited(LIMIT_HALF_CLOSE);
      this.end(slot, peer, CLOSE.TIMEOUT);
    } else if (opaque.idleTimeoutMs > 0 && now >= active + opaque.idleTimeoutMs) {
      this.context.limited(LIMIT_IDLE);
      this.end(slot, peer, CLOSE.TIMEOUT);
    } else this.scheduleIdle(slot);
  }

  /** Ends a relay; queued data is still sent. */
  end(slot: number, peer: number, reason: number): void {
    const { connections, sockets } = this.context;
    this.unlink(slot, peer);
    if ((sockets.flags[peer] & SOCKET.CONNECTING) !== 0) connections.close(peer, reason);
    else connections.closeWhenSent(peer, reason);
    connections.closeWhenSent(slot, reason);
  }

  /** The rules now forbid it: closes both sides. */
  deny(client: number): void {
    const { connections, sockets } = this.context;
    const peer = sockets.peer[client];
    this.failure[client] = REPLY_REASON.UNAUTHORIZED;
    if (peer >= 0) {
      this.unlink(client, peer);
      connections.abort(peer, CLOSE.UNAUTHORIZED);
    }
    connections.abort(client, CLOSE.UNAUTHORIZED);
  }

  /** The client may not be relayed. */
  private refuse(client: number, upstream: number): void {
    const { connections } = this.context;
    this.failure[client] = REPLY_REASON.UNAUTHORIZED;
    if (upstream >= 0) connections.close(upstream, CLOSE.OK);
    connections.abort(client, CLOSE.UNAUTHORIZED);
  }

  /** `inherits`: data queued for the previous endpoint moves to the next one, including its PROXY header. */
  private dial(client: number, exclude: number, inherits: boolean): void {
    const { balancer, reactor, connections, sockets } = this.context;
    const service = this.service[client];
    let why: number = CLOSE.NO_ENDPOINT;
    while (this.attempts[client] < DIAL_ATTEMPTS) {
      this.attempts[client]++;
      const endpoint = balancer.pickConnection(service, reactor.ms, exclude);
      if (endpoint < 0) break;
      const upstream = this.dialer.dial(endpoint, PURPOSE.OPAQUE, this.plain[client] === 1);
      if (upstream >= 0) {
        if (inherits) this.proxyHeaderWriter.queueMoved(upstream);
        else this.proxyHeaderWriter.reset(upstream);
        if (!this.proxyHeaderWriter.write(client, upstream)) {
          connections.close(upstream, CLOSE.OK);
          why = CLOSE.LIMIT;
          break;
        }
        this.join(client, upstream);
        this.scheduleIdle(client);
        return;
      }
      // The pick must be answered, or a breaker probe would be lost.
      balancer.connectAbandoned(endpoint);
      this.failure[client] = connectFailureReason(upstream, balancer.lastFailure(endpoint));
      connections.relayedTo[client] = endpoint;
      if (upstream === DIAL.LIMIT) why = CLOSE.LIMIT;
      else if (upstream === DIAL.FAILED || upstream === DIAL.FILES) why = CLOSE.ERROR;
      if (upstream !== DIAL.FAILED && upstream !== DIAL.FILES) exclude = endpoint;
    }
    if (exclude >= 0 && this.attempts[client] < DIAL_ATTEMPTS) {
      // Exclude nothing but the endpoint that has just failed.
      this.dial(client, NONE, inherits);
      return;
    }
    // The client sees what it would see of a dead endpoint without a proxy.
    sockets.peer[client] = NONE;
    this.context.refusals.note(this.failure[client], client, service, connections.relayedTo[client]);
    connections.abort(client, why);
  }

  private join(client: number, upstream: number): void {
    const { sockets, connections, inbox } = this.context;
    if (sockets.kind[upstream] === SOCKET_KIND.DIALLING) this.dialer.reassign(upstream as SocketSlot, PURPOSE.OPAQUE);
    else sockets.kind[upstream] = SOCKET_KIND.OPAQUE;
    this.reset(upstream);
    this.flow.release(client);
    sockets.peer[client] = upstream;
    sockets.peer[upstream] = client;
    connections.relayedTo[client] = connections.endpoint[upstream];
    for (let bid = inbox.shift(client); bid >= 0; bid = inbox.shift(client)) {
      sockets.queue(upstream, inbox.startOf(bid), inbox.endOf(bid) - inbox.startOf(bid), bid);
    }
    for (let bid = inbox.shift(upstream); bid >= 0; bid = inbox.shift(upstream)) {
      sockets.queue(client, inbox.startOf(bid), inbox.endOf(bid) - inbox.startOf(bid), bid);
    }
    connections.active[upstream] = this.context.reactor.now;
    if ((sockets.flags[upstream] & SOCKET.CONNECTING) === 0) sockets.resume(upstream);
    if ((sockets.flags[client] & SOCKET.EOF) !== 0) sockets.shutdown(upstream);
    else sockets.resume(client);
  }

  private reset(slot: number): void {
    this.flow.reset(slot);
    this.broken[slot] = 0;
  }

  private unlink(slot: number, peer: number): void {
    const { sockets, splicer } = this.context;
    splicer.stop(slot);
    splicer.stop(peer);
    sockets.peer[slot] = NONE;
    sockets.peer[peer] = NONE;
  }

  private clientOf(slot: number, peer: number): number {
    return this.context.connections.listener[slot] >= 0 ? slot : peer;
  }

  private scheduleIdle(client: number): void {
    const { sockets, connections, limits, wheel } = this.context;
    const peer = sockets.peer[client];
    if (peer < 0) return;
    const { opaque } = limits;
    const active = Math.max(connections.active[client], connections.active[peer]);
    let deadline = Number.POSITIVE_INFINITY;
    if (opaque.lifetimeMs > 0) deadline = connections.opened[client] + opaque.lifetimeMs;
    if (opaque.idleTimeoutMs > 0) deadline = Math.min(deadline, active + opaque.idleTimeoutMs);
    const half = ((sockets.flags[client] | sockets.flags[peer]) & SOCKET.EOF) !== 0;
    if (half && opaque.halfCloseTimeoutMs > 0) deadline = Math.min(deadline, active + opaque.halfCloseTimeoutMs);
    if (deadline !== Number.POSITIVE_INFINITY) wheel.pull(client, deadline);
  }
}
