// What the protocols know about each connection apart from its socket: its listener or endpoint, its age, and its place in the metrics.

import type { Balancer } from '../../balance/balancer.js';
import { column } from '../../http/columns.js';
import { objectArray } from '../../http/object-array.js';
import { ERRNO } from '../../io/abi.js';
import type { Inbox } from '../../io/inbox.js';
import type { Native } from '../../io/native.js';
import type { Reactor } from '../../io/reactor.js';
import { SOCKET, type Sockets } from '../../io/sockets.js';
import type { Splicer } from '../../io/splice.js';
import type { TimerWheel } from '../../io/timer-wheel.js';
import type { ClientSeries } from '../../metrics/client-series.js';
import { C, CLOSE_REASONS, E, L, listenerBase, W } from '../../metrics/layout.js';
import type { TlsPeers } from '../../tls/peers.js';
import { ENDPOINT_SLOTS } from '../capacity.js';
import type { SocketSlot } from '../slots.js';

/** What a socket is doing, and therefore who handles its events. 0 is a free slot. */
export const SOCKET_KIND = {
  FREE: 0,
  /** A client whose protocol is not known yet. */
  DETECT: 1,
  /** A connection opened for a silent client. */
  RACE: 2,
  HTTP1_CLIENT: 3,
  HTTP1_ENDPOINT: 4,
  /** Either side of an opaque relay or a tunnel. */
  OPAQUE: 5,
  /** Already answered; read to the end so that the answer survives. */
  LINGER: 6,
  HTTP2_CLIENT: 7,
  HTTP2_ENDPOINT: 8,
  /** A connection being established. */
  DIALLING: 9,
  /** A socket that carries the data of a stream: one side of a tunnel. */
  TUNNEL: 10,
  /** A client whose destination is not known yet. */
  ROUTE: 11,
  /** A client that must first send a PROXY header. */
  PROXY_HEADER: 12,
  /** A client that must first send an opaque transport header. */
  TRANSPORT_HEADER: 13,
  /** A client whose TLS handshake is in progress. */
  TLS_HANDSHAKE: 14,
} as const;
export type SocketKind = (typeof SOCKET_KIND)[keyof typeof SOCKET_KIND];

/** Indices into CLOSE_REASONS. */
export const CLOSE = {
  OK: CLOSE_REASONS.indexOf('ok'),
  RESET: CLOSE_REASONS.indexOf('reset'),
  TIMEOUT: CLOSE_REASONS.indexOf('timeout'),
  ERROR: CLOSE_REASONS.indexOf('error'),
  REFUSED: CLOSE_REASONS.indexOf('refused'),
  PROTOCOL: CLOSE_REASONS.indexOf('protocol'),
  DRAIN: CLOSE_REASONS.indexOf('drain'),
  LIMIT: CLOSE_REASONS.indexOf('limit'),
  NO_ENDPOINT: CLOSE_REASONS.indexOf('no-endpoint'),
  UNAUTHORIZED: CLOSE_REASONS.indexOf('unauthorized'),
  /** Its TLS handshake failed, or it violated TLS, for example by closing without close_notify. */
  TLS: CLOSE_REASONS.indexOf('tls'),
} as const;

/** The CLOSE for a connection that failed with `errno`. */
export function closeOf(errno: number): number {
  switch (errno) {
    case ERRNO.ETIMEDOUT:
      return CLOSE.TIMEOUT;
    case ERRNO.EPROTO:
      return CLOSE.TLS;
    default:
      return CLOSE.RESET;
  }
}

const NONE = -1;
/** After a connection is over for us: how long its peer may accept none of the last bytes, ms. */
const SEND_TIMEOUT_MS = 300_000;

/** Is told of the ends of client connections, while anybody observes them. */
export interface ClientLog {
  /** It has ended; `reason` is its CLOSE. */
  ended(client: SocketSlot, reason: number): void;
  /** It violated HTTP/2: its requests are lost with the connection. */
  violated(client: SocketSlot, reason: number): void;
}

/** What this needs of the worker's context. */
interface Shared {
  readonly sockets: Sockets;
  readonly splicer: Splicer;
  readonly inbox: Inbox;
  readonly wheel: TimerWheel;
  readonly reactor: Reactor;
  readonly native: Native;
  readonly balancer: Balancer;
  readonly values: Float64Array;
  readonly loadBoard: Int32Array;
  readonly workerId: number;
  readonly endpoints: { readonly base: Int32Array };
  readonly destinations: {
    isOriginal(destination: number): boolean;
    release(destination: number, client: number, now: number): void;
  };
  readonly observed: boolean;
  readonly authorization: { forget(exchange: number): void };
  readonly connectionLog: ClientLog;
  readonly clientSeries: Pick<ClientSeries, 'waits' | 'baseOf'>;
  readonly peers: Pick<TlsPeers, 'identity' | 'nameOf'>;
}

export class Connections {
  /** Listener slot of a client connection, -1 for upstream connections. */
  readonly listener: Int16Array;
  /** Destination slot of a client connection. */
  readonly destination: Int32Array;
  /** Endpoint slot of an upstream connection, -1 for client connections. */
  readonly endpoint: Int32Array;
  /** First value of its block in the metrics: the endpoint's, the listener's, or that of similar clients on the listener. */
  readonly meter: Int32Array;
  /** When the connection was accepted or dialled, ms. */
  readonly opened: Float64Array;
  /** Last activity, ms. */
  readonly active: Float64Array;
  /** Bytes received and sent, counted while anybody observes. */
  readonly read: Float64Array;
  readonly written: Float64Array;
  /** Addresses of clients, read while available: the kernel forgets the address of a peer that resets. */
  private readonly peers = objectArray<string | undefined>();
  /** Endpoint that an opaque client was relayed to, -1 before; for the access log. */
  readonly relayedTo: Int32Array;
  /** Clients' destinations, from PROXY headers. */
  private readonly proxiedDestinations = objectArray<string | undefined>();
  /** 1 if the connection to an endpoint carries an opaque one, and is counted as such; and the number per endpoint. */
  private readonly opaque: Uint8Array;
  private readonly opaqueOf = column(Int32Array, ENDPOINT_SLOTS);
  /** How often all connections of an endpoint have been abandoned, and the value of this when a connection was dialled. */
  private readonly endpointEpochs = column(Uint16Array, ENDPOINT_SLOTS);
  private readonly epoch: Uint16Array;
  /** 1 while the outcome of a dial is open; set by the dialer. */
  readonly dialPending: Uint8Array;
  /** Is told of dials that end undecided because nobody wants them any more: the dialer. */
  dialAbandoned: ((socket: SocketSlot) => void) | undefined;
  /** 1 for clients not counted as opened yet, because their identity is not known. */
  private readonly uncounted: Uint8Array;
  /** 1 while a client's bytes are not counted: they may be TLS that ends here, or a header, rather than the application's. */
  readonly countingDeferred: Uint8Array;
  /** 1 once the connection is over for us. It keeps its meter, because its last bytes are still counted. */
  private readonly ended: Uint8Array;
  /** Number of open client connections. */
  clients = 0;
  private readonly context: Shared;

  constructor(context: Shared) {
    const n = context.sockets.capacity;
    this.context = context;
    this.listener = column(Int16Array, n);
    this.destination = column(Int32Array, n);
    this.endpoint = column(Int32Array, n);
    this.meter = column(Int32Array, n);
    this.opened = column(Float64Array, n);
    this.active = column(Float64Array, n);
    this.read = column(Float64Array, n);
    this.written = column(Float64Array, n);
    this.relayedTo = column(Int32Array, n);
    this.dialPending = column(Uint8Array, n);
    this.opaque = column(Uint8Array, n);
    this.epoch = column(Uint16Array, n);
    this.uncounted = column(Uint8Array, n);
    this.countingDeferred = column(Uint8Array, n);
    this.ended = column(Uint8Array, n);
    for (const column of [this.listener, this.endpoint, this.relayedTo]) context.sockets.setDefault(column, NONE);
    context.sockets.setDefault(this.ended, 1);
  }

  /** Columns by socket of which the cells of free slots may become 0. */
  columns(): readonly ArrayBufferView[] {
    return [
      this.destination,
      this.meter,
      this.opened,
      this.active,
      this.read,
      this.written,
      this.dialPending,
      this.opaque,
      this.epoch,
      this.uncounted,
      this.countingDeferred,
    ];
  }

  /** A client connection on `listener`; -1 (and the fd stays the caller's) when the table is full. */
  openClient(fd: number, listener: number, kind: number): SocketSlot | -1 {
    const { sockets, values, reactor } = this.context;
    const slot = sockets.adopt(fd, kind);
    if (slot < 0) return NONE;
    const meter = listenerBase(listener);
    this.listener[slot] = listener;
    // The listener's own, until the router decides otherwise.
    this.destination[slot] = listener;
    this.endpoint[slot] = NONE;
    this.meter[slot] = meter;
    this.opened[slot] = reactor.now;
    this.active[slot] = reactor.now;
    this.ended[slot] = 0;
    // Columns that rest at 0 take memory only when written, and arrays grow with each write, even of `undefined`.
    if (this.read[slot] !== 0) this.read[slot] = 0;
    if (this.written[slot] !== 0) this.written[slot] = 0;
    if (this.relayedTo[slot] !== NONE) this.relayedTo[slot] = NONE;
    const peer = this.context.observed ? this.context.native.peerName(fd) : undefined;
    if (this.peers[slot] !== peer) this.peers[slot] = peer;
    if (this.proxiedDestinations[slot] !== undefined) this.proxiedDestinations[slot] = undefined;
    this.clients++;
    if (this.context.clientSeries.waits(listener)) {
      this.uncounted[slot] = 1;
      this.countingDeferred[slot] = 1;
    } else {
      if (this.uncounted[slot] !== 0) this.uncounted[slot] = 0;
      values[meter + L.OPEN_TOTAL]++;
    }
    values[meter + L.OPEN]++;
    values[W.CONNECTIONS_OPEN]++;
    const layer = reactor.transport?.accepts(listener, slot) ?? 0;
    if (layer !== 0) sockets.attach(slot, layer, true);
    return slot as SocketSlot;
  }

  /** The TLS outcome of a client (`seen`, a SEEN) and its identity are known: it is now counted with similar clients. */
  identified(slot: number, seen: number): void {
    if (this.uncounted[slot] === 0 || this.ended[slot] === 1) return;
    const { values, clientSeries, peers } = this.context;
    this.uncounted[slot] = 0;
    const base = clientSeries.baseOf(this.listener[slot], seen, peers.nameOf(peers.identity[slot]));
    if (base >= 0) {
      values[this.meter[slot] + L.OPEN]--;
      values[this.meter[slot] + L.COUNTED_BY_IDENTITY]++;
      values[base + C.OPEN]++;
      this.meter[slot] = base;
    }
    values[this.meter[slot] + L.OPEN_TOTAL]++;
    this.startCounting(slot);
  }

  /** From now on a client's bytes are the application's, including those received and waiting for the next owner. */
  startCounting(slot: number): void {
    if (this.countingDeferred[slot] === 0) return;
    this.countingDeferred[slot] = 0;
    const { values, inbox, observed } = this.context;
    const length = inbox.bytes[slot];
    values[this.meter[slot] + L.READ_BYTES] += length;
    if (observed) this.read[slot] += length;
  }

  /** Peer address of an open connection; '' if unknown. */
  peerName(slot: number): string {
    if (slot < 0) return '';
    const { native, sockets } = this.context;
    this.peers[slot] ??= native.peerName(sockets.fd[slot]);
    return this.peers[slot] ?? '';
  }

  /** `bare`: nothing lies between the socket and the protocols, whatever the endpoint. */
  openEndpoint(fd: number, endpoint: number, kind: number, bare = false): SocketSlot | -1 {
    const { sockets, values, reactor } = this.context;
    const slot = sockets.adopt(fd, kind);
    if (slot < 0) return NONE;
    const meter = this.context.endpoints.base[endpoint] + (bare ? E.PASSED : 0);
    this.listener[slot] = NONE;
    this.endpoint[slot] = endpoint;
    this.meter[slot] = meter;
    this.opened[slot] = reactor.now;
    this.active[slot] = reactor.now;
    this.ended[slot] = 0;
    const epoch = this.endpointEpochs[endpoint];
    if (this.epoch[slot] !== epoch) this.epoch[slot] = epoch;
    values[meter + E.OPEN_TOTAL]++;
    values[meter + E.OPEN]++;
    const layer = bare ? 0 : (reactor.transport?.dials(endpoint, slot) ?? 0);
    if (layer !== 0) sockets.attach(slot, layer, false);
    return slot as SocketSlot;
  }

  /**
   * The endpoint is gone, has a new identity, or is dialled in another way: its current connections, and those being established, are not
   * used for anyone else.
   */
  advanceEpoch(endpoint: number): void {
    this.endpointEpochs[endpoint]++;
  }

  /** Whether a connection to an endpoint is like one dialled now. */
  isCurrent(slot: number): boolean {
    return this.epoch[slot] === this.endpointEpochs[this.endpoint[slot]];
  }

  /** A PROXY header has named the client of the connection and its destination. */
  setProxied(slot: number, source: string, destination: string): void {
    this.peers[slot] = source;
    this.proxiedDestinations[slot] = destination;
  }

  /** The client's destination from a PROXY header; '' if there was none. */
  destinationName(slot: number): string {
    return this.proxiedDestinations[slot] ?? '';
  }

  /** Marks whether a connection to an endpoint carries, or may carry, an opaque one; such a connection is not part of the pool. */
  setOpaque(slot: number, opaque: boolean): void {
    const value = opaque ? 1 : 0;
    this.opaqueOf[this.endpoint[slot]] += value - this.opaque[slot];
    this.opaque[slot] = value;
  }

  /** Opaque connections to `endpoint`, including those being established. */
  opaqueTo(endpoint: number): number {
    return this.opaqueOf[endpoint];
  }

  /** Closes the connection now, counted under `reason` (a CLOSE). Safe to call twice. */
  close(slot: number, reason: number): void {
    if (!this.account(slot, reason)) return;
    if (this.context.sockets.saysGoodbye(slot)) this.sendRestAndClose(slot);
    else this.context.sockets.close(slot);
  }

  /** Closes with RST. */
  abort(slot: number, reason: number): void {
    if (this.account(slot, reason)) this.context.sockets.abort(slot);
  }

  /** Closes with RST once everything queued has been sent: the peer gets what came before the RST, as it would without a proxy. */
  abortWhenSent(slot: number, reason: number): void {
    if (this.closed(slot)) return;
    this.context.sockets.resetOnClose(slot);
    this.closeWhenSent(slot, reason);
  }

  /** Closes once everything queued has been sent; nothing is received any more. */
  closeWhenSent(slot: number, reason: number): void {
    if (this.account(slot, reason)) this.sendRestAndClose(slot);
  }

  /** True once the connection is over for us: only queued data is still sent. */
  closed(slot: number): boolean {
    return this.ended[slot] === 1;
  }

  /** The timer of a connection that is over: closes it unless its peer still accepts bytes. */
  closeTimer(slot: number): void {
    const { sockets, wheel, reactor } = this.context;
    const due = this.active[slot] + SEND_TIMEOUT_MS;
    if (reactor.now < due) wheel.schedule(slot, due);
    else sockets.close(slot);
  }

  /** Closes when everything is sent. */
  private sendRestAndClose(slot: number): void {
    const { sockets, wheel, reactor } = this.context;
    sockets.pause(slot);
    this.active[slot] = reactor.now;
    sockets.closeWhenSent(slot);
    if ((sockets.flags[slot] & SOCKET.CLOSED) === 0) wheel.schedule(slot, reactor.now + SEND_TIMEOUT_MS);
  }

  private account(slot: number, reason: number): boolean {
    if (this.ended[slot] === 1) return false;
    this.ended[slot] = 1;
    const meter = this.meter[slot];
    const { values, loadBoard, workerId, splicer, inbox, destinations } = this.context;
    splicer.stop(slot);
    this.startCounting(slot);
    inbox.clear(slot);
    if (this.listener[slot] >= 0) {
      if (this.context.observed) this.context.connectionLog.ended(slot as SocketSlot, reason);
      if (this.uncounted[slot] === 1) {
        this.uncounted[slot] = 0;
        values[meter + L.OPEN_TOTAL]++;
      }
      values[meter + L.CLOSE + reason]++;
      values[meter + L.OPEN]--;
      const own = listenerBase(this.listener[slot]);
      if (meter !== own) values[own + L.COUNTED_BY_IDENTITY]--;
      values[W.CONNECTIONS_OPEN]--;
      this.clients--;
      this.context.authorization.forget(slot);
      const destination = this.destination[slot];
      if (destinations.isOriginal(destination)) destinations.release(destination, slot, this.context.reactor.now);
      Atomics.sub(loadBoard, workerId, 1);
    } else {
      const endpoint = this.endpoint[slot];
      this.setOpaque(slot, false);
      if (this.dialPending[slot] === 1) {
        // Nobody wants it any more, which says nothing about the endpoint.
        this.dialPending[slot] = 0;
        this.context.balancer.connectAbandoned(endpoint);
        this.dialAbandoned?.(slot as SocketSlot);
      }
      values[meter + E.CLOSE + reason]++;
      values[meter + E.OPEN]--;
      this.context.balancer.closed(endpoint);
    }
    return true;
  }
}
