// The owner for each SOCKET_KIND: what events mean for each kind, in one place.
import { CLOSE, closeOf, SOCKET_KIND, type SocketKind } from './connect/connections.js';
import type { SocketSlot } from './slots.js';
import { SocketOwner, type SocketOwnerParts } from './socket-owner.js';

class Free extends SocketOwner {
  override timer(socket: SocketSlot): void {
    this.context.connections.close(socket, CLOSE.OK);
  }
}

class ProxyHeader extends SocketOwner {
  override data(socket: SocketSlot, bid: number, at: number, length: number): void {
    this.to.proxyHeaders.data(socket, bid, at, length);
  }

  override eof(socket: SocketSlot): void {
    this.to.proxyHeaders.eof(socket);
  }

  override timer(socket: SocketSlot): void {
    this.to.proxyHeaders.timer(socket);
  }
}

class Route extends SocketOwner {
  override timer(socket: SocketSlot): void {
    this.to.router.timer(socket);
  }
}

class SecuringClient extends SocketOwner {
  override ready(socket: SocketSlot): void {
    this.to.clientHandshakes.ready(socket);
  }

  override failed(socket: SocketSlot, errno: number): void {
    this.to.clientHandshakes.failed(socket, errno);
  }

  override timer(socket: SocketSlot): void {
    this.to.clientHandshakes.timer(socket);
  }
}

class TransportHeader extends SocketOwner {
  override data(socket: SocketSlot, bid: number, at: number, length: number): void {
    this.to.transportHeaders.data(socket, bid, at, length);
  }

  override eof(socket: SocketSlot): void {
    this.to.transportHeaders.eof(socket);
  }

  override timer(socket: SocketSlot): void {
    this.to.transportHeaders.timer(socket);
  }
}

class Detect extends SocketOwner {
  override ready(socket: SocketSlot): void {
    this.to.detector.couldSpeak(socket);
  }

  override data(socket: SocketSlot, bid: number, at: number, length: number): void {
    this.to.detector.data(socket, bid, at, length);
  }

  override eof(socket: SocketSlot): void {
    this.to.detector.eof(socket);
  }

  override failed(socket: SocketSlot, errno: number): void {
    this.to.detector.left(socket, closeOf(errno));
  }

  override timer(socket: SocketSlot): void {
    this.to.detector.timer(socket);
  }
}

/** It has no deadline of its own; its client has. */
class Race extends SocketOwner {
  override data(socket: SocketSlot, bid: number, at: number, length: number): void {
    this.to.races.data(socket, bid, at, length);
  }

  override eof(socket: SocketSlot): void {
    this.to.races.ended(socket, CLOSE.OK);
  }

  override failed(socket: SocketSlot, errno: number): void {
    this.to.races.ended(socket, closeOf(errno));
  }
}

class Http1Client extends SocketOwner {
  override data(socket: SocketSlot, bid: number, at: number, length: number): void {
    this.to.clients.data(socket, bid, at, length);
  }

  override eof(socket: SocketSlot): void {
    this.to.clients.eof(socket);
  }

  override failed(socket: SocketSlot, errno: number): void {
    this.to.clients.failed(socket, errno);
  }

  override paused(socket: SocketSlot): void {
    this.to.clients.paused(socket);
  }

  override drained(socket: SocketSlot): void {
    this.to.clients.drained(socket);
  }

  override hungUp(socket: SocketSlot, broken: boolean): void {
    this.to.clients.hungUp(socket, broken);
  }

  override pump(socket: SocketSlot): void {
    this.to.clients.pump(socket);
  }

  override starved(socket: SocketSlot): void {
    this.to.clients.starved(socket);
  }

  override timer(socket: SocketSlot): void {
    const { clients, lifecycle } = this.to;
    if (clients.isBetweenRequests(socket)) clients.timer(socket);
    else {
      clients.watch(socket);
      lifecycle.timer(clients.exchange(socket));
    }
  }
}

class Http1Endpoint extends SocketOwner {
  override data(socket: SocketSlot, bid: number, at: number, length: number): void {
    this.to.endpoints.data(socket, bid, at, length);
  }

  override eof(socket: SocketSlot): void {
    this.to.endpoints.eof(socket);
  }

  override failed(socket: SocketSlot, errno: number): void {
    this.to.endpoints.broken(socket, errno);
  }

  override sendFailed(socket: SocketSlot): void {
    this.to.endpoints.sendFailed(socket);
  }

  override paused(socket: SocketSlot): void {
    this.to.endpoints.paused(socket);
  }

  override drained(socket: SocketSlot): void {
    this.to.endpoints.drained(socket);
  }

  override pump(socket: SocketSlot): void {
    this.to.endpoints.pump(socket);
  }

  override starved(socket: SocketSlot): void {
    this.to.endpoints.starved(socket);
  }

  override timer(socket: SocketSlot): void {
    this.to.endpoints.timer(socket);
  }
}

class Linger extends SocketOwner {
  override data(socket: SocketSlot, bid: number, _at: number, length: number): void {
    this.to.clients.lingerData(socket, bid, length);
  }

  override hungUp(socket: SocketSlot, broken: boolean): void {
    this.context.connections.close(socket, broken ? CLOSE.RESET : CLOSE.OK);
  }

  override timer(socket: SocketSlot): void {
    this.to.clients.lingerTimer(socket);
  }
}

class Http2Peer extends SocketOwner {
  override data(socket: SocketSlot, bid: number, at: number, length: number): void {
    this.to.http2.data(socket, bid, at, length);
  }

  override eof(socket: SocketSlot): void {
    this.to.http2.eof(socket);
  }

  override failed(socket: SocketSlot, errno: number): void {
    this.to.http2.broken(socket, errno);
  }

  override drained(socket: SocketSlot): void {
    this.to.http2.drained(socket);
  }

  override timer(socket: SocketSlot): void {
    this.to.http2.timer(socket);
  }
}

class Http2Client extends Http2Peer {
  override hungUp(socket: SocketSlot, broken: boolean): void {
    this.to.http2.hungUp(socket, broken);
  }
}

class Http2Endpoint extends Http2Peer {
  override sendFailed(socket: SocketSlot, errno: number): void {
    this.to.http2.sendFailed(socket, errno);
  }
}

/** A connection being established. The only data it may receive is an HTTP/2 endpoint's SETTINGS. */
class Dialling extends SocketOwner {
  override data(socket: SocketSlot, bid: number, at: number, length: number): void {
    this.to.http2.data(socket, bid, at, length);
  }

  override eof(socket: SocketSlot): void {
    this.to.dialer.closeFailed(socket, CLOSE.OK);
  }

  override failed(socket: SocketSlot, errno: number): void {
    this.to.dialer.closeFailed(socket, closeOf(errno));
  }

  override timer(socket: SocketSlot): void {
    this.to.dialer.timer(socket);
  }
}

class Opaque extends SocketOwner {
  override data(socket: SocketSlot, bid: number, at: number, length: number): void {
    this.to.opaque.data(socket, bid, at, length);
  }

  override eof(socket: SocketSlot): void {
    this.to.opaque.eof(socket);
  }

  override failed(socket: SocketSlot, errno: number): void {
    this.to.opaque.socketFailed(socket, errno);
  }

  override sendFailed(socket: SocketSlot, errno: number): void {
    this.to.opaque.sendFailed(socket, errno);
  }

  override paused(socket: SocketSlot): void {
    this.to.opaque.paused(socket);
  }

  override drained(socket: SocketSlot): void {
    this.to.opaque.drained(socket);
  }

  override pump(socket: SocketSlot): void {
    this.to.opaque.pump(socket);
  }

  override starved(socket: SocketSlot): void {
    this.to.opaque.starved(socket);
  }

  override timer(socket: SocketSlot): void {
    this.to.opaque.timer(socket);
  }
}

class Tunnel extends SocketOwner {
  override data(socket: SocketSlot, bid: number, at: number, length: number): void {
    this.to.tunnels.data(socket, bid, at, length);
  }

  override eof(socket: SocketSlot): void {
    this.to.tunnels.eof(socket);
  }

  override failed(socket: SocketSlot, errno: number): void {
    this.to.tunnels.failed(socket, errno);
  }

  override drained(socket: SocketSlot): void {
    this.to.tunnels.drained(socket);
  }

  override timer(socket: SocketSlot): void {
    if (this.context.connections.listener[socket] >= 0) this.to.lifecycle.timer(this.to.clients.exchange(socket));
  }
}

/** The owners, by SOCKET_KIND. */
export function ownersOf(to: SocketOwnerParts): readonly SocketOwner[] {
  const owners: Readonly<Record<SocketKind, SocketOwner>> = {
    [SOCKET_KIND.FREE]: new Free(to),
    [SOCKET_KIND.DETECT]: new Detect(to),
    [SOCKET_KIND.RACE]: new Race(to),
    [SOCKET_KIND.HTTP1_CLIENT]: new Http1Client(to),
    [SOCKET_KIND.HTTP1_ENDPOINT]: new Http1Endpoint(to),
    [SOCKET_KIND.OPAQUE]: new Opaque(to),
    [SOCKET_KIND.LINGER]: new Linger(to),
    [SOCKET_KIND.HTTP2_CLIENT]: new Http2Client(to),
    [SOCKET_KIND.HTTP2_ENDPOINT]: new Http2Endpoint(to),
    [SOCKET_KIND.DIALLING]: new Dialling(to),
    [SOCKET_KIND.TUNNEL]: new Tunnel(to),
    [SOCKET_KIND.ROUTE]: new Route(to),
    [SOCKET_KIND.PROXY_HEADER]: new ProxyHeader(to),
    [SOCKET_KIND.TRANSPORT_HEADER]: new TransportHeader(to),
    [SOCKET_KIND.TLS_HANDSHAKE]: new SecuringClient(to),
  };
  return Object.values(SOCKET_KIND)
    .sort((a, b) => a - b)
    .map((kind) => owners[kind]);
}
