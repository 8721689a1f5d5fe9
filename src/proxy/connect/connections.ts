// What the protocols know of every connection beside its socket: whose it is, since when, and its place in the metrics.
import { SOCKET } from '../../io/sockets.js';
import { CLOSE_REASONS, E, L, listenerBase, W } from '../../metrics/layout.js';
import type { Context } from '../context.js';

/** What a socket is doing, and so who handles its events. 0 is a free slot. */
export const KIND = {
  FREE: 0,
  /** A client whose protocol is not known yet. */
  DETECT: 1,
  /** The endpoint that was dialled for a silent client. */
  RACE: 2,
  HTTP1_CLIENT: 3,
  HTTP1_UPSTREAM: 4,
  /** Either side of an opaque relay or a tunnel. */
  OPAQUE: 5,
  /** Answered, and read to the end so that the answer survives. */
  LINGER: 6,
  HTTP2_CLIENT: 7,
  HTTP2_UPSTREAM: 8,
  /** An HTTP/1 connection while it serves the stream of an HTTP/2 client. */
  BRIDGE_UPSTREAM: 9,
  /** A client of HTTP/1 whose bytes are the data of an endpoint's stream. */
  TUNNEL: 10,
} as const;

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
} as const;

const NONE = -1;
/** How long a peer may take none of the last bytes of a connection that is over for us. */
const LAST_BYTES_MS = 60_000;

export class Connections {
  /** Listener slot of a client connection, -1 for upstream connections. */
  readonly listener: Int16Array;
  /** Endpoint slot of an upstream connection, -1 for client connections. */
  readonly endpoint: Int16Array;
  /** First value of the listener's or endpoint's block in the metrics. */
  readonly meter: Int32Array;
  /** When the connection was accepted or dialled, ms. */
  readonly opened: Float64Array;
  /** Last activity, ms. */
  readonly active: Float64Array;
  /** Bytes received and sent, counted while the access log is on. */
  readonly read: Float64Array;
  readonly written: Float64Array;
  /** Endpoint that an opaque client was relayed to, -1 before; for the access log. */
  readonly relayedTo: Int16Array;
  /** 1 once the connection is over for us. Its meter stays: the last bytes are still counted. */
  private readonly ended: Uint8Array;
  /** Client connections open. */
  clients = 0;
  private readonly context: Context;

  constructor(context: Context) {
    const n = context.sockets.capacity;
    this.context = context;
    this.listener = new Int16Array(n).fill(NONE);
    this.endpoint = new Int16Array(n).fill(NONE);
    this.meter = new Int32Array(n);
    this.opened = new Float64Array(n);
    this.active = new Float64Array(n);
    this.read = new Float64Array(n);
    this.written = new Float64Array(n);
    this.relayedTo = new Int16Array(n).fill(NONE);
    this.ended = new Uint8Array(n).fill(1);
  }

  /** A client connection on `listener`; -1 (and the fd stays the caller's) when the table is full. */
  openClient(fd: number, listener: number, kind: number): number {
    const { sockets, values, reactor } = this.context;
    const slot = sockets.adopt(fd, kind);
    if (slot < 0) return NONE;
    const meter = listenerBase(listener);
    this.listener[slot] = listener;
    this.endpoint[slot] = NONE;
    this.meter[slot] = meter;
    this.opened[slot] = reactor.now;
    this.active[slot] = reactor.now;
    this.ended[slot] = 0;
    this.read[slot] = 0;
    this.written[slot] = 0;
    this.relayedTo[slot] = NONE;
    this.clients++;
    values[meter + L.OPEN_TOTAL]++;
    values[meter + L.OPEN]++;
    values[W.CONNECTIONS_OPEN]++;
    const layer = reactor.transport?.accepts(listener) ?? 0;
    if (layer !== 0) sockets.attach(slot, layer, true);
    return slot;
  }

  openUpstream(fd: number, endpoint: number, kind: number): number {
    const { sockets, values, reactor } = this.context;
    const slot = sockets.adopt(fd, kind);
    if (slot < 0) return NONE;
    const meter = this.context.endpoints.base[endpoint];
    this.listener[slot] = NONE;
    this.endpoint[slot] = endpoint;
    this.meter[slot] = meter;
    this.opened[slot] = reactor.now;
    this.active[slot] = reactor.now;
    this.ended[slot] = 0;
    values[meter + E.OPEN_TOTAL]++;
    values[meter + E.OPEN]++;
    const layer = reactor.transport?.dials(endpoint) ?? 0;
    if (layer !== 0) sockets.attach(slot, layer, false);
    return slot;
  }

  /** Closes the connection now, counted under `reason` (a CLOSE). Safe to call twice. */
  close(slot: number, reason: number): void {
    if (this.account(slot, reason)) this.context.sockets.close(slot);
  }

  /** Closes with RST. */
  abort(slot: number, reason: number): void {
    if (this.account(slot, reason)) this.context.sockets.abort(slot);
  }

  /** Closes with RST when what is queued has been sent: the peer gets what came before the RST, as it would have without us. */
  abortWhenSent(slot: number, reason: number): void {
    if (this.over(slot)) return;
    this.context.sockets.resetOnClose(slot);
    this.closeWhenSent(slot, reason);
  }

  /** Closes when what is queued has been sent; nothing is received any more. */
  closeWhenSent(slot: number, reason: number): void {
    if (this.account(slot, reason)) {
      const { sockets, wheel, reactor } = this.context;
      sockets.pause(slot);
      this.active[slot] = reactor.now;
      sockets.closeWhenSent(slot);
      if ((sockets.flags[slot] & SOCKET.CLOSED) === 0) wheel.schedule(slot, reactor.now + LAST_BYTES_MS);
    }
  }

  /** True once the connection is over for us: only what is queued is still sent. */
  over(slot: number): boolean {
    return this.ended[slot] === 1;
  }

  /** The timer of a connection that is over: closes it unless its peer still takes bytes. */
  lastBytesTimer(slot: number): void {
    const { sockets, wheel, reactor } = this.context;
    const due = this.active[slot] + LAST_BYTES_MS;
    if (reactor.now < due) wheel.schedule(slot, due);
    else sockets.close(slot);
  }

  private account(slot: number, reason: number): boolean {
    if (this.ended[slot] === 1) return false;
    this.ended[slot] = 1;
    const meter = this.meter[slot];
    const { values, board, workerId, splicer, inbox } = this.context;
    splicer.stop(slot);
    inbox.clear(slot);
    if (this.listener[slot] >= 0) {
      const kind = this.context.sockets.kind[slot];
      if (this.context.access && (kind === KIND.OPAQUE || kind === KIND.TUNNEL))
        this.context.accessLog.connection(slot, reason);
      values[meter + L.CLOSE + reason]++;
      values[meter + L.OPEN]--;
      values[W.CONNECTIONS_OPEN]--;
      this.clients--;
      Atomics.sub(board, workerId, 1);
    } else {
      const endpoint = this.endpoint[slot];
      values[meter + E.CLOSE + reason]++;
      values[meter + E.OPEN]--;
      this.context.balancer.closed(endpoint);
    }
    return true;
  }
}
