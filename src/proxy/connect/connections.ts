// What the protocols know of every connection beside its socket: whose it is, since when, and its place in the metrics.
import type { Balancer } from '../../balance/balancer.js';
import { ERRNO } from '../../io/abi.js';
import type { Inbox } from '../../io/inbox.js';
import type { Native } from '../../io/native.js';
import type { Reactor } from '../../io/reactor.js';
import { SOCKET, type Sockets } from '../../io/sockets.js';
import type { Splicer } from '../../io/splice.js';
import type { Wheel } from '../../io/wheel.js';
import type { ClientSeries } from '../../metrics/client-series.js';
import { C, CLOSE_REASONS, E, L, listenerBase, W } from '../../metrics/layout.js';
import type { TlsPeers } from '../../tls/peers.js';
import { ENDPOINT_SLOTS } from '../capacity.js';
import type { SocketSlot } from '../slots.js';

/** What a socket is doing, and so who handles its events. 0 is a free slot. */
export const SOCKET_KIND = {
  FREE: 0,
  /** A client whose protocol is not known yet. */
  DETECT: 1,
  /** A connection that was made for a silent client. */
  RACE: 2,
  HTTP1_CLIENT: 3,
  HTTP1_ENDPOINT: 4,
  /** Either side of an opaque relay or a tunnel. */
  OPAQUE: 5,
  /** Answered, and read to the end so that the answer survives. */
  LINGER: 6,
  HTTP2_CLIENT: 7,
  HTTP2_ENDPOINT: 8,
  /** A connection that is being made. */
  DIALLING: 9,
  /** A socket whose bytes are the data of a stream, one side of a tunnel. */
  TUNNEL: 10,
  /** A client whose destination is not known yet. */
  ROUTE: 11,
  /** A client that is to say a PROXY header first. */
  PROXY_HEADER: 12,
  /** A client that is to say a header of the opaque transport first. */
  TRANSPORT_HEADER: 13,
  /** A client whose connection is not ready to carry payload: its TLS handshake is under way. */
  SECURING: 14,
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
  /** Its TLS handshake failed, or it broke the rules of TLS; an end without close_notify is one that does. */
  TLS: CLOSE_REASONS.indexOf('tls'),
} as const;

/** The CLOSE of a connection that has failed with `errno`. */
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
/** How long a peer may take none of the last bytes of a connection that is over for us. */
const LAST_BYTES_MS = 300_000;

/** Is told of the ends of clients' connections, while somebody wants to know. */
export interface ClientLog {
  /** It has ended; `reason` is its CLOSE. */
  ended(client: SocketSlot, reason: number): void;
  /** It has broken HTTP/2: what it asked for is lost with the connection. */
  violated(client: SocketSlot, reason: number): void;
}

/** What this needs of the worker's context. */
interface Shared {
  readonly sockets: Sockets;
  readonly splicer: Splicer;
  readonly inbox: Inbox;
  readonly wheel: Wheel;
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
  /** First value of the block in the metrics: an endpoint's, a listener's, or of clients like this one on it. */
  readonly meter: Int32Array;
  /** When the connection was accepted or dialled, ms. */
  readonly opened: Float64Array;
  /** Last activity, ms. */
  readonly active: Float64Array;
  /** Bytes received and sent, counted while somebody wants to know. */
  readonly read: Float64Array;
  readonly written: Float64Array;
  /** Addresses of clients, read while they are there, as the kernel forgets that of a peer who resets. */
  private readonly peers: (string | undefined)[] = [];
  /** Endpoint that an opaque client was relayed to, -1 before; for the access log. */
  readonly relayedTo: Int32Array;
  /** Where clients were going, as a PROXY header has said. */
  private readonly goals: (string | undefined)[] = [];
  /** 1 where the connection to an endpoint carries an opaque one, and is counted as such; how many each endpoint has. */
  private readonly opaque: Uint8Array;
  private readonly opaqueOf = new Int32Array(ENDPOINT_SLOTS);
  /** How often all connections of an endpoint have been left, and how often that had been when a connection was dialled. */
  private readonly eras = new Uint16Array(ENDPOINT_SLOTS);
  private readonly era: Uint16Array;
  /** 1 while the outcome of a dial is open: kept by the dialer. */
  readonly undecided: Uint8Array;
  /** Told of dials that end undecided, because nobody wants them any more: the dialer. */
  unwanted: ((socket: SocketSlot) => void) | undefined;
  /** 1 for clients that were not counted as opened: it has to be known first who they are. */
  private readonly uncounted: Uint8Array;
  /** 1 while bytes of a client are not counted: they may be the beginning of TLS that ends here, or a header, and none of the application's. */
  readonly deferred: Uint8Array;
  /** 1 once the connection is over for us. Its meter stays: the last bytes are still counted. */
  private readonly ended: Uint8Array;
  /** Client connections open. */
  clients = 0;
  private readonly context: Shared;

  constructor(context: Shared) {
    const n = context.sockets.capacity;
    this.context = context;
    this.listener = new Int16Array(n);
    this.destination = new Int32Array(n);
    this.endpoint = new Int32Array(n);
    this.meter = new Int32Array(n);
    this.opened = new Float64Array(n);
    this.active = new Float64Array(n);
    this.read = new Float64Array(n);
    this.written = new Float64Array(n);
    this.relayedTo = new Int32Array(n);
    this.undecided = new Uint8Array(n);
    this.opaque = new Uint8Array(n);
    this.era = new Uint16Array(n);
    this.uncounted = new Uint8Array(n);
    this.deferred = new Uint8Array(n);
    this.ended = new Uint8Array(n);
    for (const column of [this.listener, this.endpoint, this.relayedTo]) context.sockets.emptyIs(column, NONE);
    context.sockets.emptyIs(this.ended, 1);
  }

  /** A client connection on `listener`; -1 (and the fd stays the caller's) when the table is full. */
  openClient(fd: number, listener: number, kind: number): SocketSlot | -1 {
    const { sockets, values, reactor } = this.context;
    const slot = sockets.adopt(fd, kind);
    if (slot < 0) return NONE;
    const meter = listenerBase(listener);
    this.listener[slot] = listener;
    // The listener's own, until the router says otherwise.
    this.destination[slot] = listener;
    this.endpoint[slot] = NONE;
    this.meter[slot] = meter;
    this.opened[slot] = reactor.now;
    this.active[slot] = reactor.now;
    this.ended[slot] = 0;
    // Columns that rest at 0 are paid for where they are written, and lists grow with what is written, `undefined` included.
    if (this.read[slot] !== 0) this.read[slot] = 0;
    if (this.written[slot] !== 0) this.written[slot] = 0;
    if (this.relayedTo[slot] !== NONE) this.relayedTo[slot] = NONE;
    const peer = this.context.observed ? this.context.native.peerName(fd) : undefined;
    if (this.peers[slot] !== peer) this.peers[slot] = peer;
    if (this.goals[slot] !== undefined) this.goals[slot] = undefined;
    this.clients++;
    if (this.context.clientSeries.waits(listener)) {
      this.uncounted[slot] = 1;
      this.deferred[slot] = 1;
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

  /** It is known what becomes of TLS on the connection of a client (`seen`, a SEEN), and who the client is: it counts with those like it. */
  known(slot: number, seen: number): void {
    if (this.uncounted[slot] === 0 || this.ended[slot] === 1) return;
    const { values, clientSeries, peers } = this.context;
    this.uncounted[slot] = 0;
    const base = clientSeries.baseOf(this.listener[slot], seen, peers.nameOf(peers.identity[slot]));
    if (base >= 0) {
      values[this.meter[slot] + L.OPEN]--;
      values[this.meter[slot] + L.ELSEWHERE]++;
      values[base + C.OPEN]++;
      this.meter[slot] = base;
    }
    values[this.meter[slot] + L.OPEN_TOTAL]++;
    this.count(slot);
  }

  /** What a client says is the application's from now on, and so is what has come and waits for whoever takes the connection over. */
  count(slot: number): void {
    if (this.deferred[slot] === 0) return;
    this.deferred[slot] = 0;
    const { values, inbox, observed } = this.context;
    const length = inbox.bytes[slot];
    values[this.meter[slot] + L.READ_BYTES] += length;
    if (observed) this.read[slot] += length;
  }

  /** Address of the peer of a connection that is open; '' where it can't be told. */
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
    const era = this.eras[endpoint];
    if (this.era[slot] !== era) this.era[slot] = era;
    values[meter + E.OPEN_TOTAL]++;
    values[meter + E.OPEN]++;
    const layer = bare ? 0 : (reactor.transport?.dials(endpoint, slot) ?? 0);
    if (layer !== 0) sockets.attach(slot, layer, false);
    return slot as SocketSlot;
  }

  /** The endpoint is gone, somebody else, or dialled in another way: connections that are there now, or being made, serve nobody else. */
  forsake(endpoint: number): void {
    this.eras[endpoint]++;
  }

  /** Whether a connection to an endpoint is as one that is dialled now would be. */
  isCurrent(slot: number): boolean {
    return this.era[slot] === this.eras[this.endpoint[slot]];
  }

  /** A PROXY header says for whom the connection was made, and where that client was going. */
  introduce(slot: number, source: string, destination: string): void {
    this.peers[slot] = source;
    this.goals[slot] = destination;
  }

  /** Where the client was going, as a PROXY header has said; '' where none has. */
  destinationName(slot: number): string {
    return this.goals[slot] ?? '';
  }

  /** Says whether a connection to an endpoint carries an opaque one, or may come to do so: it is no part of the pool then. */
  setOpaque(slot: number, opaque: boolean): void {
    const value = opaque ? 1 : 0;
    this.opaqueOf[this.endpoint[slot]] += value - this.opaque[slot];
    this.opaque[slot] = value;
  }

  /** Opaque connections to `endpoint`, those that are being made included. */
  opaqueTo(endpoint: number): number {
    return this.opaqueOf[endpoint];
  }

  /** Closes the connection now, counted under `reason` (a CLOSE). Safe to call twice. */
  close(slot: number, reason: number): void {
    if (!this.account(slot, reason)) return;
    if (this.context.sockets.saysGoodbye(slot)) this.leave(slot);
    else this.context.sockets.close(slot);
  }

  /** Closes with RST. */
  abort(slot: number, reason: number): void {
    if (this.account(slot, reason)) this.context.sockets.abort(slot);
  }

  /** Closes with RST when what is queued has been sent: the peer gets what came before the RST, as it would have without us. */
  abortWhenSent(slot: number, reason: number): void {
    if (this.closed(slot)) return;
    this.context.sockets.resetOnClose(slot);
    this.closeWhenSent(slot, reason);
  }

  /** Closes when what is queued has been sent; nothing is received any more. */
  closeWhenSent(slot: number, reason: number): void {
    if (this.account(slot, reason)) this.leave(slot);
  }

  /** True once the connection is over for us: only what is queued is still sent. */
  closed(slot: number): boolean {
    return this.ended[slot] === 1;
  }

  /** The timer of a connection that is over: closes it unless its peer still takes bytes. */
  lastBytesTimer(slot: number): void {
    const { sockets, wheel, reactor } = this.context;
    const due = this.active[slot] + LAST_BYTES_MS;
    if (reactor.now < due) wheel.schedule(slot, due);
    else sockets.close(slot);
  }

  /** Closes when everything is sent. */
  private leave(slot: number): void {
    const { sockets, wheel, reactor } = this.context;
    sockets.pause(slot);
    this.active[slot] = reactor.now;
    sockets.closeWhenSent(slot);
    if ((sockets.flags[slot] & SOCKET.CLOSED) === 0) wheel.schedule(slot, reactor.now + LAST_BYTES_MS);
  }

  private account(slot: number, reason: number): boolean {
    if (this.ended[slot] === 1) return false;
    this.ended[slot] = 1;
    const meter = this.meter[slot];
    const { values, loadBoard, workerId, splicer, inbox, destinations } = this.context;
    splicer.stop(slot);
    this.count(slot);
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
      if (meter !== own) values[own + L.ELSEWHERE]--;
      values[W.CONNECTIONS_OPEN]--;
      this.clients--;
      this.context.authorization.forget(slot);
      const destination = this.destination[slot];
      if (destinations.isOriginal(destination)) destinations.release(destination, slot, this.context.reactor.now);
      Atomics.sub(loadBoard, workerId, 1);
    } else {
      const endpoint = this.endpoint[slot];
      this.setOpaque(slot, false);
      if (this.undecided[slot] === 1) {
        // Nobody wants it any more: that says nothing about the endpoint.
        this.undecided[slot] = 0;
        this.context.balancer.connectAbandoned(endpoint);
        this.unwanted?.(slot as SocketSlot);
      }
      values[meter + E.CLOSE + reason]++;
      values[meter + E.OPEN]--;
      this.context.balancer.closed(endpoint);
    }
    return true;
  }
}
