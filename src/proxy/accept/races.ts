// The race: an endpoint is dialled for a client that is silent, or has sent what can hardly become HTTP, so that the server may speak
// first. The caller is told when the connection is established, when the server has spoken, or when there is none.

import { VERDICT } from '../../detect/matcher.js';
import { column } from '../../http/columns.js';
import { FIRST, firstFrame } from '../../http2/first-frame.js';
import { W } from '../../metrics/layout.js';
import { CLOSE, SOCKET_KIND } from '../connect/connections.js';
import { type Caller, DIAL, type Dialer, PURPOSE } from '../connect/dialer.js';
import { KNOWN, SERVICE_PROTOCOL, VERSION } from '../connect/protocols.js';
import type { ProxyHeaderWriter } from '../connect/proxy-header-writer.js';
import type { Context } from '../context.js';
import { DIAL_ATTEMPTS } from '../relay/opaque.js';
import type { SocketSlot } from '../slots.js';

const NONE = -1;

/** Who asks for races. */
export interface Racer {
  /** Whether to dial another endpoint for `client` after one has failed. */
  waits(client: SocketSlot): boolean;
  /** The connection for `client` is established. */
  connected(client: SocketSlot): void;
  /** The server spoke before its client: its bytes are in the connection's inbox. */
  serverSpoke(client: SocketSlot): void;
  /**
   * No connection for `client` is left: the endpoints (`endpoint` was the last) did not answer, or closed without a word, for this CLOSE
   * reason.
   */
  failed(client: SocketSlot, endpoint: number, reason: number): void;
}

export class Races implements Caller {
  /** Is told the outcome of a race. */
  racer: Racer | undefined;
  /** Number of dials for a client. */
  private readonly dials: Uint8Array;

  constructor(
    private readonly context: Context,
    private readonly dialer: Dialer,
    private readonly proxyHeaderWriter: ProxyHeaderWriter,
  ) {
    this.dials = column(Uint8Array, context.sockets.capacity);
    dialer.serve(PURPOSE.RACE, this);
  }

  /** Resets a client's state. */
  reset(client: SocketSlot): void {
    this.dials[client] = 0;
  }

  /** Whether an endpoint was dialled for the client, or a dial was attempted. */
  begun(client: SocketSlot): boolean {
    return this.dials[client] > 0;
  }

  /** Whether the connection for the client is still being established. */
  dialling(client: SocketSlot): boolean {
    const { sockets } = this.context;
    const upstream = sockets.peer[client];
    return upstream >= 0 && sockets.kind[upstream] === SOCKET_KIND.DIALLING;
  }

  /** Dials an endpoint other than `exclude` for the client: another one if that may not be dialled now. False if there is none. */
  begin(client: SocketSlot, exclude: number): boolean {
    const { balancer, reactor, sockets, values } = this.context;
    const service = this.context.serviceFor(client, VERDICT.OPAQUE);
    let except = exclude;
    let upstream: number = NONE;
    do {
      this.dials[client]++;
      if (service < 0) return false;
      const endpoint = balancer.pickConnection(service, reactor.ms, except);
      if (endpoint < 0) return false;
      // HTTP/2 servers do not greet, and the pool could not use the connection.
      const mute = this.context.protocols.onlyHttp2(service, endpoint);
      upstream = mute ? DIAL.FAILED : this.dialer.dial(endpoint, PURPOSE.RACE);
      if (upstream >= 0) break;
      balancer.connectAbandoned(endpoint);
      // What fails here would fail again.
      if (upstream === DIAL.FAILED || upstream === DIAL.FILES) return false;
      except = endpoint;
    } while (this.dials[client] < DIAL_ATTEMPTS);
    if (upstream < 0) return false;
    // The server speaks only once it knows the client.
    this.proxyHeaderWriter.reset(upstream);
    if (!this.proxyHeaderWriter.write(client, upstream)) {
      this.context.connections.close(upstream, CLOSE.OK);
      return false;
    }
    values[W.RACES_STARTED]++;
    sockets.peer[client] = upstream;
    sockets.peer[upstream] = client;
    return true;
  }

  /** Hands the connection established, or being established, for the client to the caller. -1 if there is none. */
  take(client: SocketSlot): SocketSlot | -1 {
    const { sockets } = this.context;
    const upstream = sockets.peer[client] as SocketSlot | -1;
    sockets.peer[client] = NONE;
    if (upstream >= 0) sockets.peer[upstream] = NONE;
    return upstream;
  }

  /** The client is gone. */
  drop(client: SocketSlot, reason: number): void {
    const upstream = this.take(client as SocketSlot);
    if (upstream >= 0) this.context.connections.close(upstream, reason);
  }

  ready(upstream: SocketSlot): void {
    const { sockets, connections } = this.context;
    const client = sockets.peer[upstream];
    if (client < 0) {
      connections.close(upstream, CLOSE.OK);
      return;
    }
    sockets.kind[upstream] = SOCKET_KIND.RACE;
    sockets.resume(upstream);
    this.racer?.connected(client as SocketSlot);
  }

  /** The dialled endpoint did not answer; another one may. */
  failed(upstream: SocketSlot, reason: number): void {
    const { sockets, connections } = this.context;
    const client = sockets.peer[upstream] as SocketSlot;
    if (client < 0) return;
    this.take(client);
    const endpoint = connections.endpoint[upstream];
    const again = this.dials[client] < DIAL_ATTEMPTS && this.racer?.waits(client) === true;
    if (!again || !this.begin(client, endpoint)) this.racer?.failed(client as SocketSlot, endpoint, reason);
  }

  mayHedge(): boolean {
    return true;
  }

  hedged(upstream: SocketSlot, next: SocketSlot): boolean {
    const client = this.context.sockets.peer[upstream];
    return client >= 0 && this.proxyHeaderWriter.writeForHedge(client, next);
  }

  overtaken(upstream: SocketSlot, next: SocketSlot): boolean {
    const { sockets } = this.context;
    const client = sockets.peer[upstream];
    sockets.peer[upstream] = NONE;
    sockets.peer[next] = client;
    sockets.moveQueue(upstream, next);
    this.proxyHeaderWriter.queueMoved(next);
    if (client >= 0) sockets.peer[client] = next;
    return true;
  }

  /** The server speaks first. */
  data(upstream: SocketSlot, bid: number, at: number, length: number): void {
    const { sockets, inbox, connections, values, slab } = this.context;
    const client = sockets.peer[upstream] as SocketSlot | -1;
    if (this.http2First(upstream, at, length)) {
      slab.release(bid);
      if (client >= 0) this.take(client as SocketSlot);
      connections.close(upstream, CLOSE.OK);
      return;
    }
    inbox.push(upstream, bid, at, at + length);
    if (client < 0) {
      connections.close(upstream, CLOSE.OK);
      return;
    }
    values[W.RACES_SERVER_FIRST]++;
    this.racer?.serverSpoke(client as SocketSlot);
  }

  /** The server closed without a word, or broke: the client may still speak, on another connection. */
  ended(upstream: SocketSlot, reason: number): void {
    const { sockets, connections } = this.context;
    const client = sockets.peer[upstream] as SocketSlot | -1;
    if (client >= 0) this.take(client as SocketSlot);
    const endpoint = connections.endpoint[upstream];
    connections.close(upstream, reason);
    if (client >= 0) this.racer?.failed(client as SocketSlot, endpoint, reason);
  }

  /** HTTP/2 servers also speak first, but only to clients that sent a preface, and this client has not. */
  private http2First(upstream: SocketSlot, at: number, length: number): boolean {
    const { bytes, connections, endpoints, services, protocols } = this.context;
    const endpoint = connections.endpoint[upstream];
    const service = endpoints.service[endpoint];
    if (service < 0 || firstFrame(bytes, at, at + length) !== FIRST.YES) return false;
    const protocol = services.protocol[service];
    if (protocol !== SERVICE_PROTOCOL.AUTO && protocol !== SERVICE_PROTOCOL.HTTP2) return false;
    protocols.learn(endpoint, VERSION.HTTP2, KNOWN.SPOKEN);
    return true;
  }
}
