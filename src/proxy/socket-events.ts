// What happens on sockets, handed to whoever a socket's SOCKET_KIND names.
import type { Handlers } from '../io/reactor.js';
import { L } from '../metrics/layout.js';
import type { Acceptor } from './accept/acceptor.js';
import type { Detector } from './accept/detector.js';
import type { ProxyHeaders } from './accept/proxy-headers.js';
import type { Races } from './accept/races.js';
import type { Router } from './accept/router.js';
import type { Securing } from './accept/securing.js';
import type { TransportHeaders } from './accept/transport-headers.js';
import { CLOSE, closeOf, SOCKET_KIND, type SocketKind } from './connect/connections.js';
import type { Dialer } from './connect/dialer.js';
import type { Context } from './context.js';
import type { Control } from './exchange/reports.js';
import type { Http1Clients } from './http1/clients.js';
import type { Http1Endpoints } from './http1/endpoints.js';
import type { PieceWriter } from './http1/piece-writer.js';
import type { Http1Sockets } from './http1/sockets.js';
import type { Http2Connections } from './http2/connections.js';
import type { OpaqueRelay } from './relay/opaque.js';
import type { Tunnels } from './relay/tunnel.js';
import type { SocketSlot } from './slots.js';
import { unreachable } from './unreachable.js';

/** Who handles what happens on sockets. */
export interface Handled {
  readonly context: Context;
  readonly acceptor: Acceptor;
  readonly router: Router;
  readonly proxyHeaders: ProxyHeaders;
  readonly transportHeaders: TransportHeaders;
  readonly securing: Securing;
  readonly detector: Detector;
  readonly races: Races;
  readonly dialer: Dialer;
  readonly clients: Http1Clients;
  readonly endpoints: Http1Endpoints;
  readonly http1: Http1Sockets;
  readonly http2: Http2Connections;
  readonly pieces: PieceWriter;
  readonly opaque: OpaqueRelay;
  readonly tunnels: Tunnels;
  readonly control: Control;
  /** A loop turn has ended. */
  turned(): void;
}

export class SocketEvents implements Handlers {
  private readonly context: Context;

  constructor(private readonly to: Handled) {
    this.context = to.context;
  }

  accepted(listener: number, result: number, more: boolean): void {
    this.to.acceptor.accepted(listener, result, more);
  }

  handedIn(listener: number, fd: number): void {
    this.to.acceptor.handedIn(listener, fd);
  }

  handedOver(listener: number, fd: number, result: number): void {
    this.to.acceptor.handedOver(listener, fd, result);
  }

  connected(slot: number, result: number): void {
    this.to.dialer.connected(slot as SocketSlot, result);
  }

  ready(slot: number): void {
    const kind = this.context.sockets.kind[slot];
    if (kind === SOCKET_KIND.SECURING) this.to.securing.ready(slot as SocketSlot);
    else if (kind === SOCKET_KIND.DETECT) this.to.detector.couldSpeak(slot as SocketSlot);
  }

  data(slot: number, bid: number, at: number, length: number): void {
    const { connections, values, sockets, slab } = this.context;
    const socket = slot as SocketSlot;
    if (connections.closed(socket)) {
      slab.release(bid);
      return;
    }
    values[connections.meter[socket] + L.READ_BYTES] += length;
    if (this.context.access) connections.read[socket] += length;
    const kind = sockets.kind[socket] as SocketKind;
    switch (kind) {
      case SOCKET_KIND.HTTP1_CLIENT:
        this.to.clients.data(socket, bid, at, length);
        break;
      case SOCKET_KIND.HTTP1_ENDPOINT:
        this.to.endpoints.data(socket, bid, at, length);
        break;
      // A connection that is being made hears nothing but an HTTP/2 endpoint's SETTINGS.
      case SOCKET_KIND.DIALLING:
      case SOCKET_KIND.HTTP2_CLIENT:
      case SOCKET_KIND.HTTP2_ENDPOINT:
        this.to.http2.data(socket, bid, at, length);
        break;
      case SOCKET_KIND.TUNNEL:
        this.to.tunnels.data(socket, bid, at, length);
        break;
      case SOCKET_KIND.OPAQUE:
        this.to.opaque.data(socket, bid, at, length);
        break;
      case SOCKET_KIND.DETECT:
        this.to.detector.data(socket, bid, at, length);
        break;
      case SOCKET_KIND.RACE:
        this.to.races.data(socket, bid, at, length);
        break;
      case SOCKET_KIND.PROXY_HEADER:
        this.to.proxyHeaders.data(socket, bid, at, length);
        break;
      case SOCKET_KIND.TRANSPORT_HEADER:
        this.to.transportHeaders.data(socket, bid, at, length);
        break;
      case SOCKET_KIND.LINGER:
        this.to.clients.lingerData(socket, bid, length);
        break;
      case SOCKET_KIND.FREE:
      case SOCKET_KIND.ROUTE:
      case SOCKET_KIND.SECURING:
        slab.release(bid);
        break;
      default:
        unreachable(kind);
    }
  }

  eof(slot: number): void {
    const { connections, sockets } = this.context;
    const socket = slot as SocketSlot;
    if (connections.closed(socket)) return;
    const kind = sockets.kind[socket] as SocketKind;
    switch (kind) {
      case SOCKET_KIND.HTTP1_CLIENT:
        this.to.clients.eof(socket);
        break;
      case SOCKET_KIND.HTTP1_ENDPOINT:
        this.to.endpoints.eof(socket);
        break;
      case SOCKET_KIND.DIALLING:
        this.to.dialer.lost(socket, CLOSE.OK);
        break;
      case SOCKET_KIND.HTTP2_CLIENT:
      case SOCKET_KIND.HTTP2_ENDPOINT:
        this.to.http2.eof(socket);
        break;
      case SOCKET_KIND.TUNNEL:
        this.to.tunnels.eof(socket);
        break;
      case SOCKET_KIND.OPAQUE:
        this.to.opaque.eof(socket);
        break;
      case SOCKET_KIND.DETECT:
        this.to.detector.eof(socket);
        break;
      case SOCKET_KIND.RACE:
        this.to.races.ended(socket, CLOSE.OK);
        break;
      case SOCKET_KIND.PROXY_HEADER:
        this.to.proxyHeaders.eof(socket);
        break;
      case SOCKET_KIND.TRANSPORT_HEADER:
        this.to.transportHeaders.eof(socket);
        break;
      case SOCKET_KIND.FREE:
      case SOCKET_KIND.LINGER:
      case SOCKET_KIND.ROUTE:
      case SOCKET_KIND.SECURING:
        connections.closeWhenSent(socket, CLOSE.OK);
        break;
      default:
        unreachable(kind);
    }
  }

  failed(slot: number, errno: number): void {
    const { connections, sockets } = this.context;
    const socket = slot as SocketSlot;
    if (connections.closed(socket)) {
      sockets.close(socket);
      return;
    }
    const reason = closeOf(errno);
    const kind = sockets.kind[socket] as SocketKind;
    switch (kind) {
      case SOCKET_KIND.HTTP1_CLIENT:
        this.to.clients.failed(socket, errno);
        break;
      case SOCKET_KIND.HTTP1_ENDPOINT:
        this.to.endpoints.broken(socket, errno);
        break;
      case SOCKET_KIND.DIALLING:
        this.to.dialer.lost(socket, reason);
        break;
      case SOCKET_KIND.HTTP2_CLIENT:
      case SOCKET_KIND.HTTP2_ENDPOINT:
        this.to.http2.broken(socket, errno);
        break;
      case SOCKET_KIND.TUNNEL:
        this.to.tunnels.failed(socket, errno);
        break;
      case SOCKET_KIND.OPAQUE:
        this.to.opaque.broke(socket, errno);
        break;
      case SOCKET_KIND.DETECT:
        this.to.detector.left(socket, reason);
        break;
      case SOCKET_KIND.RACE:
        this.to.races.ended(socket, reason);
        break;
      case SOCKET_KIND.SECURING:
        this.to.securing.failed(socket, errno);
        break;
      case SOCKET_KIND.FREE:
      case SOCKET_KIND.LINGER:
      case SOCKET_KIND.ROUTE:
      case SOCKET_KIND.PROXY_HEADER:
      case SOCKET_KIND.TRANSPORT_HEADER:
        connections.close(socket, reason);
        break;
      default:
        unreachable(kind);
    }
  }

  sent(slot: number, bytes: number): void {
    const { connections, values, reactor, sockets } = this.context;
    connections.active[slot] = reactor.now;
    values[connections.meter[slot] + L.WRITE_BYTES] += bytes;
    if (this.context.access) connections.written[slot] += bytes;
    if (sockets.kind[slot] === SOCKET_KIND.HTTP1_ENDPOINT) this.to.http1.sent[slot] += bytes;
  }

  sendFailed(slot: number, errno: number): void {
    const { connections, sockets } = this.context;
    const socket = slot as SocketSlot;
    if (connections.closed(socket)) {
      sockets.close(socket);
      return;
    }
    const kind = sockets.kind[socket] as SocketKind;
    switch (kind) {
      case SOCKET_KIND.HTTP1_ENDPOINT:
        this.to.endpoints.sendFailed(socket);
        break;
      case SOCKET_KIND.HTTP2_ENDPOINT:
        this.to.http2.sendFailed(socket, errno);
        break;
      case SOCKET_KIND.OPAQUE:
        this.to.opaque.sendFailed(socket, errno);
        break;
      case SOCKET_KIND.FREE:
      case SOCKET_KIND.DETECT:
      case SOCKET_KIND.RACE:
      case SOCKET_KIND.HTTP1_CLIENT:
      case SOCKET_KIND.LINGER:
      case SOCKET_KIND.HTTP2_CLIENT:
      case SOCKET_KIND.DIALLING:
      case SOCKET_KIND.TUNNEL:
      case SOCKET_KIND.ROUTE:
      case SOCKET_KIND.SECURING:
      case SOCKET_KIND.PROXY_HEADER:
      case SOCKET_KIND.TRANSPORT_HEADER:
        this.failed(socket, errno);
        break;
      default:
        unreachable(kind);
    }
  }

  paused(slot: number): void {
    const socket = slot as SocketSlot;
    const kind = this.context.sockets.kind[socket] as SocketKind;
    switch (kind) {
      case SOCKET_KIND.HTTP1_CLIENT:
        this.to.clients.paused(socket);
        break;
      case SOCKET_KIND.HTTP1_ENDPOINT:
        this.to.endpoints.paused(socket);
        break;
      case SOCKET_KIND.OPAQUE:
        this.to.opaque.paused(socket);
        break;
      case SOCKET_KIND.FREE:
      case SOCKET_KIND.DETECT:
      case SOCKET_KIND.RACE:
      case SOCKET_KIND.LINGER:
      case SOCKET_KIND.HTTP2_CLIENT:
      case SOCKET_KIND.HTTP2_ENDPOINT:
      case SOCKET_KIND.DIALLING:
      case SOCKET_KIND.TUNNEL:
      case SOCKET_KIND.ROUTE:
      case SOCKET_KIND.SECURING:
      case SOCKET_KIND.PROXY_HEADER:
      case SOCKET_KIND.TRANSPORT_HEADER:
        break;
      default:
        unreachable(kind);
    }
  }

  drained(slot: number): void {
    const socket = slot as SocketSlot;
    const kind = this.context.sockets.kind[socket] as SocketKind;
    switch (kind) {
      case SOCKET_KIND.HTTP1_CLIENT:
        this.to.clients.drained(socket);
        break;
      case SOCKET_KIND.HTTP1_ENDPOINT:
        this.to.endpoints.drained(socket);
        break;
      case SOCKET_KIND.HTTP2_CLIENT:
      case SOCKET_KIND.HTTP2_ENDPOINT:
        this.to.http2.drained(socket);
        break;
      case SOCKET_KIND.TUNNEL:
        this.to.tunnels.drained(socket);
        break;
      case SOCKET_KIND.OPAQUE:
        this.to.opaque.drained(socket);
        break;
      case SOCKET_KIND.FREE:
      case SOCKET_KIND.DETECT:
      case SOCKET_KIND.RACE:
      case SOCKET_KIND.LINGER:
      case SOCKET_KIND.DIALLING:
      case SOCKET_KIND.ROUTE:
      case SOCKET_KIND.SECURING:
      case SOCKET_KIND.PROXY_HEADER:
      case SOCKET_KIND.TRANSPORT_HEADER:
        break;
      default:
        unreachable(kind);
    }
  }

  hungUp(slot: number, broken: boolean): void {
    const { connections, sockets } = this.context;
    const socket = slot as SocketSlot;
    if (connections.closed(socket)) return;
    const kind = sockets.kind[socket] as SocketKind;
    switch (kind) {
      case SOCKET_KIND.HTTP1_CLIENT:
        this.to.clients.hungUp(socket, broken);
        break;
      case SOCKET_KIND.HTTP2_CLIENT:
        this.to.http2.hungUp(socket, broken);
        break;
      case SOCKET_KIND.LINGER:
        connections.close(socket, broken ? CLOSE.RESET : CLOSE.OK);
        break;
      case SOCKET_KIND.FREE:
      case SOCKET_KIND.DETECT:
      case SOCKET_KIND.RACE:
      case SOCKET_KIND.HTTP1_ENDPOINT:
      case SOCKET_KIND.HTTP2_ENDPOINT:
      case SOCKET_KIND.OPAQUE:
      case SOCKET_KIND.DIALLING:
      case SOCKET_KIND.TUNNEL:
      case SOCKET_KIND.ROUTE:
      case SOCKET_KIND.SECURING:
      case SOCKET_KIND.PROXY_HEADER:
      case SOCKET_KIND.TRANSPORT_HEADER:
        break;
      default:
        unreachable(kind);
    }
  }

  pump(slot: number): void {
    const socket = slot as SocketSlot;
    const kind = this.context.sockets.kind[socket] as SocketKind;
    switch (kind) {
      case SOCKET_KIND.OPAQUE:
        this.to.opaque.pump(socket);
        break;
      case SOCKET_KIND.HTTP1_CLIENT:
        this.to.clients.pump(socket);
        break;
      case SOCKET_KIND.HTTP1_ENDPOINT:
        this.to.endpoints.pump(socket);
        break;
      case SOCKET_KIND.FREE:
      case SOCKET_KIND.DETECT:
      case SOCKET_KIND.RACE:
      case SOCKET_KIND.LINGER:
      case SOCKET_KIND.HTTP2_CLIENT:
      case SOCKET_KIND.HTTP2_ENDPOINT:
      case SOCKET_KIND.DIALLING:
      case SOCKET_KIND.TUNNEL:
      case SOCKET_KIND.ROUTE:
      case SOCKET_KIND.SECURING:
      case SOCKET_KIND.PROXY_HEADER:
      case SOCKET_KIND.TRANSPORT_HEADER:
        break;
      default:
        unreachable(kind);
    }
  }

  starved(slot: number): void {
    const socket = slot as SocketSlot;
    const kind = this.context.sockets.kind[socket] as SocketKind;
    switch (kind) {
      case SOCKET_KIND.OPAQUE:
        this.to.opaque.starved(socket);
        break;
      case SOCKET_KIND.HTTP1_CLIENT:
        this.to.clients.starved(socket);
        break;
      case SOCKET_KIND.HTTP1_ENDPOINT:
        this.to.endpoints.starved(socket);
        break;
      case SOCKET_KIND.FREE:
      case SOCKET_KIND.DETECT:
      case SOCKET_KIND.RACE:
      case SOCKET_KIND.LINGER:
      case SOCKET_KIND.HTTP2_CLIENT:
      case SOCKET_KIND.HTTP2_ENDPOINT:
      case SOCKET_KIND.DIALLING:
      case SOCKET_KIND.TUNNEL:
      case SOCKET_KIND.ROUTE:
      case SOCKET_KIND.SECURING:
      case SOCKET_KIND.PROXY_HEADER:
      case SOCKET_KIND.TRANSPORT_HEADER:
        break;
      default:
        unreachable(kind);
    }
  }

  timer(slot: number): void {
    const { connections, sockets } = this.context;
    const socket = slot as SocketSlot;
    if (connections.closed(socket)) {
      connections.lastBytesTimer(socket);
      return;
    }
    const kind = sockets.kind[socket] as SocketKind;
    switch (kind) {
      case SOCKET_KIND.HTTP1_CLIENT:
        if (this.to.clients.between(socket)) this.to.clients.timer(socket);
        else {
          this.to.clients.watch(socket);
          this.to.control.timer(this.to.clients.exchange(socket));
        }
        break;
      case SOCKET_KIND.HTTP1_ENDPOINT:
        this.to.endpoints.timer(socket);
        break;
      case SOCKET_KIND.DIALLING:
        this.to.dialer.timer(socket);
        break;
      case SOCKET_KIND.HTTP2_CLIENT:
      case SOCKET_KIND.HTTP2_ENDPOINT:
        this.to.http2.timer(socket);
        break;
      case SOCKET_KIND.TUNNEL:
        if (connections.listener[socket] >= 0) this.to.control.timer(this.to.clients.exchange(socket));
        break;
      case SOCKET_KIND.OPAQUE:
        this.to.opaque.timer(socket);
        break;
      case SOCKET_KIND.DETECT:
        this.to.detector.timer(socket);
        break;
      case SOCKET_KIND.ROUTE:
        this.to.router.timer(socket);
        break;
      case SOCKET_KIND.PROXY_HEADER:
        this.to.proxyHeaders.timer(socket);
        break;
      case SOCKET_KIND.TRANSPORT_HEADER:
        this.to.transportHeaders.timer(socket);
        break;
      case SOCKET_KIND.SECURING:
        this.to.securing.timer(socket);
        break;
      // It has no deadline: its client has.
      case SOCKET_KIND.RACE:
        break;
      case SOCKET_KIND.LINGER:
        this.to.clients.lingerTimer(socket);
        break;
      case SOCKET_KIND.FREE:
        connections.close(socket, CLOSE.OK);
        break;
      default:
        unreachable(kind);
    }
  }

  turn(): void {
    this.to.pieces.turn();
    this.to.http2.turn();
    this.to.turned();
  }
}
