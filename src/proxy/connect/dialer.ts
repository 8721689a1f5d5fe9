// Connections to endpoints, until they can carry payload. Whoever asks for one hears once: ready, or failed. The connect timeout, what
// the balancer learns and what is counted are here; so is all that has to happen before the first byte of payload, which for HTTP/2
// is that the endpoint has said its SETTINGS. Payload may be queued meanwhile, and moved to the next dial.
import { ERRNO } from '../../io/abi.js';
import { E, ENDPOINT_HISTOGRAMS, endpointHistogram, LIMITS } from '../../metrics/layout.js';
import type { Context } from '../context.js';
import type { EndpointSlot, SocketSlot } from '../slots.js';
import { CLOSE, SOCKET_KIND } from './connections.js';

const LIMIT_POOL = LIMITS.indexOf('pool-connections');
const LIMIT_FILES = LIMITS.indexOf('file-descriptors');
const LIMIT_CONNECT = LIMITS.indexOf('connect-time');
const CONNECT_US = ENDPOINT_HISTOGRAMS.indexOf('connect_us');
/** How long an endpoint may take to say its SETTINGS where there is no connect timeout, ms. */
const SETTINGS_MS = 10_000;
const NEVER = Number.POSITIVE_INFINITY;

/** What a connection is made for; who asked. */
export const PURPOSE = { RACE: 0, OPAQUE: 1, HTTP1: 2, HTTP2: 3 } as const;

/** Why `dial` gave no connection. */
export const DIAL = {
  /** The endpoint has as many connections as it may. */
  LIMIT: -1,
  /** No file descriptor or slot is left, or the address family is not to be had. */
  FAILED: -2,
} as const;

/** Who asks for connections. */
export interface Caller {
  /** The connection can carry payload: its kind is for the caller to set. */
  ready(socket: SocketSlot): void;
  /** There will be none, for this CLOSE reason. What was queued on the socket is there until this returns; then it is closed. */
  failed(socket: SocketSlot, reason: number): void;
}

export class Dialer {
  private readonly purpose: Uint8Array;
  private readonly callers: Caller[] = [];

  constructor(private readonly context: Context) {
    this.purpose = new Uint8Array(context.sockets.capacity);
  }

  /** Tells `caller` of the connections that are made for `purpose`. */
  serve(purpose: number, caller: Caller): void {
    this.callers[purpose] = caller;
  }

  /** Starts connecting to `endpoint`; a socket, or a DIAL code. */
  dial(endpoint: number, purpose: number): number {
    const { context } = this;
    const { endpoints, services, connections, balancer } = context;
    const service = endpoints.service[endpoint];
    if (service < 0) return DIAL.FAILED;
    if (balancer.connections(endpoint) >= services.maxConnections[service]) {
      context.limited(LIMIT_POOL);
      return DIAL.LIMIT;
    }
    const family = endpoints.family[endpoint] === 6 ? 6 : 4;
    const fd = context.native.socket(family, services.keepAliveMs[service], services.userTimeoutMs[service]);
    if (fd < 0) {
      if (fd === -ERRNO.EMFILE || fd === -ERRNO.ENFILE) context.limited(LIMIT_FILES);
      return DIAL.FAILED;
    }
    const slot = connections.openEndpoint(fd, endpoint, SOCKET_KIND.DIALLING);
    if (slot < 0) {
      context.native.close(fd);
      return DIAL.FAILED;
    }
    const socket = slot as SocketSlot;
    this.purpose[socket] = purpose;
    connections.undecided[socket] = 1;
    balancer.opened(endpoint);
    context.sockets.connect(socket, endpoints.addressAt[endpoint], endpoints.addressLength[endpoint]);
    const deadline = this.deadline(socket);
    if (deadline !== NEVER) context.wheel.pull(socket, deadline);
    return socket;
  }

  /** A connection that is being made is for something else from here on. */
  reassign(socket: SocketSlot, purpose: number): void {
    this.purpose[socket] = purpose;
  }

  /** The handshake of TCP has ended. */
  connected(socket: SocketSlot, result: number): void {
    const { connections, balancer, reactor, metrics, endpoints, sockets } = this.context;
    if (result < 0) {
      this.fail(socket, result === -ERRNO.ETIMEDOUT ? CLOSE.TIMEOUT : CLOSE.REFUSED);
      return;
    }
    const endpoint = connections.endpoint[socket];
    const elapsed = reactor.now - connections.opened[socket];
    connections.undecided[socket] = 0;
    balancer.connected(endpoint, reactor.ms, elapsed);
    metrics.record(endpointHistogram(endpoints.series[endpoint], CONNECT_US), elapsed * 1000);
    if (this.purpose[socket] === PURPOSE.HTTP2) sockets.resume(socket);
    else this.settle(socket);
  }

  /** The connection can carry payload. HTTP/2 says so when it has seen SETTINGS. */
  settle(socket: SocketSlot): void {
    this.context.wheel.cancel(socket);
    this.callers[this.purpose[socket]].ready(socket);
  }

  /** A connection that stood was of no use: closed or broken, or its endpoint did not say what it had to. */
  lost(socket: SocketSlot, reason: number): void {
    this.callers[this.purpose[socket]].failed(socket, reason);
    this.context.connections.close(socket, reason);
  }

  /** As `lost`, where our last words are still to go out. */
  refuse(socket: SocketSlot, reason: number): void {
    this.callers[this.purpose[socket]].failed(socket, reason);
    this.context.connections.closeWhenSent(socket, reason);
  }

  timer(socket: SocketSlot): void {
    const { reactor, wheel } = this.context;
    const deadline = this.deadline(socket);
    if (reactor.now < deadline) {
      if (deadline !== NEVER) wheel.schedule(socket, deadline);
      return;
    }
    this.context.limited(LIMIT_CONNECT);
    this.fail(socket, CLOSE.TIMEOUT);
  }

  /** The endpoint did not speak what it is said to speak: as good as no connection. */
  unusable(endpoint: EndpointSlot | number): void {
    const { balancer, reactor, values, endpoints } = this.context;
    values[endpoints.base[endpoint] + E.CONNECT_FAILURES]++;
    balancer.connectFailed(endpoint, reactor.ms);
  }

  private fail(socket: SocketSlot, reason: number): void {
    const { connections } = this.context;
    connections.undecided[socket] = 0;
    this.unusable(connections.endpoint[socket]);
    this.lost(socket, reason);
  }

  /** When the dial times out, ms. */
  private deadline(socket: SocketSlot): number {
    const { connections, services, endpoints } = this.context;
    const service = endpoints.service[connections.endpoint[socket]];
    // An endpoint that is gone is not waited for.
    const timeout = service < 0 ? 1 : services.connectTimeoutMs[service];
    if (timeout > 0) return connections.opened[socket] + timeout;
    return this.purpose[socket] === PURPOSE.HTTP2 ? connections.opened[socket] + SETTINGS_MS : NEVER;
  }
}
