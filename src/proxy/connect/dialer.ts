// Dials endpoints until the connection can carry payload. The caller hears exactly once: ready or failed. This file has the connect
// timeout, the reports to the balancer, the metrics, and everything that must happen before the first byte of payload, which for HTTP/2
// includes receiving the endpoint's SETTINGS. Payload may be queued in the meantime, and moved to the next dial.

import { HEALTH_SIGNAL } from '../../balance/health-signals.js';
import { column } from '../../http/columns.js';
import { objectArray } from '../../http/object-array.js';
import { ERRNO } from '../../io/abi.js';
import { E, ENDPOINT_HISTOGRAMS, endpointHistogram, LIMITS, W } from '../../metrics/layout.js';
import { ALPN } from '../../tls/alpn.js';
import { FAILURE } from '../../tls/failures.js';
import { SESSION, writeTransportHeader } from '../../tls/transport-header.js';
import type { Context } from '../context.js';
import { REFUSED } from '../refusals.js';
import type { SocketSlot } from '../slots.js';
import { CLOSE, SOCKET_KIND } from './connections.js';
import { Hedges } from './hedges.js';
import { KNOWN, SERVICE_PROTOCOL, VERSION } from './protocols.js';

const LIMIT_POOL = LIMITS.indexOf('pool-connections');
const LIMIT_OPAQUE = LIMITS.indexOf('opaque-connections');
const LIMIT_FILES = LIMITS.indexOf('file-descriptors');
const LIMIT_CONNECT = LIMITS.indexOf('connect-time');
const CONNECT_US = ENDPOINT_HISTOGRAMS.indexOf('connect_us');
/** Timeout for an endpoint's SETTINGS if there is no connect timeout, ms. */
const SETTINGS_TIMEOUT_MS = 10_000;
const NEVER = Number.POSITIVE_INFINITY;
const NONE = -1;

/** HEALTH_SIGNAL of a dial that failed with a CLOSE; by default it was refused. */
const HEALTH_SIGNAL_OF: Readonly<Record<number, number>> = {
  [CLOSE.TIMEOUT]: HEALTH_SIGNAL.CONNECT_TIMEOUT,
  [CLOSE.TLS]: HEALTH_SIGNAL.TLS_FAILED,
};

/** What a connection is for; determines the caller. */
export const PURPOSE = { RACE: 0, OPAQUE: 1, HTTP1: 2, HTTP2: 3 } as const;

/** What the opaque transport header announces, by PURPOSE. */
const SESSIONS = [SESSION.OPAQUE, SESSION.OPAQUE, SESSION.HTTP1, SESSION.HTTP2] as const;

const isOpaque = (purpose: number): boolean => purpose === PURPOSE.RACE || purpose === PURPOSE.OPAQUE;

/** Why `dial` returned no connection. */
export const DIAL = {
  /** The endpoint has reached its limit of connections. */
  LIMIT: -1,
  /** No slot is left, or the address family is not available. */
  FAILED: -2,
  /** It is out, its connects fail, and it was dialled a moment ago. */
  PACED: -3,
  /** No file descriptor is left. */
  FILES: -4,
  /** The endpoint expects our identity, and we have none (yet). */
  NO_IDENTITY: -5,
} as const;

/** Who asks for connections. */
export interface Caller {
  /** The connection can carry payload; the caller sets its kind. */
  ready(socket: SocketSlot): void;
  /**
   * There will be no connection, for this CLOSE reason. Data queued on the socket is available until this returns; then the socket is
   * closed.
   */
  failed(socket: SocketSlot, reason: number): void;
  /** Whether a slow dial may be raced by a second one. Without this method it may not. */
  mayHedge?(socket: SocketSlot): boolean;
  /** `next` is about to race `socket`. False if it would be of no use. */
  hedged?(socket: SocketSlot, next: SocketSlot): boolean;
  /**
   * `next`, a dial to another endpoint, has beaten `socket` or continues alone. True if it replaces `socket`, which is then closed.
   * Otherwise `next` is a connection that nobody asked for, and a failed `socket` is reported as failed.
   */
  overtaken?(socket: SocketSlot, next: SocketSlot): boolean;
}

export class Dialer {
  private readonly purpose: Uint8Array;
  /** 1: the payload is already encrypted. */
  private readonly plain: Uint8Array;
  /** 1: it begins with an opaque transport header. */
  private readonly transportHeader: Uint8Array;
  private readonly callers = objectArray<Caller>();
  private readonly hedges: Hedges;

  constructor(private readonly context: Context) {
    this.purpose = column(Uint8Array, context.sockets.capacity);
    this.plain = column(Uint8Array, context.sockets.capacity);
    this.transportHeader = column(Uint8Array, context.sockets.capacity);
    this.hedges = new Hedges(context.sockets.capacity);
    context.connections.dialAbandoned = (socket) => this.abandoned(socket);
  }

  /** Columns by socket of which the cells of free slots may become 0. */
  columns(): readonly ArrayBufferView[] {
    return [this.purpose, this.plain, this.transportHeader, ...this.hedges.columns()];
  }

  /** Registers `caller` for connections with `purpose`. */
  serve(purpose: number, caller: Caller): void {
    this.callers[purpose] = caller;
  }

  /**
   * Starts connecting to `endpoint`; returns a socket or a DIAL code. `plain`: the payload is already encrypted, and the mesh does not
   * encrypt it again.
   */
  dial(endpoint: number, purpose: number, plain = false): number {
    const { context } = this;
    const { endpoints, services, connections, balancer } = context;
    const service = endpoints.service[endpoint];
    if (service < 0) return DIAL.FAILED;
    const bare = plain && context.isMeshEndpoint(endpoint);
    // Never in plain text.
    if (!bare && (context.meshClient === 0 || context.tls === undefined) && context.isMeshEndpoint(endpoint))
      return DIAL.NO_IDENTITY;
    if (this.atLimit(endpoint, service, purpose)) return DIAL.LIMIT;
    if (!balancer.mayDial(endpoint, context.reactor.ms)) {
      context.values[endpoints.base[endpoint] + E.DIALS_PACED]++;
      return DIAL.PACED;
    }
    const family = endpoints.family[endpoint] === 6 ? 6 : 4;
    const fd = context.native.socket(family, services.keepAliveMs[service], services.userTimeoutMs[service]);
    if (fd < 0) {
      if (fd !== -ERRNO.EMFILE && fd !== -ERRNO.ENFILE) return DIAL.FAILED;
      context.limited(LIMIT_FILES);
      return DIAL.FILES;
    }
    const slot = connections.openEndpoint(fd, endpoint, SOCKET_KIND.DIALLING, bare);
    if (slot < 0) {
      context.native.close(fd);
      return DIAL.FAILED;
    }
    const socket = slot as SocketSlot;
    this.purpose[socket] = purpose;
    this.plain[socket] = plain ? 1 : 0;
    if (bare) context.values[W.TLS_PASSED]++;
    connections.dialPending[socket] = 1;
    connections.setOpaque(socket, isOpaque(purpose));
    this.hedges.reset(socket);
    balancer.opened(endpoint);
    balancer.dials.begun(endpoint, context.reactor.ms);
    // A connection to the endpoint's proxy begins with a header that names its destination.
    const headed = !bare && endpoints.proxyPort[endpoint] > 0 && context.isMeshEndpoint(endpoint);
    this.transportHeader[socket] = headed ? 1 : 0;
    const at = headed ? endpoints.proxyAt[endpoint] : endpoints.addressAt[endpoint];
    context.sockets.connect(socket, at, endpoints.addressLength[endpoint]);
    const deadline = Math.min(this.deadline(socket), this.hedgeAt(socket));
    if (deadline !== NEVER) context.wheel.pull(socket, deadline);
    return socket;
  }

  /** Gives a connection being established another purpose. */
  reassign(socket: SocketSlot, purpose: number): void {
    this.purpose[socket] = purpose;
    this.context.connections.setOpaque(socket, isOpaque(purpose));
    const rival = this.hedges.rival(socket);
    if (rival < 0) return;
    this.purpose[rival] = purpose;
    this.context.connections.setOpaque(rival, isOpaque(purpose));
  }

  /** The TCP handshake is complete. */
  connected(socket: SocketSlot, result: number): void {
    const { connections, reactor, metrics, endpoints, sockets } = this.context;
    if (result < 0) {
      if (result === -ERRNO.EPROTO) this.tlsFailed(socket);
      else if (isLocalError(-result)) this.failLocally(socket);
      else this.fail(socket, result === -ERRNO.ETIMEDOUT ? CLOSE.TIMEOUT : CLOSE.REFUSED);
      return;
    }
    if (this.transportHeader[socket] === 1 && !this.queueTransportHeader(socket)) return;
    const series = endpoints.series[connections.endpoint[socket]];
    metrics.record(endpointHistogram(series, CONNECT_US), (reactor.now - connections.opened[socket]) * 1000);
    if (this.purpose[socket] !== PURPOSE.HTTP2) this.complete(socket);
    else if (this.declinedHttp2(socket)) this.closeFailed(socket, CLOSE.PROTOCOL);
    else sockets.resume(socket);
  }

  /** Queues the opaque transport header before everything else. False if that failed the dial. */
  private queueTransportHeader(socket: SocketSlot): boolean {
    const { tls, slab, sockets, connections, endpoints, refusals } = this.context;
    const endpoint = connections.endpoint[socket];
    if (tls?.alpn[socket] !== ALPN.TRANSPORT) {
      refusals.note(REFUSED.TRANSPORT_UNSPOKEN, NONE, endpoints.service[endpoint], endpoint);
      this.fail(socket, CLOSE.TLS);
      return false;
    }
    const bid = slab.take();
    if (bid < 0) {
      this.failLocally(socket);
      return false;
    }
    const at = slab.dataStart(bid);
    const session = SESSIONS[this.purpose[socket]];
    const length = writeTransportHeader(slab.bytes, at, endpoints.port[endpoint], '', session);
    sockets.queueFirst(socket, at, length, bid);
    return true;
  }

  purposeOf(socket: number): number {
    return this.purpose[socket];
  }

  /** The connection can carry payload. HTTP/2 calls this when it has received SETTINGS. */
  complete(socket: SocketSlot): void {
    const { connections, balancer, reactor, wheel } = this.context;
    wheel.cancel(socket);
    if (connections.dialPending[socket] === 1) {
      connections.dialPending[socket] = 0;
      const elapsedUs = Math.round((reactor.now - connections.opened[socket]) * 1000);
      const decides = this.purpose[socket] === PURPOSE.OPAQUE || this.purpose[socket] === PURPOSE.RACE;
      balancer.connected(connections.endpoint[socket], reactor.ms, elapsedUs, decides);
      balancer.dials.succeeded(connections.endpoint[socket], reactor.ms);
    }
    this.won(socket);
    this.callers[this.purpose[socket]].ready(socket);
  }

  /** An established connection turned out useless: it was closed, broke, or its endpoint did not say what it had to. */
  closeFailed(socket: SocketSlot, reason: number): void {
    if (!this.replaced(socket)) this.callers[this.purpose[socket]].failed(socket, reason);
    this.context.connections.close(socket, reason);
  }

  /** As `closeFailed`, but our last bytes are still to be sent. */
  refuse(socket: SocketSlot, reason: number): void {
    this.callers[this.purpose[socket]].failed(socket, reason);
    this.context.connections.closeWhenSent(socket, reason);
  }

  timer(socket: SocketSlot): void {
    const { reactor, wheel } = this.context;
    const deadline = this.deadline(socket);
    if (reactor.now < deadline) {
      if (reactor.now >= this.hedgeAt(socket)) this.hedge(socket);
      const next = Math.min(deadline, this.hedgeAt(socket));
      if (next !== NEVER) wheel.schedule(socket, next);
      return;
    }
    this.context.limited(LIMIT_CONNECT);
    this.context.tls?.dialTimedOut(socket);
    this.fail(socket, CLOSE.TIMEOUT);
  }

  /** The endpoint does not speak the expected protocol: as good as no connection. */
  wrongProtocol(socket: SocketSlot): void {
    this.failed(socket, HEALTH_SIGNAL.RESET);
  }

  private fail(socket: SocketSlot, reason: number): void {
    this.failed(socket, HEALTH_SIGNAL_OF[reason] ?? HEALTH_SIGNAL.CONNECT_REFUSED);
    this.closeFailed(socket, reason);
  }

  /** The TLS handshake has failed: the connection is useless. */
  private tlsFailed(socket: SocketSlot): void {
    const { tls, connections, services, endpoints, protocols } = this.context;
    const cause = tls?.cause[socket] ?? FAILURE.INTERNAL;
    if (cause === FAILURE.INTERNAL) {
      this.failLocally(socket);
      return;
    }
    const endpoint = connections.endpoint[socket];
    const service = endpoints.service[endpoint];
    if (cause !== FAILURE.ALPN || service < 0 || services.protocol[service] !== SERVICE_PROTOCOL.AUTO) {
      this.fail(socket, CLOSE.TLS);
      return;
    }
    // It speaks another version than offered; the HTTP/2 code records its own part.
    if (this.purpose[socket] === PURPOSE.HTTP1) protocols.learn(endpoint, VERSION.HTTP1, KNOWN.REFUSED);
    this.closeFailed(socket, CLOSE.PROTOCOL);
  }

  /** Whether HTTP/2 was offered to an endpoint that is otherwise unknown, and not agreed on. */
  private declinedHttp2(socket: SocketSlot): boolean {
    const { tls, sockets, connections, services, endpoints } = this.context;
    if (tls === undefined || sockets.layer[socket] === 0 || this.context.isMeshEndpoint(connections.endpoint[socket]))
      return false;
    const service = endpoints.service[connections.endpoint[socket]];
    return service >= 0 && services.protocol[service] === SERVICE_PROTOCOL.AUTO && tls.declinedHttp2(socket);
  }

  private failed(socket: SocketSlot, signal: number): void {
    const { balancer, reactor, values, endpoints, connections } = this.context;
    const endpoint = connections.endpoint[socket];
    connections.dialPending[socket] = 0;
    values[endpoints.base[endpoint] + E.CONNECT_FAILURES]++;
    balancer.connectFailed(endpoint, reactor.ms, signal);
    balancer.dials.failed(endpoint, reactor.ms);
  }

  /** The dial failed on our side, which says nothing about the endpoint; closing it tells the balancer so. */
  private failLocally(socket: SocketSlot): void {
    const { values, endpoints, connections } = this.context;
    values[endpoints.base[connections.endpoint[socket]] + E.CONNECT_FAILURES]++;
    this.closeFailed(socket, CLOSE.ERROR);
  }

  /** Starts a second dial to another endpoint, because this one is slow. */
  private hedge(socket: SocketSlot): void {
    const { balancer, connections, endpoints, services, reactor, values } = this.context;
    const endpoint = connections.endpoint[socket];
    const service = endpoints.service[endpoint];
    const purpose = this.purpose[socket];
    const caller = this.callers[purpose];
    if (service < 0 || caller.overtaken === undefined || caller.mayHedge?.(socket) !== true) {
      this.hedges.request(socket);
      return;
    }
    const other = balancer.pickConnection(service, reactor.ms, endpoint);
    const second = other < 0 ? other : this.dial(other, purpose, this.plain[socket] === 1);
    if (second < 0) {
      if (other >= 0) balancer.connectAbandoned(other);
      const elapsed = reactor.now - connections.opened[socket];
      this.hedges.postpone(socket, Math.floor(elapsed / services.hedgeDelayMs[service]));
      return;
    }
    this.hedges.request(socket);
    if (caller.hedged?.(socket, second as SocketSlot) === false) {
      connections.close(second, CLOSE.OK);
      return;
    }
    values[W.HEDGES]++;
    this.hedges.join(socket, second as SocketSlot);
  }

  /** The dial finished first. */
  private won(socket: SocketSlot): void {
    const { connections, values, balancer, reactor } = this.context;
    const rival = this.hedges.rival(socket);
    if (rival < 0) return;
    const second = this.hedges.isSecond(socket);
    if (second) {
      values[W.HEDGES_WON]++;
      this.callers[this.purpose[socket]].overtaken?.(rival as SocketSlot, socket);
    }
    this.hedges.separate(socket);
    if (connections.dialPending[rival] === 1) {
      connections.dialPending[rival] = 0;
      const endpoint = connections.endpoint[rival];
      balancer.connectAbandoned(endpoint);
      balancer.dials.abandoned(endpoint, reactor.ms, second);
    }
    connections.close(rival, CLOSE.OK);
  }

  /** Whether a failed dial has a rival that continues in its place, or is itself one that nobody knows of. */
  private replaced(socket: SocketSlot): boolean {
    const rival = this.hedges.rival(socket);
    if (rival < 0) return false;
    const second = this.hedges.isSecond(socket);
    this.hedges.separate(socket);
    if (second) return true;
    if (this.callers[this.purpose[socket]].overtaken?.(socket, rival as SocketSlot) !== true) return false;
    const at = this.hedgeAt(rival as SocketSlot);
    if (at !== NEVER) this.context.wheel.pull(rival, at);
    return true;
  }

  /** A dial is closed undecided, and its rival with it. */
  private abandoned(socket: SocketSlot): void {
    const { balancer, connections, reactor } = this.context;
    balancer.dials.abandoned(connections.endpoint[socket], reactor.ms, false);
    const rival = this.hedges.rival(socket);
    if (rival < 0) return;
    this.hedges.separate(socket);
    connections.close(rival, CLOSE.OK);
  }

  /** When to start a second dial, ms. */
  private hedgeAt(socket: SocketSlot): number {
    const { connections, services, endpoints } = this.context;
    const service = endpoints.service[connections.endpoint[socket]];
    const delay = service < 0 ? 0 : services.hedgeDelayMs[service];
    return delay > 0 && this.hedges.allowed(socket)
      ? connections.opened[socket] + delay * this.hedges.delays(socket)
      : NEVER;
  }

  /** Whether the endpoint has reached its limit of this kind of connection. */
  private atLimit(endpoint: number, service: number, purpose: number): boolean {
    const { services, connections, balancer, limits } = this.context;
    const opaque = connections.opaqueTo(endpoint);
    if (isOpaque(purpose)) {
      const { maxConnections } = limits.opaque;
      if (maxConnections === 0 || opaque < maxConnections) return false;
      this.context.limited(LIMIT_OPAQUE);
      return true;
    }
    if (balancer.connections(endpoint) - opaque < services.maxConnections[service]) return false;
    this.context.limited(LIMIT_POOL);
    return true;
  }

  /** When the dial times out, ms. */
  private deadline(socket: SocketSlot): number {
    const { connections, services, endpoints } = this.context;
    const service = endpoints.service[connections.endpoint[socket]];
    // Do not wait for a removed endpoint.
    const timeout = service < 0 ? 1 : services.connectTimeoutMs[service];
    if (timeout > 0) return connections.opened[socket] + timeout;
    return this.purpose[socket] === PURPOSE.HTTP2 ? connections.opened[socket] + SETTINGS_TIMEOUT_MS : NEVER;
  }
}

/** Whether a connect failed because of a shortage on our side: ports, memory, descriptors. */
function isLocalError(errno: number): boolean {
  switch (errno) {
    case ERRNO.EADDRNOTAVAIL:
    case ERRNO.EAGAIN:
    case ERRNO.ENOBUFS:
    case ERRNO.ENOMEM:
    case ERRNO.EMFILE:
    case ERRNO.ENFILE:
      return true;
    default:
      return false;
  }
}
