// The owner of a socket receives its events.
import type { Acceptor } from './accept/acceptor.js';
import type { ClientHandshakes } from './accept/client-handshakes.js';
import type { Detector } from './accept/detector.js';
import type { ProxyHeaders } from './accept/proxy-headers.js';
import type { Races } from './accept/races.js';
import type { Router } from './accept/router.js';
import type { TransportHeaders } from './accept/transport-headers.js';
import { CLOSE, closeOf } from './connect/connections.js';
import type { Dialer } from './connect/dialer.js';
import type { Context } from './context.js';
import type { ExchangeEvents } from './exchange/reports.js';
import type { Http1Clients } from './http1/clients.js';
import type { Http1Endpoints } from './http1/endpoints.js';
import type { Http1Sockets } from './http1/sockets.js';
import type { StreamBodyWriter } from './http1/stream-body-writer.js';
import type { Http2Connections } from './http2/connections.js';
import type { OpaqueRelay } from './relay/opaque.js';
import type { Tunnels } from './relay/tunnel.js';
import type { SocketSlot } from './slots.js';

/** The parts that own sockets. */
export interface SocketOwnerParts {
  readonly context: Context;
  readonly acceptor: Acceptor;
  readonly router: Router;
  readonly proxyHeaders: ProxyHeaders;
  readonly transportHeaders: TransportHeaders;
  readonly clientHandshakes: ClientHandshakes;
  readonly detector: Detector;
  readonly races: Races;
  readonly dialer: Dialer;
  readonly clients: Http1Clients;
  readonly endpoints: Http1Endpoints;
  readonly http1: Http1Sockets;
  readonly http2: Http2Connections;
  readonly bodyWriter: StreamBodyWriter;
  readonly opaque: OpaqueRelay;
  readonly tunnels: Tunnels;
  readonly lifecycle: ExchangeEvents;
  /** A loop turn has ended. */
  turnEnded(): void;
}

/**
 * Owns the sockets of one kind. Method names are those of `Handlers`. The defaults suit a socket that nobody waits for: its data is
 * discarded, its end closes it, and there is nothing to continue.
 */
export class SocketOwner {
  protected readonly context: Context;

  constructor(protected readonly to: SocketOwnerParts) {
    this.context = to.context;
  }

  ready(_socket: SocketSlot): void {}

  data(_socket: SocketSlot, bid: number, _at: number, _length: number): void {
    this.context.slab.release(bid);
  }

  eof(socket: SocketSlot): void {
    this.context.connections.closeWhenSent(socket, CLOSE.OK);
  }

  failed(socket: SocketSlot, errno: number): void {
    this.context.connections.close(socket, closeOf(errno));
  }

  /** Data that the peer sent earlier may still arrive. By default the connection has failed; owners that want the data override this. */
  sendFailed(socket: SocketSlot, errno: number): void {
    this.failed(socket, errno);
  }

  paused(_socket: SocketSlot): void {}

  drained(_socket: SocketSlot): void {}

  hungUp(_socket: SocketSlot, _broken: boolean): void {}

  pump(_socket: SocketSlot): void {}

  starved(_socket: SocketSlot): void {}

  timer(_socket: SocketSlot): void {}
}
