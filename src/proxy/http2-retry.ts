// Requests that are sent again: what an endpoint refused, or said in a GOAWAY that it would not look at, has not been processed and
// goes to another one; so does what never left. Nothing else does. For that a request is kept until its response begins.

import type { FieldList } from '../hpack/field-list.js';
import { METHOD } from '../http1/head.js';
import type { Connection } from '../http2/connection.js';
import { BLOCK_BYTES } from '../http2/small-buffers.js';
import { STREAM } from '../http2/streams.js';
import { E, H, LIMITS, S, W } from '../metrics/layout.js';
import { WHY } from './http1-answers.js';
import type { Http2 } from './http2.js';

const NONE = -1;
export const MAX_ATTEMPTS = 3;
const LIMIT_REPLAY = LIMITS.indexOf('h2-replay');
const LIMIT_RETRY_BUDGET = LIMITS.indexOf('retry-budget');

export class Http2Retries {
  constructor(private readonly http2: Http2) {}

  /**
   * Keeps the head in `list`, which is also how a request waits for a connection; streams are bounded, and so are heads. `end`: the
   * request has no body. False if there is no memory for it.
   */
  keep(upstream: number, list: FieldList, end: boolean): boolean {
    const { core, exchanges } = this.http2;
    const { replay } = exchanges;
    const block = core.blocks.take();
    if (block < 0) return false;
    let to = core.memory.save(list, block, block + BLOCK_BYTES);
    if (to >= 0) {
      replay.adopt(upstream, block, to - block, NONE);
      exchanges.saved[upstream] = to - block;
    } else {
      core.blocks.release(block);
      const { slab } = core;
      const bid = slab.take();
      if (bid < 0) return false;
      const at = slab.dataStart(bid);
      to = core.memory.save(list, at, slab.dataEnd(bid));
      if (to < 0) {
        slab.release(bid);
        return false;
      }
      replay.adopt(upstream, at, to - at, bid);
      exchanges.saved[upstream] = to - at;
    }
    exchanges.whole[upstream] = end ? 1 : 0;
    return true;
  }

  /** Keeps a piece of the request's body. False if the request can't be sent again from here on. */
  keepData(upstream: number, at: number, length: number, end: boolean): boolean {
    const { exchanges, context } = this.http2;
    const saved = exchanges.saved[upstream];
    if (saved === 0) return false;
    const { replay } = exchanges;
    const service = exchanges.service[this.http2.core.streams.peer[upstream]];
    // What waits for a connection has no other place; it is bounded by its stream's window.
    const bounded = exchanges.waiting[upstream] === 0;
    const size = replay.bytes[upstream] - saved + length;
    if (
      bounded &&
      (size > context.services.replayBytes[service] || replay.total > context.limits.http2.maxReplayBytes)
    ) {
      if (replay.total > context.limits.http2.maxReplayBytes) context.limited(LIMIT_REPLAY);
      exchanges.forget(upstream);
      return false;
    }
    if (length > 0 && !replay.append(upstream, at, length)) {
      if (bounded) exchanges.forget(upstream);
      return false;
    }
    if (end) exchanges.whole[upstream] = 1;
    return true;
  }

  /** Trailers of a request whose head, or some of whose body, is still to go. */
  holdTrailers(upstream: number, list: FieldList): void {
    const { core } = this.http2;
    const { streams, slab, memory } = core;
    const bid = slab.take();
    const slot = streams.peer[upstream];
    const at = bid < 0 ? NONE : slab.dataStart(bid);
    const end = bid < 0 ? NONE : memory.save(list, at, slab.dataEnd(bid));
    if (end < 0) {
      if (bid >= 0) slab.release(bid);
      this.http2.lifecycle.shed(slot, upstream);
      return;
    }
    streams.trailersBuffer[upstream] = bid;
    streams.trailersLength[upstream] = end - at;
    streams.state[upstream] |= STREAM.TRAILERS_PENDING;
  }

  dropTrailers(upstream: number): void {
    const { streams, slab } = this.http2.core;
    if (streams.trailersBuffer[upstream] === NONE) return;
    slab.release(streams.trailersBuffer[upstream]);
    streams.trailersBuffer[upstream] = NONE;
  }

  /** The endpoint has not processed the request: sends it to another one, or, if `same` may be, to any. False if it can't be. */
  again(slot: number, upstream: number, same = false): boolean {
    const { exchanges, context, core } = this.http2;
    const { budget, reactor, values } = context;
    if (exchanges.saved[upstream] === 0 || exchanges.answered[slot] === 1) return false;
    if (exchanges.attempts[slot] >= MAX_ATTEMPTS) return false;
    const service = exchanges.service[slot];
    const base = context.services.base[service];
    if (!budget.tryWithdraw(service, reactor.ms)) {
      context.limited(LIMIT_RETRY_BUDGET);
      values[W.RETRIES_BUDGET]++;
      values[base + S.RETRIES_DENIED]++;
      return false;
    }
    values[W.RETRIES]++;
    values[base + S.RETRIES]++;
    const role = core.streams.connection[upstream]?.meter;
    if (role !== undefined) values[role + H.RETRIES_REFUSED]++;
    const endpoint = exchanges.endpoint[upstream];
    this.takeBack(upstream);
    this.redispatch(slot, upstream, same ? NONE : endpoint);
    return true;
  }

  /** Dialling failed, so nothing was processed. */
  elsewhere(slot: number, upstream: number, endpoint: number, why: number): void {
    const { http2 } = this;
    const { exchanges } = http2;
    http2.accounts.abandon(upstream);
    if (exchanges.attempts[slot] >= MAX_ATTEMPTS) {
      http2.accounts.inFlight--;
      http2.lifecycle.part(slot, upstream);
      http2.answers.respond(slot, why === WHY.CONNECT_TIMEOUT ? 504 : 502, why);
      return;
    }
    this.redispatch(slot, upstream, endpoint);
  }

  /** Sends the request that is kept for `upstream` on `connection`. */
  replay(upstream: number, connection: Connection): void {
    const { http2 } = this;
    const { core, exchanges, machine } = http2;
    const { streams } = core;
    const slot = streams.peer[upstream];
    const { replay } = exchanges;
    const saved = exchanges.saved[upstream];
    if (exchanges.extended[upstream] === 1 && !connection.peerConnect) {
      http2.lifecycle.giveUp(slot, upstream, 501, WHY.NOT_IMPLEMENTED);
      return;
    }
    const first = replay.start(upstream);
    const at = replay.pieceAt(first);
    const body = replay.bytes[upstream] - saved;
    const whole = exchanges.whole[upstream] === 1;
    core.memory.restore(at, at + saved, core.list);
    machine.sender.openStream(upstream, connection);
    http2.timers.used(connection);
    http2.context.values[http2.context.endpoints.base[exchanges.endpoint[upstream]] + E.H2_STREAMS]++;
    streams.active[upstream] = http2.context.reactor.now;
    if (exchanges.method[slot] === METHOD.HEAD) streams.state[upstream] |= STREAM.BODILESS;
    machine.sender.headers(upstream, core.list, whole && body === 0);
    // The body: through the chain of what waits, which leaves the kept copy as it is.
    let skip = saved;
    for (let piece = first; piece !== NONE; piece = replay.following(piece)) {
      const from = replay.pieceAt(piece) + skip;
      const length = replay.pieceLength(piece) - skip;
      skip = 0;
      if (length > 0 && !core.pending.append(upstream, from, length)) {
        http2.lifecycle.shed(slot, upstream);
        return;
      }
    }
    if (body > 0) machine.sender.waiting(upstream, whole);
    if ((streams.state[upstream] & STREAM.TRAILERS_PENDING) !== 0) {
      if (core.pending.empty(upstream)) machine.sender.heldTrailers(upstream);
      exchanges.forget(upstream);
      return;
    }
    const limit = http2.context.services.replayBytes[exchanges.service[slot]];
    if (body > limit) exchanges.forget(upstream);
  }

  private redispatch(slot: number, upstream: number, exclude: number): void {
    const connection = this.http2.lifecycle.pick(slot, upstream, exclude, true, false);
    if (connection !== null) this.replay(upstream, connection);
  }

  /** Takes a stream that is off its connection back from the endpoint. */
  private takeBack(upstream: number): void {
    const { http2 } = this;
    const { exchanges, core, context } = http2;
    http2.accounts.abandon(upstream);
    if (core.streams.id[upstream] !== 0) {
      context.values[context.endpoints.base[exchanges.endpoint[upstream]] + E.H2_STREAMS]--;
      core.streams.id[upstream] = 0;
    }
    // A new stream begins with new windows.
    core.streams.state[upstream] = 0;
    core.streams.sendUsed[upstream] = 0;
    core.streams.recvCredit[upstream] = 0;
    core.streams.expected[upstream] = NONE;
  }
}
