// Passes socket events to the connections of a load.
import { ERRNO } from '../io/abi.js';
import type { Handlers, Reactor } from '../io/reactor.js';
import type { Connections } from './connections.js';
import { errorOfHandshake } from './secure.js';
import { AT, ERROR } from './tally.js';

const NONE = -1;

export class Events implements Handlers {
  constructor(
    private readonly connections: Connections,
    private readonly reactor: Reactor,
  ) {}

  connected(socket: number, result: number): void {
    const c = this.connections.of[socket];
    if (c < 0) return;
    if (result >= 0) this.connections.connected(c, socket, NONE);
    else this.connections.connected(c, socket, this.reason(socket, -result));
  }

  /** Why there is no connection; for an established one, why its handshake failed. */
  private reason(socket: number, errno: number): number {
    const error = errorOf(errno);
    const { tls, plan } = this.connections;
    const cause = tls?.cause[socket] ?? NONE;
    return error === ERROR.refused || error === ERROR.unreachable || cause < 0 ? error : errorOfHandshake(cause, plan);
  }

  data(socket: number, bid: number, at: number, length: number): void {
    const c = this.connections.of[socket];
    this.connections.tally.values[AT.READ] += length;
    if (c < 0) this.reactor.slab.release(bid);
    else this.connections.driver.data(c, socket, bid, at, length);
  }

  eof(socket: number): void {
    const c = this.connections.of[socket];
    if (c < 0) return;
    this.connections.driver.ended(c, socket);
    // Unless that has closed it.
    if (this.connections.of[socket] === c) this.connections.lost(c, ERROR.closed);
  }

  failed(socket: number, errno: number): void {
    const c = this.connections.of[socket];
    if (c >= 0) this.connections.lost(c, errorOf(errno));
  }

  sent(_socket: number, bytes: number): void {
    this.connections.tally.values[AT.WRITTEN] += bytes;
    this.connections.driver.sent?.(bytes);
  }

  /** Received data may tell more: wait for its end. */
  sendFailed(socket: number, errno: number): void {
    const c = this.connections.of[socket];
    if (c >= 0 && !this.reactor.sockets.receiving(socket)) this.connections.lost(c, errorOf(errno));
  }

  drained(socket: number): void {
    const c = this.connections.of[socket];
    if (c >= 0) this.connections.driver.drained?.(c, socket);
  }

  turn(): void {
    this.connections.turn();
  }

  paused(): void {
    // Nothing is ever paused.
  }

  ready(): void {
    // Nothing is accepted here, and the methods below are not used either.
  }

  accepted(): void {}
  handedIn(): void {}
  handedOver(): void {}
  hungUp(): void {}
  pump(): void {}
  timer(): void {}
  starved(): void {}
}

/** The ERROR for the errno of a failed call. */
function errorOf(errno: number): number {
  switch (errno) {
    case ERRNO.ECONNREFUSED:
      return ERROR.refused;
    case ERRNO.ECONNRESET:
    case ERRNO.EPIPE:
    case ERRNO.ECONNABORTED:
      return ERROR.reset;
    case ERRNO.ETIMEDOUT:
      return ERROR.timeout;
    case ERRNO.EPROTO:
      return ERROR.tls;
    case ERRNO.EMFILE:
    case ERRNO.ENFILE:
    case ERRNO.EADDRNOTAVAIL:
    case ERRNO.ENOMEM:
    case ERRNO.ENOBUFS:
      return ERROR.local;
    default:
      return ERROR.unreachable;
  }
}
