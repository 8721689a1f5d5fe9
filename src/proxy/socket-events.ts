// Passes each socket event to the owner that the socket's SOCKET_KIND names.
import type { Handlers } from '../io/reactor.js';
import { L } from '../metrics/layout.js';
import { SOCKET_KIND } from './connect/connections.js';
import type { Context } from './context.js';
import type { SocketSlot } from './slots.js';
import type { SocketOwner, SocketOwnerParts } from './socket-owner.js';
import { ownersOf } from './socket-owners.js';

export class SocketEvents implements Handlers {
  private readonly context: Context;
  private readonly owners: readonly SocketOwner[];

  constructor(private readonly to: SocketOwnerParts) {
    this.context = to.context;
    this.owners = ownersOf(to);
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
    this.owners[this.context.sockets.kind[slot]].ready(slot as SocketSlot);
  }

  data(slot: number, bid: number, at: number, length: number): void {
    const { connections, values, sockets, slab } = this.context;
    const socket = slot as SocketSlot;
    if (connections.closed(socket)) {
      slab.release(bid);
      return;
    }
    if (connections.countingDeferred[socket] === 0) {
      values[connections.meter[socket] + L.READ_BYTES] += length;
      if (this.context.observed) connections.read[socket] += length;
    }
    this.owners[sockets.kind[socket]].data(socket, bid, at, length);
  }

  eof(slot: number): void {
    const socket = slot as SocketSlot;
    if (this.context.connections.closed(socket)) return;
    this.owners[this.context.sockets.kind[socket]].eof(socket);
  }

  failed(slot: number, errno: number): void {
    const { connections, sockets } = this.context;
    const socket = slot as SocketSlot;
    if (connections.closed(socket)) sockets.close(socket);
    else this.owners[sockets.kind[socket]].failed(socket, errno);
  }

  sent(slot: number, bytes: number): void {
    const { connections, values, reactor, sockets } = this.context;
    connections.active[slot] = reactor.now;
    values[connections.meter[slot] + L.WRITE_BYTES] += bytes;
    if (this.context.observed) connections.written[slot] += bytes;
    if (sockets.kind[slot] === SOCKET_KIND.HTTP1_ENDPOINT) this.to.http1.sent[slot] += bytes;
  }

  sendFailed(slot: number, errno: number): void {
    const { connections, sockets } = this.context;
    const socket = slot as SocketSlot;
    if (connections.closed(socket)) sockets.close(socket);
    else this.owners[sockets.kind[socket]].sendFailed(socket, errno);
  }

  paused(slot: number): void {
    this.owners[this.context.sockets.kind[slot]].paused(slot as SocketSlot);
  }

  drained(slot: number): void {
    this.owners[this.context.sockets.kind[slot]].drained(slot as SocketSlot);
  }

  hungUp(slot: number, broken: boolean): void {
    const socket = slot as SocketSlot;
    if (this.context.connections.closed(socket)) return;
    this.owners[this.context.sockets.kind[socket]].hungUp(socket, broken);
  }

  pump(slot: number): void {
    this.owners[this.context.sockets.kind[slot]].pump(slot as SocketSlot);
  }

  starved(slot: number): void {
    this.owners[this.context.sockets.kind[slot]].starved(slot as SocketSlot);
  }

  timer(slot: number): void {
    const { connections, sockets } = this.context;
    const socket = slot as SocketSlot;
    if (connections.closed(socket)) connections.closeTimer(socket);
    else this.owners[sockets.kind[socket]].timer(socket);
  }

  turn(): void {
    this.to.bodyWriter.turn();
    this.to.http2.turn();
    this.to.turnEnded();
  }
}
