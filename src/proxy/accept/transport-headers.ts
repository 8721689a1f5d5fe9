// The opaque transport header at the start of a connection, inside TLS that ends here. It names the port on this machine that the client
// wants, and the client's protocol. Only a client with a verified certificate may send one.
import { column } from '../../http/columns.js';
import { LIMITS, W } from '../../metrics/layout.js';
import { HEADER_ERROR, SESSION, TransportHeaderReader } from '../../tls/transport-header.js';
import { CLOSE, SOCKET_KIND } from '../connect/connections.js';
import type { Context } from '../context.js';
import { REFUSED } from '../refusals.js';
import type { SocketSlot } from '../slots.js';
import { MODE } from '../snapshot.js';

const LIMIT_TIME = LIMITS.indexOf('detect-time');
/** Time for a client's header if detection waits without limit, ms. */
const DEFAULT_TIMEOUT_MS = 10_000;
const MODES = { [SESSION.OPAQUE]: MODE.OPAQUE, [SESSION.HTTP1]: MODE.HTTP1, [SESSION.HTTP2]: MODE.HTTP2 } as const;

/** Outcome for a client that named its destination. */
export const FORWARD = { OK: 0, LOOP: 1, FULL: 2 } as const;

export class TransportHeaders {
  private readonly header = new TransportHeaderReader();
  private readonly began: Float64Array;
  /** MODE of what follows a client's header, plus 1; 0: detection decides. */
  readonly mode: Uint8Array;
  /** Sends a client to a port of this machine; returns a FORWARD. The client is refused unless that is OK. */
  forward: ((client: SocketSlot, port: number) => number) | undefined;

  constructor(private readonly context: Context) {
    this.began = column(Float64Array, context.sockets.capacity);
    this.mode = column(Uint8Array, context.sockets.capacity);
  }

  /** A new client: clears the state of the previous one in this slot. */
  begin(client: SocketSlot): void {
    this.mode[client] = 0;
  }

  /** The client has negotiated the opaque transport in its handshake. */
  open(client: SocketSlot): void {
    const { sockets, wheel, reactor, inbox } = this.context;
    if (!this.context.hasIdentity(client)) {
      this.context.values[W.TRANSPORT_REFUSED]++;
      this.refuse(client, CLOSE.REFUSED, REFUSED.TRANSPORT_STRANGER);
      return;
    }
    sockets.kind[client] = SOCKET_KIND.TRANSPORT_HEADER;
    // What follows the header belongs to the application.
    if (inbox.empty(client)) this.context.connections.countingDeferred[client] = 1;
    this.began[client] = reactor.now;
    wheel.pull(client, this.deadline(client));
    if (inbox.empty(client)) sockets.receiveOnce(client);
    else this.read(client);
  }

  data(client: SocketSlot, bid: number, at: number, length: number): void {
    this.context.inbox.push(client, bid, at, at + length);
    this.read(client);
  }

  eof(client: SocketSlot): void {
    // Connecting without sending anything is a port check, not an event.
    if (this.context.inbox.empty(client)) this.context.connections.close(client, CLOSE.OK);
    else this.reject(client);
  }

  timer(client: SocketSlot): void {
    const { reactor, connections, inbox, wheel } = this.context;
    if (reactor.now >= this.deadline(client)) {
      this.context.limited(LIMIT_TIME);
      this.context.values[W.TRANSPORT_REFUSED]++;
      this.refuse(client, CLOSE.TIMEOUT, REFUSED.TRANSPORT_LATE);
    } else if (inbox.empty(client) && this.context.isDraining(client)) connections.close(client, CLOSE.DRAIN);
    else wheel.schedule(client, this.deadline(client));
  }

  /** A drain has begun: do not wait for a client that has not started. */
  reconsider(client: SocketSlot): void {
    this.context.wheel.pull(client, this.context.reactor.clock() + 1);
  }

  private read(client: SocketSlot): void {
    const { inbox, bytes, sockets } = this.context;
    while (inbox.merge(client) === 1);
    const first = inbox.first(client);
    const read = this.header.read(bytes, inbox.startOf(first), inbox.endOf(first));
    if (read > 0) this.accept(client, read);
    else if (read < 0 || inbox.following(first) >= 0) this.reject(client, read);
    else sockets.receiveOnce(client);
  }

  private accept(client: SocketSlot, length: number): void {
    const { inbox, slab, sockets, wheel, values, connections } = this.context;
    const bid = inbox.shift(client);
    const start = inbox.startOf(bid) + length;
    if (start < inbox.endOf(bid)) inbox.unshift(client, bid, start, inbox.endOf(bid));
    else slab.release(bid);
    connections.startCounting(client);
    wheel.cancel(client);
    // Nothing is received until it is asked for.
    sockets.pause(client);
    sockets.kind[client] = SOCKET_KIND.DETECT;
    values[W.TRANSPORT_HEADERS]++;
    this.mode[client] = MODES[this.header.session as 0 | 1 | 2] + 1;
    switch (this.forward?.(client, this.header.port)) {
      case FORWARD.OK:
        return;
      case FORWARD.FULL:
        this.refuse(client, CLOSE.LIMIT, REFUSED.DESTINATIONS);
        return;
      default:
        values[W.TRANSPORT_REFUSED]++;
        this.refuse(client, CLOSE.REFUSED, REFUSED.TRANSPORT_LOOP);
    }
  }

  private deadline(client: SocketSlot): number {
    const { destinations, connections } = this.context;
    const timeout = destinations.timeoutMs[connections.listener[client]];
    return this.began[client] + (timeout > 0 ? timeout : DEFAULT_TIMEOUT_MS);
  }

  private reject(client: SocketSlot, problem: number = HEADER_ERROR.MALFORMED): void {
    this.context.values[W.TRANSPORT_REFUSED]++;
    this.refuse(
      client,
      CLOSE.PROTOCOL,
      problem === HEADER_ERROR.PORT ? REFUSED.TRANSPORT_PORT : REFUSED.TRANSPORT_HEADER,
    );
  }

  private refuse(client: SocketSlot, reason: number, why: number): void {
    this.context.refusals.note(why, client, -1, -1);
    this.context.connections.close(client, reason);
  }
}
