// Pauses sources whose readers are slow: sockets of exchanges whose other leg is a stream, or whose request waits. Between two sockets
// http1/bodies.ts does this; between two streams their windows do.

import { BLOCK_BYTES } from '../../http2/block-allocator.js';
import type { BufferChains } from '../../http2/buffer-chains.js';
import type { Core } from '../../http2/shared-state.js';
import { SOCKET } from '../../io/sockets.js';
import type { Context } from '../context.js';
import type { Http1Sockets } from '../http1/sockets.js';
import type { ExchangeSlot, SocketSlot } from '../slots.js';
import type { Exchanges } from './exchange.js';

export class Backpressure {
  constructor(
    private readonly context: Context,
    private readonly core: Core,
    private readonly exchanges: Exchanges,
    private readonly http1: Http1Sockets,
  ) {}

  /** Pauses a client's socket while too much of its data waits in `chain` of `waits`. */
  holdClient(x: ExchangeSlot, waits: BufferChains, chain: number): void {
    const { outputLimits, limits } = this.context;
    const costs = waits.pinned[chain] * BLOCK_BYTES;
    if (costs > 0 && costs > outputLimits.bytes(limits.maxBufferedBytes)) this.stopClient(x);
  }

  /** Pauses it: the socket it sends to is full. */
  stopClient(x: ExchangeSlot): void {
    const { outputLimits, sockets } = this.context;
    const { throttled } = this.http1;
    const client = this.exchanges.clientSocket(x);
    if (throttled[client] === 1) return;
    throttled[client] = 1;
    outputLimits.count();
    sockets.pause(client);
    this.context.watchSoon(client);
  }

  /** Resumes it once little waits. */
  resumeClient(x: ExchangeSlot, waits: BufferChains, chain: number): void {
    const { outputLimits, limits } = this.context;
    const costs = waits.pinned[chain] * BLOCK_BYTES;
    if (costs <= outputLimits.bytes(limits.maxBufferedBytes) >> 1) this.startClient(x);
  }

  /** Resumes it: nothing waits. */
  startClient(x: ExchangeSlot): void {
    const { throttled } = this.http1;
    const client = this.exchanges.clientSocket(x);
    if (throttled[client] === 0) return;
    throttled[client] = 0;
    this.context.sockets.resumeSlowly(client);
  }

  /** Pauses an endpoint's socket: its client's stream may have no more waiting than an HTTP/2 stream may have in flight. */
  holdEndpoint(x: ExchangeSlot, socket: SocketSlot): void {
    const { core, context } = this;
    const { sockets, limits, outputLimits } = context;
    const waits = core.pending.pinned[this.exchanges.clientStream(x)] * BLOCK_BYTES;
    if (waits === 0 || (sockets.flags[socket] & SOCKET.PAUSED) !== 0) return;
    if (waits < outputLimits.bytes(limits.http2.streamWindow)) return;
    outputLimits.count();
    sockets.pause(socket);
  }

  /** Resumes it once little waits. */
  resumeEndpoint(x: ExchangeSlot, socket: SocketSlot): void {
    const { sockets, limits, outputLimits } = this.context;
    if ((sockets.flags[socket] & SOCKET.PAUSED) === 0) return;
    const waits = this.core.pending.pinned[this.exchanges.clientStream(x)] * BLOCK_BYTES;
    if (waits <= outputLimits.bytes(limits.http2.streamWindow) >> 1) sockets.resumeSlowly(socket);
  }
}
