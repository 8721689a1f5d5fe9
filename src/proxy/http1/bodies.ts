// Body bytes of an exchange between two HTTP/1 sockets, in either direction: copied through the slab, with new framing if they are chunked,
// or spliced if the length is known and large. Slow readers pause their source.
import { BODY, frameChunk, writeLastChunk } from '../../http1/body.js';
import { SOCKET } from '../../io/sockets.js';
import { PUMP } from '../../io/splice.js';
import { L, LIMITS, W } from '../../metrics/layout.js';
import type { Context } from '../context.js';
import type { Exchanges } from '../exchange/exchange.js';
import type { SocketSlot } from '../slots.js';
import type { LargeOutput } from './large-output.js';
import { FLOW, type Http1Sockets } from './sockets.js';

/** Bodies with at least this much left are spliced; for less, switching costs more than copying. */
export const SPLICE_BYTES = 256 * 1024;
const LIMIT_PIPES = LIMITS.indexOf('pipes');

export class BodyRelay {
  constructor(
    private readonly context: Context,
    private readonly http1: Http1Sockets,
    private readonly large: LargeOutput,
    private readonly exchanges: Exchanges,
  ) {}

  /**
   * Queues what `bodies.read` just found in buffer `bid` to `destination` (which keeps its own reference), framed if `chunked`. At the end
   * of a chunked body it adds the last chunk. False if the slab is exhausted.
   */
  forward(destination: SocketSlot, bid: number, chunked: boolean, done: boolean): boolean {
    const { sockets, slab, bytes } = this.context;
    const { bodies } = this.http1;
    let start = bodies.dataStart;
    let end = bodies.dataEnd;
    if (end > start) {
      if (chunked) {
        start = frameChunk(bytes, start, end);
        end += 2;
      }
      slab.retain(bid);
      sockets.queue(destination, start, end - start, bid);
    }
    return !chunked || !done || this.lastChunk(destination);
  }

  /** Queues the last chunk with the trailers read last. */
  lastChunk(destination: SocketSlot): boolean {
    const { sockets, slab, bytes } = this.context;
    const { bodies } = this.http1;
    const buffer = slab.take();
    if (buffer < 0) return false;
    const at = slab.dataStart(buffer);
    const end = writeLastChunk(bytes, at, bodies.trailerStart, bodies.trailerEnd, slab.dataEnd(buffer));
    if (end < 0) {
      slab.release(buffer);
      const { large } = this;
      const to = writeLastChunk(bytes, large.at, bodies.trailerStart, bodies.trailerEnd, large.limit);
      return to >= 0 && large.send(destination, to);
    }
    sockets.queue(destination, at, end - at, buffer);
    return true;
  }

  /** Whether `source` is paused because `destination` accepts nothing. */
  waitsFor(source: SocketSlot, destination: SocketSlot): boolean {
    return this.context.sockets.queued[destination] > 0 || this.context.splicer.blocked(source);
  }

  /** After data was queued: pauses the source if the destination is slow, or begins to splice if `maySplice`. */
  pace(source: SocketSlot, destination: SocketSlot, result: number, maySplice: boolean): void {
    const { sockets, limits } = this.context;
    const { http1 } = this;
    if (result !== BODY.MORE) return;
    if (
      http1.flow[source] === FLOW.COPY &&
      maySplice &&
      limits.maxPipes > 0 &&
      this.http1.bodies.remaining(source) >= SPLICE_BYTES &&
      sockets.spliceable(source) &&
      sockets.spliceable(destination)
    ) {
      http1.flow[source] = FLOW.PAUSING;
      this.context.watchSoon(source);
      if (sockets.pause(source)) this.paused(source, destination);
      return;
    }
    this.throttle(source, destination);
  }

  /** The receive of `source` found no buffer. Data that would only wait for a slow reader stays in the kernel. */
  starved(source: SocketSlot, destination: SocketSlot): void {
    if (this.http1.flow[source] === FLOW.COPY) this.throttle(source, destination);
  }

  /** The source's receive is off: splicing begins once the destination has everything. */
  paused(source: SocketSlot, destination: SocketSlot): void {
    const { http1 } = this;
    if (http1.flow[source] !== FLOW.PAUSING) return;
    http1.flow[source] = FLOW.DRAINING;
    this.trySplice(source, destination);
  }

  /** Everything queued has been sent to the destination. */
  drained(source: SocketSlot, destination: SocketSlot): void {
    const { http1 } = this;
    if (http1.flow[source] === FLOW.DRAINING) this.trySplice(source, destination);
    else if (http1.throttled[source] === 1) {
      http1.throttled[source] = 0;
      if (http1.flow[source] === FLOW.COPY) this.context.sockets.resumeSlowly(source);
    }
  }

  /** Moves spliced bytes; returns a PUMP result. DONE means that the body is complete. */
  pump(source: SocketSlot, destination: SocketSlot): number {
    const { splicer, connections, values, reactor, sockets } = this.context;
    const { http1 } = this;
    const result = splicer.step(source);
    if (splicer.bytesIn > 0 || splicer.bytesOut > 0) {
      http1.bodies.spliced(source, splicer.bytesIn);
      http1.sent[destination] += splicer.bytesOut;
      connections.active[source] = reactor.now;
      values[connections.meter[source] + L.READ_BYTES] += splicer.bytesIn;
      values[connections.meter[destination] + L.WRITE_BYTES] += splicer.bytesOut;
      values[W.SPLICED_BYTES] += splicer.bytesOut;
      if (this.context.observed) {
        // A client's socket has its exchange's slot.
        if (connections.listener[source] >= 0) this.exchanges.received[source] += splicer.bytesIn;
        else this.exchanges.sent[destination] += splicer.bytesOut;
      }
    }
    if (result !== PUMP.WAIT) {
      http1.flow[source] = FLOW.COPY;
      // An endpoint that has sent one large body will probably send another: receive only its head, so that the body is not copied.
      if (result === PUMP.DONE) sockets.receiveOnce(source);
      else if (result === PUMP.SLOW) sockets.resume(source);
    }
    return result;
  }

  private throttle(source: SocketSlot, destination: SocketSlot): void {
    const { throttled } = this.http1;
    const { outputLimits } = this.context;
    if (throttled[source] === 1 || !outputLimits.full(destination)) return;
    throttled[source] = 1;
    outputLimits.pauseUntilDrained(source, destination);
    this.context.watchSoon(source);
  }

  private trySplice(source: SocketSlot, destination: SocketSlot): void {
    const { sockets, splicer, values } = this.context;
    const { http1 } = this;
    const remaining = http1.bodies.remaining(source);
    const broken =
      (sockets.flags[source] & (SOCKET.EOF | SOCKET.CLOSED)) !== 0 ||
      (sockets.flags[destination] & SOCKET.CLOSED) !== 0;
    if (remaining > 0 && !broken && (sockets.flags[destination] & SOCKET.CONNECTING) === 0) {
      if (sockets.queued[destination] > 0) {
        sockets.notifyDrained(destination);
        return;
      }
      if (splicer.start(source, destination, remaining)) {
        values[W.SPLICE_STARTS]++;
        http1.throttled[source] = 0;
        http1.flow[source] = FLOW.SPLICE;
        splicer.schedule(source);
        return;
      }
      values[W.PIPE_LIMITED]++;
      this.context.limited(LIMIT_PIPES);
    } else if (remaining > 0 && !broken) {
      // The destination is still being dialled.
      sockets.notifyDrained(destination);
      return;
    }
    http1.flow[source] = FLOW.COPY;
    http1.throttled[source] = 0;
    sockets.resume(source);
  }
}
