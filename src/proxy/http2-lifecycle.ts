// The life of an exchange, from an endpoint's being picked for it to its end, good or bad. An exchange is a client's stream (`slot`)
// and its other side (`upstream`), until they are parted.
import { METHOD } from '../http1/head.js';
import type { Connection } from '../http2/connection.js';
import { ERROR } from '../http2/frame.js';
import type { Http2Machine } from '../http2/machine.js';
import type { Core } from '../http2/shared-state.js';
import { PEER, STREAM } from '../http2/streams.js';
import { E, LIMITS, S } from '../metrics/layout.js';
import type { Http2Pool } from './connect/http2-pool.js';
import { DIAL } from './connect/upstreams.js';
import type { Context } from './context.js';
import { WHY } from './http1-answers.js';
import type { Http2 } from './http2.js';
import type { Http2Accounts } from './http2-accounts.js';
import { type StreamExchanges, WAITING } from './http2-exchange.js';
import { MAX_ATTEMPTS } from './http2-retry.js';

const NONE = -1;
const LIMIT_SLAB = LIMITS.indexOf('slab');

export class Http2Lifecycle {
  private readonly context: Context;
  private readonly core: Core;
  private readonly machine: Http2Machine;
  private readonly exchanges: StreamExchanges;
  private readonly pool: Http2Pool;
  private readonly accounts: Http2Accounts;

  constructor(private readonly http2: Http2) {
    this.context = http2.context;
    this.core = http2.core;
    this.machine = http2.machine;
    this.exchanges = http2.exchanges;
    this.pool = http2.pool;
    this.accounts = http2.accounts;
  }

  /**
   * Picks an endpoint for the request of `slot`. Returns a connection that takes it now; null where it waits for one (it must be
   * kept for that), where the bridge to HTTP/1 has it, or where there is no endpoint and it has been answered. `listed`: it is in
   * `core.list` too.
   */
  pick(slot: number, upstream: number, exclude: number, kept: boolean, listed: boolean): Connection | null {
    const { balancer, reactor, values } = this.context;
    const { exchanges } = this;
    const service = exchanges.service[slot];
    let why: number = WHY.NO_ENDPOINT;
    let avoid = exclude;
    while (exchanges.attempts[slot] < MAX_ATTEMPTS) {
      exchanges.attempts[slot]++;
      let endpoint = balancer.pickRequest(service, reactor.ms, avoid);
      // Rather the same endpoint again than none: it may have only restarted.
      if (endpoint < 0 && avoid === exclude && avoid >= 0) endpoint = balancer.pickRequest(service, reactor.ms, NONE);
      if (endpoint < 0) break;
      balancer.begin(endpoint);
      exchanges.endpoint[upstream] = endpoint;
      const bridged = exchanges.client[slot] < 0 && this.http2.bridge.speaksHttp1(service, endpoint);
      const connection = bridged ? null : this.pool.ready(endpoint);
      if (connection === null) {
        let result: number = DIAL.FAILED;
        if (bridged) result = this.http2.bridge.take(upstream, endpoint, kept);
        else if (kept) result = this.pool.wait(upstream, endpoint);
        if (result < 0) {
          balancer.abandon(endpoint);
          why = !kept ? WHY.MEMORY : result === DIAL.LIMIT ? WHY.POOL_EXHAUSTED : WHY.CONNECT_FAILED;
          avoid = endpoint;
          continue;
        }
      }
      values[this.context.endpoints.base[endpoint] + E.REQUESTS]++;
      values[this.context.endpoints.base[endpoint] + E.IN_FLIGHT]++;
      if (bridged && exchanges.waiting[upstream] === WAITING.NO) this.http2.bridge.requests.begin(upstream, listed);
      return connection;
    }
    if (why === WHY.NO_ENDPOINT) values[this.context.services.base[service] + S.NO_ENDPOINT]++;
    this.accounts.inFlight--;
    this.part(slot, upstream);
    this.http2.answers.respond(slot, 503, why);
    return null;
  }

  /** Streams that wait for a connection of `endpoint` get one, as far as there are any. */
  serve(endpoint: number): void {
    for (;;) {
      const upstream = this.pool.firstWaiting(endpoint);
      if (upstream < 0) return;
      const connection = this.pool.ready(endpoint);
      if (connection === null) {
        this.pool.ensure(endpoint);
        return;
      }
      this.pool.unwait(upstream);
      this.http2.retries.replay(upstream, connection);
    }
  }

  /** Opens the endpoint's stream on `connection` with the head in `core.list`. */
  send(slot: number, upstream: number, connection: Connection, end: boolean): void {
    const { core, exchanges } = this;
    const { sender } = this.machine;
    // RFC 8441 section 3: not before the endpoint has said that it takes them.
    if (exchanges.extended[upstream] === 1 && !connection.peerConnect) {
      this.giveUp(slot, upstream, 501, WHY.NOT_IMPLEMENTED);
      return;
    }
    sender.openStream(upstream, connection);
    this.http2.timers.used(connection);
    this.context.values[this.context.endpoints.base[exchanges.endpoint[upstream]] + E.H2_STREAMS]++;
    core.streams.active[upstream] = this.context.reactor.now;
    if (exchanges.method[slot] === METHOD.HEAD) core.streams.state[upstream] |= STREAM.BODILESS;
    sender.headers(upstream, core.list, end);
  }

  /** The response is on its way, whole. */
  responded(slot: number, upstream: number): void {
    const { streams } = this.core;
    // A tunnel is over when both directions are.
    if ((streams.state[upstream] & STREAM.UNCOUNTED) !== 0 && this.http2.bridge.requests.tunnelling(upstream)) return;
    this.accounts.account(slot, upstream, false);
    const connection = streams.connection[upstream];
    const opened = (streams.state[upstream] & STREAM.OPEN) !== 0;
    // An endpoint that has answered before it had the whole request wants no more of it (RFC 9113 section 8.1).
    if (opened && (streams.state[upstream] & STREAM.LOCAL_END) === 0)
      this.machine.sender.reset(upstream, ERROR.NO_ERROR);
    this.part(slot, upstream);
    this.finish(slot);
    if (opened && connection !== null) this.http2.connections.reuse(connection);
  }

  /** The client's stream has all of its response. */
  finish(slot: number): void {
    const { streams } = this.core;
    const state = streams.state[slot];
    // Without memory for what it should have got, its end has not gone out.
    if ((state & STREAM.LOCAL_END) === 0) this.machine.sender.reset(slot, ERROR.INTERNAL_ERROR);
    else if ((state & STREAM.REMOTE_END) === 0) this.machine.sender.reset(slot, ERROR.NO_ERROR);
    this.closed(slot);
  }

  /** Takes the client's stream off its connection, and gives its slot back. */
  closed(slot: number): void {
    const { streams } = this.core;
    const connection = streams.connection[slot];
    this.accounts.ended(slot, false);
    this.machine.sender.close(slot);
    streams.release(slot);
    if (connection !== null) this.http2.connections.leaveIfDone(connection);
  }

  /** Parts the two sides; the endpoint's side is over. */
  part(slot: number, upstream: number): void {
    const { streams } = this.core;
    const { values } = this.context;
    const { exchanges } = this;
    if ((streams.state[upstream] & STREAM.OPEN) !== 0) this.machine.sender.close(upstream);
    if (streams.id[upstream] !== 0) values[this.context.endpoints.base[exchanges.endpoint[upstream]] + E.H2_STREAMS]--;
    if (exchanges.socket[upstream] !== NONE) this.http2.bridge.drop(upstream);
    this.pool.unwait(upstream);
    exchanges.forget(upstream);
    this.http2.retries.dropTrailers(upstream);
    streams.peer[slot] = NONE;
    streams.peerKind[slot] = PEER.NONE;
    streams.release(upstream);
  }

  /** The client has taken its request back, or broken the rules: the endpoint is told at once, and is not to blame. */
  cancelled(slot: number, upstream: number): void {
    const { streams } = this.core;
    if (upstream >= 0) {
      const connection = streams.connection[upstream];
      const opened = (streams.state[upstream] & STREAM.OPEN) !== 0;
      this.accounts.abandon(upstream);
      this.accounts.inFlight--;
      if (opened) this.machine.sender.reset(upstream, ERROR.CANCEL);
      this.part(slot, upstream);
      if (opened && connection !== null) this.http2.connections.reuse(connection);
    }
    const client = streams.connection[slot];
    this.accounts.ended(slot, true);
    this.machine.sender.close(slot);
    streams.release(slot);
    if (client !== null) this.http2.connections.leaveIfDone(client);
  }

  /** No memory for what waits: both sides are told. */
  shed(slot: number, upstream: number): void {
    this.context.limited(LIMIT_SLAB);
    if (this.exchanges.client[slot] >= 0) {
      this.http2.http1.outOfMemory(this.exchanges.client[slot]);
      return;
    }
    this.machine.sender.reset(slot, ERROR.ENHANCE_YOUR_CALM);
    this.cancelled(slot, upstream);
  }

  /** The endpoint did not bring its response to an end; its stream is off its connection. */
  endpointFailed(slot: number, upstream: number, code: number, why: number): void {
    if (this.core.streams.peerKind[upstream] === PEER.TUNNEL) {
      this.http2.fromHttp1.tunnels.lost(slot, upstream);
      return;
    }
    this.accounts.account(slot, upstream, true);
    this.part(slot, upstream);
    this.fail(slot, code, why, why === WHY.RESPONSE_TIMEOUT || why === WHY.BODY_TIMEOUT ? 504 : 502);
  }

  /** Tells the client of a failure: with an answer where none has begun, else by a reset. */
  fail(slot: number, code: number, why: number, status: number): void {
    const { streams } = this.core;
    if (this.exchanges.client[slot] >= 0) {
      this.http2.fromHttp1.failed(slot, status, why);
      return;
    }
    if (this.exchanges.answered[slot] === 0) {
      this.http2.answers.respond(slot, status, why, code);
      return;
    }
    this.machine.sender.reset(slot, code);
    const client = streams.connection[slot];
    this.accounts.ended(slot, true);
    streams.release(slot);
    if (client !== null) this.http2.connections.leaveIfDone(client);
  }

  /** Answers in the proxy's own name instead of the endpoint, which did nothing wrong. */
  giveUp(slot: number, upstream: number, status: number, why: number): void {
    this.accounts.abandon(upstream);
    this.accounts.inFlight--;
    this.part(slot, upstream);
    this.http2.answers.respond(slot, status, why);
  }
}
