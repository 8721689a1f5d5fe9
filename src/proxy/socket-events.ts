// What happens on sockets, handed to whoever a socket's KIND names.
import { ERRNO } from '../io/abi.js';
import type { Handlers } from '../io/reactor.js';
import { L } from '../metrics/layout.js';
import type { Acceptor } from './accept/acceptor.js';
import type { Detector } from './accept/detector.js';
import { CLOSE, KIND } from './connect/connections.js';
import type { Context } from './context.js';
import type { Http1 } from './http1.js';
import type { Http2 } from './http2.js';
import type { OpaqueRelay } from './relay/opaque.js';
import type { Worker } from './worker.js';

export class SocketEvents implements Handlers {
  constructor(
    private readonly context: Context,
    private readonly acceptor: Acceptor,
    private readonly detector: Detector,
    private readonly http1: Http1,
    private readonly http2: Http2,
    private readonly opaque: OpaqueRelay,
    private readonly worker: Worker,
  ) {}

  accepted(listener: number, result: number, more: boolean): void {
    this.acceptor.accepted(listener, result, more);
  }

  handedIn(listener: number, fd: number): void {
    this.acceptor.handedIn(listener, fd);
  }

  handedOver(listener: number, fd: number, result: number): void {
    this.acceptor.handedOver(listener, fd, result);
  }

  connected(slot: number, result: number): void {
    switch (this.context.sockets.kind[slot]) {
      case KIND.HTTP1_UPSTREAM:
        this.http1.upstreamConnected(slot, result);
        break;
      case KIND.HTTP2_UPSTREAM:
        this.http2.socketConnected(slot, result);
        break;
      case KIND.BRIDGE_UPSTREAM:
        this.http2.bridge.socketConnected(slot, result);
        break;
      case KIND.OPAQUE:
        this.opaque.connected(slot, result);
        break;
      case KIND.RACE:
        this.detector.raceConnected(slot, result);
        break;
      default:
    }
  }

  ready(slot: number): void {
    if (this.context.sockets.kind[slot] === KIND.DETECT) this.detector.ready(slot);
  }

  data(slot: number, bid: number, at: number, length: number): void {
    const { connections, values, sockets, slab } = this.context;
    if (connections.over(slot)) {
      slab.release(bid);
      return;
    }
    values[connections.meter[slot] + L.READ_BYTES] += length;
    if (this.context.access) connections.read[slot] += length;
    switch (sockets.kind[slot]) {
      case KIND.HTTP1_CLIENT:
        this.http1.clientData(slot, bid, at, length);
        break;
      case KIND.HTTP1_UPSTREAM:
        this.http1.upstreamData(slot, bid, at, length);
        break;
      case KIND.HTTP2_CLIENT:
      case KIND.HTTP2_UPSTREAM:
        this.http2.socketData(slot, bid, at, length);
        break;
      case KIND.BRIDGE_UPSTREAM:
        this.http2.bridge.socketData(slot, bid, at, length);
        break;
      case KIND.TUNNEL:
        this.http2.fromHttp1.tunnels.data(slot, bid, at, length);
        break;
      case KIND.OPAQUE:
        this.opaque.data(slot, bid, at, length);
        break;
      case KIND.DETECT:
        this.detector.data(slot, bid, at, length);
        break;
      case KIND.RACE:
        this.detector.raceData(slot, bid, at, length);
        break;
      case KIND.LINGER:
        this.http1.answers.lingerData(slot, bid, length);
        break;
      default:
        slab.release(bid);
    }
  }

  eof(slot: number): void {
    const { connections, sockets } = this.context;
    if (connections.over(slot)) return;
    switch (sockets.kind[slot]) {
      case KIND.HTTP1_CLIENT:
        this.http1.clientEof(slot);
        break;
      case KIND.HTTP1_UPSTREAM:
        this.http1.upstreamEof(slot);
        break;
      case KIND.HTTP2_CLIENT:
      case KIND.HTTP2_UPSTREAM:
        this.http2.socketEof(slot);
        break;
      case KIND.BRIDGE_UPSTREAM:
        this.http2.bridge.socketEnded(slot, CLOSE.OK);
        break;
      case KIND.TUNNEL:
        this.http2.fromHttp1.tunnels.eof(slot);
        break;
      case KIND.OPAQUE:
        this.opaque.eof(slot);
        break;
      case KIND.DETECT:
        this.detector.eof(slot);
        break;
      case KIND.RACE:
        this.detector.raceEnded(slot, CLOSE.OK);
        break;
      default:
        connections.closeWhenSent(slot, CLOSE.OK);
    }
  }

  failed(slot: number, errno: number): void {
    const { connections, sockets } = this.context;
    if (connections.over(slot)) {
      sockets.close(slot);
      return;
    }
    const reason = errno === ERRNO.ETIMEDOUT ? CLOSE.TIMEOUT : CLOSE.RESET;
    switch (sockets.kind[slot]) {
      case KIND.HTTP1_CLIENT:
        this.http1.clientFailed(slot, errno);
        break;
      case KIND.HTTP1_UPSTREAM:
        this.http1.upstreamFailed(slot, errno);
        break;
      case KIND.HTTP2_CLIENT:
      case KIND.HTTP2_UPSTREAM:
        this.http2.socketFailed(slot, errno);
        break;
      case KIND.BRIDGE_UPSTREAM:
        this.http2.bridge.socketEnded(slot, reason);
        break;
      case KIND.TUNNEL:
        this.http2.fromHttp1.tunnels.failed(slot, errno);
        break;
      case KIND.OPAQUE:
        this.opaque.failed(slot, errno);
        break;
      case KIND.DETECT:
        this.detector.failed(slot, reason);
        break;
      case KIND.RACE:
        this.detector.raceEnded(slot, reason);
        break;
      default:
        connections.close(slot, reason);
    }
  }

  sent(slot: number, bytes: number): void {
    const { connections, values, reactor } = this.context;
    connections.active[slot] = reactor.now;
    values[connections.meter[slot] + L.WRITE_BYTES] += bytes;
    if (this.context.access) connections.written[slot] += bytes;
    const kind = this.context.sockets.kind[slot];
    if (kind === KIND.HTTP1_UPSTREAM || kind === KIND.BRIDGE_UPSTREAM) this.http1.exchanges.sent[slot] += bytes;
  }

  sendFailed(slot: number, errno: number): void {
    const { connections, sockets } = this.context;
    if (connections.over(slot)) {
      sockets.close(slot);
      return;
    }
    switch (sockets.kind[slot]) {
      case KIND.HTTP1_UPSTREAM:
        this.http1.upstreamSendFailed(slot);
        break;
      case KIND.BRIDGE_UPSTREAM:
        this.http2.bridge.socketSendFailed(slot);
        break;
      case KIND.OPAQUE:
        this.opaque.sendFailed(slot, errno);
        break;
      default:
        this.failed(slot, errno);
    }
  }

  paused(slot: number): void {
    switch (this.context.sockets.kind[slot]) {
      case KIND.HTTP1_CLIENT:
        this.http1.clientPaused(slot);
        break;
      case KIND.HTTP1_UPSTREAM:
        this.http1.upstreamPaused(slot);
        break;
      case KIND.OPAQUE:
        this.opaque.paused(slot);
        break;
      default:
    }
  }

  drained(slot: number): void {
    switch (this.context.sockets.kind[slot]) {
      case KIND.HTTP1_CLIENT:
      case KIND.TUNNEL:
        this.http1.clientDrained(slot);
        break;
      case KIND.HTTP1_UPSTREAM:
        this.http1.upstreamDrained(slot);
        break;
      case KIND.HTTP2_CLIENT:
      case KIND.HTTP2_UPSTREAM:
        this.http2.socketDrained(slot);
        break;
      case KIND.BRIDGE_UPSTREAM:
        this.http2.bridge.socketDrained(slot);
        break;
      case KIND.OPAQUE:
        this.opaque.drained(slot);
        break;
      default:
    }
  }

  pump(slot: number): void {
    if (this.context.sockets.kind[slot] === KIND.OPAQUE) this.opaque.pump(slot);
    else this.http1.pump(slot);
  }

  timer(slot: number): void {
    const { connections, sockets } = this.context;
    if (connections.over(slot)) {
      connections.lastBytesTimer(slot);
      return;
    }
    switch (sockets.kind[slot]) {
      case KIND.HTTP1_CLIENT:
        this.http1.timers.client(slot);
        break;
      case KIND.HTTP1_UPSTREAM:
        this.http1.timers.upstream(slot);
        break;
      case KIND.HTTP2_CLIENT:
      case KIND.HTTP2_UPSTREAM:
        this.http2.timers.fired(slot);
        break;
      case KIND.BRIDGE_UPSTREAM:
        this.http2.bridge.socketTimer(slot);
        break;
      case KIND.TUNNEL:
        this.http2.fromHttp1.tunnels.timer(slot);
        break;
      case KIND.OPAQUE:
        this.opaque.timer(slot);
        break;
      case KIND.DETECT:
        this.detector.timer(slot);
        break;
      case KIND.RACE:
        this.detector.raceTimer(slot);
        break;
      default:
        connections.close(slot, CLOSE.OK);
    }
  }

  turn(): void {
    this.http2.turn();
    this.worker.turned();
  }
}
