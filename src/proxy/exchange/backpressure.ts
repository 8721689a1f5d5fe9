// Who is not read because the other side is slow: sockets of exchanges whose other leg is a stream, or whose request waits. Between two
// sockets http1/bodies.ts does it, between two streams their windows do.
import type { Core } from '../../http2/shared-state.js';
import { SOCKET } from '../../io/sockets.js';
import { LIMITS, W } from '../../metrics/layout.js';
import type { Context } from '../context.js';
import type { Http1Sockets } from '../http1/sockets.js';
import type { ExchangeSlot, SocketSlot } from '../slots.js';
import type { Exchanges } from './exchange.js';

const LIMIT_BUFFERED = LIMITS.indexOf('buffered-bytes');

export class Backpressure {
  constructor(
    private readonly context: Context,
    private readonly core: Core,
    private readonly exchanges: Exchanges,
    private readonly http1: Http1Sockets,
  ) {}

  /** Holds a client's socket back while too much of what it sent waits. */
  holdClient(x: ExchangeSlot, waits: number): void {
    const { context } = this;
    const { throttled } = this.http1;
    const client = this.exchanges.clientSocket(x);
    if (waits <= context.limits.maxBufferedBytes || throttled[client] === 1) return;
    throttled[client] = 1;
    this.count();
    context.sockets.pause(client);
  }

  /** Reads on from it once little waits. */
  resumeClient(x: ExchangeSlot, waits: number): void {
    const { context } = this;
    const { throttled } = this.http1;
    const client = this.exchanges.clientSocket(x);
    if (throttled[client] === 0 || waits > context.limits.maxBufferedBytes >> 1) return;
    throttled[client] = 0;
    context.sockets.resume(client);
  }

  /** Holds an endpoint's socket back: no more waits for its client's stream than a stream of HTTP/2 may have under way. */
  holdEndpoint(x: ExchangeSlot, socket: SocketSlot): void {
    const { core, context } = this;
    const { sockets, limits } = context;
    const waits = core.pending.bytes[this.exchanges.clientStream(x)];
    if (waits === 0 || (sockets.flags[socket] & SOCKET.PAUSED) !== 0) return;
    if (waits < limits.http2.streamWindow && core.pending.total <= limits.http2.maxBufferedBytes) return;
    this.count();
    sockets.pause(socket);
  }

  /** Reads on from it once little waits. */
  resumeEndpoint(x: ExchangeSlot, socket: SocketSlot): void {
    const { sockets, limits } = this.context;
    if ((sockets.flags[socket] & SOCKET.PAUSED) === 0) return;
    if (this.core.pending.bytes[this.exchanges.clientStream(x)] <= limits.http2.streamWindow >> 1)
      sockets.resume(socket);
  }

  private count(): void {
    this.context.values[W.BACKPRESSURE]++;
    this.context.limited(LIMIT_BUFFERED);
  }
}
