// Clients whose TLS handshake is in progress. Routing and detection happen after it, because the client's identity may matter for them.

import { column } from '../../http/columns.js';
import { RESPONSE_REASONS } from '../../http/response-reasons.js';
import { SOCKET } from '../../io/sockets.js';
import { MAX_LISTENERS } from '../../metrics/layout.js';
import { CLOSE, closeOf, SOCKET_KIND } from '../connect/connections.js';
import type { Context } from '../context.js';
import type { SocketSlot } from '../slots.js';
import type { Snapshot } from '../snapshot.js';

/** While draining, a client whose handshake takes longer than this is closed, ms. */
const DRAIN_MS = 1000;
const WITHOUT_IDENTITY = RESPONSE_REASONS.indexOf('no-identity');

export class ClientHandshakes {
  /** Takes a client that is ready: the router. */
  declare opened: (client: SocketSlot) => void;
  /** Takes a client that was routed before it turned out to use TLS with us, and asks for its data: the detector. */
  declare inside: (client: SocketSlot) => void;
  /** The TLS profile of the mesh. */
  private mesh = 0;
  /** Per listener: the TLS profile of connections that begin with a PROXY header. */
  private readonly behindHeader = column(Int32Array, MAX_LISTENERS);
  /** 1 for clients whose destination is already known. */
  private readonly routed: Uint8Array;

  constructor(private readonly context: Context) {
    this.routed = column(Uint8Array, context.sockets.capacity);
  }

  configure({ listeners, meshServer }: Snapshot): void {
    this.mesh = meshServer;
    this.behindHeader.fill(0);
    for (const { slot, tls, proxyProtocol } of listeners) if (proxyProtocol !== null) this.behindHeader[slot] = tls;
  }

  /** A new client connection, after its PROXY header if there is one. */
  open(client: SocketSlot): void {
    const { sockets, connections } = this.context;
    this.routed[client] = 0;
    const profile = this.behindHeader[connections.listener[client]];
    if (profile !== 0) this.attach(client, profile);
    else if (sockets.ready(client)) this.opened(client);
    else this.wait(client);
  }

  /**
   * A routed client turned out to use TLS with us; its first bytes are in the inbox. Its content is examined after the handshake. False if
   * this is impossible.
   */
  secure(client: SocketSlot): boolean {
    if (this.mesh === 0 || this.context.tls === undefined) {
      this.context.refusals.note(WITHOUT_IDENTITY, client, -1, -1);
      return false;
    }
    this.context.wheel.cancel(client);
    this.routed[client] = 1;
    this.attach(client, this.mesh);
    return true;
  }

  ready(client: SocketSlot): void {
    const { sockets, wheel } = this.context;
    wheel.cancel(client);
    // The next owner asks for data.
    sockets.pause(client);
    sockets.kind[client] = SOCKET_KIND.DETECT;
    if (this.routed[client] === 0) this.opened(client);
    else {
      sockets.resume(client);
      this.inside(client);
    }
  }

  /** The handshake has failed, or the client is gone. A client that sent nothing is not an event. */
  failed(client: SocketSlot, errno: number): void {
    this.context.connections.close(client, errno === 0 ? CLOSE.OK : closeOf(errno));
  }

  /** A drain has begun: do not wait for a slow client. */
  reconsider(client: SocketSlot): void {
    const { wheel, connections, reactor } = this.context;
    wheel.pull(client, Math.max(reactor.clock() + 1, connections.opened[client] + DRAIN_MS));
  }

  timer(client: SocketSlot): void {
    if (this.context.isDraining(client)) this.context.connections.close(client, CLOSE.DRAIN);
  }

  private wait(client: SocketSlot): void {
    this.context.sockets.kind[client] = SOCKET_KIND.TLS_HANDSHAKE;
    if (this.context.isDraining(client)) this.reconsider(client);
  }

  /** Inserts TLS between the client and everything else. It starts with the bytes already received. */
  private attach(client: SocketSlot, profile: number): void {
    const { sockets, inbox, tls, connections } = this.context;
    const { transportSockets } = sockets;
    if (tls === undefined || transportSockets === undefined || !inbox.wake(client)) {
      connections.close(client, CLOSE.LIMIT);
      return;
    }
    this.wait(client);
    sockets.pause(client);
    sockets.attach(client, tls.prepare(client, profile, true, null), true);
    for (let bid = inbox.shift(client); bid >= 0; bid = inbox.shift(client)) {
      const at = inbox.startOf(bid);
      const length = inbox.endOf(bid) - at;
      // They were counted as the client's data. (The metrics keep the count, because a counter that decreases means a restart.)
      if (this.context.observed && connections.countingDeferred[client] === 0) connections.read[client] -= length;
      transportSockets.received(client, bid, at, length);
    }
    if ((sockets.flags[client] & SOCKET.EOF) === 0) return;
    sockets.flags[client] &= ~SOCKET.EOF;
    transportSockets.ended(client);
  }
}
