// Clients that have to leave: all of them in a drain, and idle ones when others wait for their file descriptors.
import { SOCKET } from '../io/sockets.js';
import { LIMITS } from '../metrics/layout.js';
import type { ProxyHeaders } from './accept/proxy-headers.js';
import { CLOSE, SOCKET_KIND, type SocketKind } from './connect/connections.js';
import type { Context } from './context.js';
import type { DataPath } from './data-path.js';
import type { SocketSlot } from './slots.js';
import { unreachable } from './unreachable.js';

const LIMIT_DRAIN_GRACE = LIMITS.indexOf('drain-grace');

export class Leaving {
  constructor(
    private readonly context: Context,
    private readonly path: DataPath,
    private readonly proxyHeaders: ProxyHeaders,
  ) {}

  /** A drain has begun: each connection finds out whether it may end now. */
  drain(): void {
    const { sockets, connections } = this.context;
    for (let slot = 0; slot < sockets.capacity; slot++)
      if (this.isOpen(slot) && !connections.closed(slot)) this.reconsider(slot as SocketSlot);
  }

  /** The time of a drain is over: closes everything. */
  closeAll(): void {
    const { sockets, connections } = this.context;
    for (let slot = 0; slot < sockets.capacity; slot++) {
      if (!this.isOpen(slot)) continue;
      if (connections.closed(slot)) sockets.close(slot);
      else {
        if (connections.listener[slot] >= 0) this.context.limited(LIMIT_DRAIN_GRACE);
        connections.close(slot, CLOSE.DRAIN);
      }
    }
  }

  /**
   * Others wait for file descriptors: idle HTTP clients find out whether they must leave. Silent ones are left alone. They are being
   * detected, which ends soon, or are relayed, and then only they know whether they are still needed.
   */
  makeRoom(): void {
    const { sockets } = this.context;
    const { clients, http2 } = this.path;
    for (let slot = 0; slot < sockets.capacity; slot++) {
      const kind = sockets.kind[slot];
      if (kind === SOCKET_KIND.HTTP1_CLIENT) clients.reconsider(slot as SocketSlot);
      else if (kind === SOCKET_KIND.HTTP2_CLIENT) http2.reconsider(slot as SocketSlot);
    }
  }

  private isOpen(slot: number): boolean {
    const { sockets } = this.context;
    return sockets.kind[slot] !== SOCKET_KIND.FREE && (sockets.flags[slot] & SOCKET.CLOSED) === 0;
  }

  private reconsider(socket: SocketSlot): void {
    const { clients, detector, http2, transportHeaders } = this.path;
    const kind = this.context.sockets.kind[socket] as SocketKind;
    switch (kind) {
      case SOCKET_KIND.HTTP1_CLIENT:
        clients.reconsider(socket);
        break;
      case SOCKET_KIND.DETECT:
        detector.reconsider(socket);
        break;
      case SOCKET_KIND.PROXY_HEADER:
        this.proxyHeaders.reconsider(socket);
        break;
      case SOCKET_KIND.TRANSPORT_HEADER:
        transportHeaders.reconsider(socket);
        break;
      case SOCKET_KIND.TLS_HANDSHAKE:
        this.path.clientHandshakes.reconsider(socket);
        break;
      case SOCKET_KIND.HTTP2_CLIENT:
      case SOCKET_KIND.HTTP2_ENDPOINT:
        http2.reconsider(socket);
        break;
      case SOCKET_KIND.FREE:
      case SOCKET_KIND.RACE:
      case SOCKET_KIND.HTTP1_ENDPOINT:
      case SOCKET_KIND.OPAQUE:
      case SOCKET_KIND.LINGER:
      case SOCKET_KIND.DIALLING:
      case SOCKET_KIND.TUNNEL:
      case SOCKET_KIND.ROUTE:
        break;
      default:
        unreachable(kind);
    }
  }
}
