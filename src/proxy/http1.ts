// HTTP/1: client connections and upstream connections, joined for one exchange at a time. This file is the life of an
// exchange; reading requests is in http1-request.ts, responses in http1-response.ts, bodies in bodies.ts.
import { ERRORS } from '../http1/errors.js';
import { FRAMING, METHOD } from '../http1/head.js';
import { writeOwnResponse } from '../http1/write.js';
import { ERRNO } from '../io/abi.js';
import { SOCKET } from '../io/sockets.js';
import { PUMP } from '../io/splice.js';
import {
  E,
  ENDPOINT_HISTOGRAMS,
  endpointBase,
  endpointHistogram,
  LIMITS,
  RESPONSE_REASONS,
  S,
  SERVICE_HISTOGRAMS,
  serviceBase,
  serviceHistogram,
  W,
} from '../metrics/layout.js';
import type { AccessLog } from './access-log.js';
import { BodyRelay } from './bodies.js';
import { CLOSE, KIND } from './connections.js';
import type { Context } from './context.js';
import { Exchanges, FLOW, REQUEST, RESPONSE } from './exchange.js';
import { RequestReader } from './http1-request.js';
import { ResponseReader } from './http1-response.js';
import type { OpaqueRelay } from './opaque.js';
import { DIAL, type Upstreams } from './upstreams.js';

const NONE = -1;
/** Endpoints tried for one request, connect failures included. */
const MAX_ATTEMPTS = 3;
/** How long and how much is read from a client that has been answered before it finished its request. */
const LINGER_MS = 2000;
const LINGER_BYTES = 1024 * 1024;
/** While draining, a connection idle for this long is ended: a client that was about to send would have. */
const DRAIN_IDLE_MS = 1000;
const MAX_HEADERS = 1024;
/** Room for a response of the proxy's own. */
const OWN_RESPONSE_BYTES = 256;
const LATENCY_US = SERVICE_HISTOGRAMS.indexOf('response_latency_us');
const ENDPOINT_LATENCY_US = ENDPOINT_HISTOGRAMS.indexOf('response_latency_us');

/** Indices into RESPONSE_REASONS. */
export const WHY = {
  BAD_REQUEST: RESPONSE_REASONS.indexOf('bad-request'),
  HEADER_TIMEOUT: RESPONSE_REASONS.indexOf('header-timeout'),
  BODY_TIMEOUT: RESPONSE_REASONS.indexOf('body-timeout'),
  NO_ENDPOINT: RESPONSE_REASONS.indexOf('no-endpoint'),
  CONNECT_FAILED: RESPONSE_REASONS.indexOf('connect-failed'),
  CONNECT_TIMEOUT: RESPONSE_REASONS.indexOf('connect-timeout'),
  UPSTREAM_RESET: RESPONSE_REASONS.indexOf('upstream-reset'),
  RESPONSE_TIMEOUT: RESPONSE_REASONS.indexOf('response-timeout'),
  POOL_EXHAUSTED: RESPONSE_REASONS.indexOf('pool-exhausted'),
  MEMORY: RESPONSE_REASONS.indexOf('memory'),
  MISDIRECTED: RESPONSE_REASONS.indexOf('misdirected'),
} as const;

const LIMIT = {
  HEADER_TIME: LIMITS.indexOf('header-time'),
  BODY_TIME: LIMITS.indexOf('body-time'),
  IDLE_TIME: LIMITS.indexOf('idle-time'),
  RESPONSE_TIME: LIMITS.indexOf('response-time'),
  RETRY_BUDGET: LIMITS.indexOf('retry-budget'),
} as const;

export class Http1 {
  readonly exchanges: Exchanges;
  readonly bodies: BodyRelay;
  /** Exchanges under way. */
  inFlight = 0;
  private readonly requests: RequestReader;
  private readonly responses: ResponseReader;
  private readonly lingered: Int32Array;
  /** The answer where the slab is out, written beforehand: of all answers this one can't wait for a buffer. */
  private readonly memoryAt: number;
  private readonly memoryHead: number;
  private readonly memoryLength: number;

  constructor(
    readonly context: Context,
    readonly upstreams: Upstreams,
    readonly opaque: OpaqueRelay,
    readonly accessLog: AccessLog,
  ) {
    const { sockets, limits } = context;
    this.exchanges = new Exchanges(sockets.capacity, MAX_HEADERS, limits.http1.maxHeaderBytes);
    this.bodies = new BodyRelay(context, this.exchanges);
    this.requests = new RequestReader(context, this.exchanges, this.bodies, this);
    this.responses = new ResponseReader(context, this.exchanges, this.bodies, this);
    this.lingered = new Int32Array(sockets.capacity);
    this.memoryAt = context.slab.fixed(OWN_RESPONSE_BYTES);
    const limit = this.memoryAt + OWN_RESPONSE_BYTES;
    this.memoryHead =
      writeOwnResponse(context.bytes, this.memoryAt, limit, 503, WHY.MEMORY, null, true, true) - this.memoryAt;
    this.memoryLength =
      writeOwnResponse(context.bytes, this.memoryAt, limit, 503, WHY.MEMORY, null, true, false) - this.memoryAt;
  }

  /** A client connection that speaks HTTP/1; what it has sent is in its inbox. `service` -1: this listener refuses HTTP. */
  open(client: number, service: number): void {
    const { sockets, inbox } = this.context;
    sockets.kind[client] = KIND.HTTP1_CLIENT;
    this.exchanges.openClient(client, service);
    this.scheduleIdle(client);
    if (inbox.empty(client)) sockets.receiveOnce(client);
    else this.requests.advance(client);
  }

  /** A connection to an endpoint that was dialled for something else: serves requests once it stands. */
  adopt(upstream: number): void {
    const { sockets } = this.context;
    this.upstreams.convertToHttp(upstream);
    this.exchanges.openUpstream(upstream);
    // By the time a request comes it has been idle, and may be stale, like one that has served.
    this.exchanges.served[upstream] = 1;
    sockets.peer[upstream] = NONE;
    if ((sockets.flags[upstream] & SOCKET.CONNECTING) === 0) this.upstreams.release(upstream);
  }

  clientData(client: number, bid: number, at: number, length: number): void {
    this.context.connections.active[client] = this.context.reactor.now;
    this.requests.data(client, bid, at, length);
  }

  clientEof(client: number): void {
    const { inbox, connections } = this.context;
    const exchanges = this.exchanges;
    // It still wants its response, and those to the requests that it sent before it ended.
    if (exchanges.request[client] === REQUEST.COMPLETE) {
      this.scheduleExchange(client);
      return;
    }
    exchanges.keep[client] = 0;
    if (exchanges.request[client] === REQUEST.HEAD && inbox.empty(client)) {
      connections.close(client, CLOSE.OK);
      return;
    }
    this.dropUpstream(client);
    if (exchanges.answered[client] === 1) {
      this.ended(client, true);
      connections.close(client, CLOSE.PROTOCOL);
    } else this.respond(client, 400, WHY.BAD_REQUEST, null, CLOSE.PROTOCOL);
  }

  /** The client is gone, or takes nothing more. */
  clientFailed(client: number, errno: number): void {
    this.dropUpstream(client);
    this.ended(client, true);
    this.context.connections.close(client, errno === ERRNO.ETIMEDOUT ? CLOSE.TIMEOUT : CLOSE.RESET);
  }

  /** The client has sent more than there is memory for. */
  overrun(client: number): void {
    this.dropUpstream(client);
    this.ended(client, true);
    this.context.connections.abort(client, CLOSE.LIMIT);
  }

  clientPaused(client: number): void {
    const upstream = this.context.sockets.peer[client];
    if (upstream >= 0) this.bodies.paused(client, upstream);
  }

  /** What was queued for the client is sent. */
  clientDrained(client: number): void {
    const upstream = this.context.sockets.peer[client];
    if (upstream >= 0) this.bodies.drained(upstream, client);
  }

  upstreamConnected(upstream: number, result: number): void {
    const { sockets, connections } = this.context;
    const client = sockets.peer[upstream];
    if (this.upstreams.connected(upstream, result)) {
      sockets.resume(upstream);
      this.context.wheel.cancel(upstream);
      if (client < 0) this.upstreams.release(upstream);
      return;
    }
    this.connectFailed(client, upstream, WHY.CONNECT_FAILED);
    connections.close(upstream, result === -ERRNO.ETIMEDOUT ? CLOSE.TIMEOUT : CLOSE.REFUSED);
  }

  upstreamData(upstream: number, bid: number, at: number, length: number): void {
    const { connections, reactor, sockets, slab } = this.context;
    connections.active[upstream] = reactor.now;
    if (sockets.peer[upstream] < 0) {
      // Nobody asked: this connection can't be trusted with a request.
      slab.release(bid);
      this.upstreams.remove(upstream);
      connections.close(upstream, CLOSE.PROTOCOL);
      return;
    }
    this.responses.data(upstream, bid, at, length);
  }

  upstreamEof(upstream: number): void {
    this.upstreamEnded(upstream, CLOSE.OK);
  }

  upstreamFailed(upstream: number, errno: number): void {
    this.upstreamEnded(upstream, errno === ERRNO.ETIMEDOUT ? CLOSE.TIMEOUT : CLOSE.RESET);
  }

  /** The endpoint takes no more of the request; a response may still come. */
  upstreamSendFailed(upstream: number): void {
    const { sockets } = this.context;
    const client = sockets.peer[upstream];
    if (client >= 0 && this.retry(client, upstream)) return;
    sockets.dropQueue(upstream);
    this.exchanges.reusable[upstream] = 0;
    if ((sockets.flags[upstream] & SOCKET.EOF) !== 0 || this.exchanges.ended[upstream] !== 0) {
      this.upstreamEnded(upstream, CLOSE.RESET);
    } else if (this.exchanges.flow[upstream] === FLOW.COPY) sockets.resume(upstream);
  }

  upstreamPaused(upstream: number): void {
    const client = this.context.sockets.peer[upstream];
    if (client >= 0) this.bodies.paused(upstream, client);
  }

  upstreamDrained(upstream: number): void {
    const client = this.context.sockets.peer[upstream];
    if (client < 0) return;
    const { ended } = this.exchanges;
    if (ended[upstream] !== 0) this.upstreamEnded(upstream, ended[upstream] === 1 ? CLOSE.OK : CLOSE.RESET);
    else this.bodies.drained(client, upstream);
  }

  pump(source: number): void {
    const { sockets, connections } = this.context;
    const destination = sockets.peer[source];
    if (destination < 0) return;
    const result = this.bodies.pump(source, destination);
    if (result === PUMP.WAIT || result === PUMP.SLOW) return;
    const fromClient = connections.listener[source] >= 0;
    const client = fromClient ? source : destination;
    const upstream = fromClient ? destination : source;
    if (result === PUMP.DONE) {
      if (fromClient) this.requests.complete(client);
      else this.complete(client, upstream);
    } else if (result === PUMP.EOF) {
      sockets.flags[source] |= SOCKET.EOF;
      if (fromClient) this.clientEof(client);
      else this.upstreamEnded(upstream, CLOSE.OK);
    } else if ((result === PUMP.SOURCE_FAILED) === fromClient) this.clientFailed(client, this.context.splicer.errno);
    else if (fromClient) this.upstreamSendFailed(upstream);
    else this.upstreamEnded(upstream, CLOSE.RESET);
  }

  /** Sends the request in `buffer` (at, length) to an endpoint. False if it was answered instead. */
  dispatch(client: number, exclude: number, fresh: boolean): number {
    const { balancer, reactor, values } = this.context;
    const exchanges = this.exchanges;
    const service = exchanges.service[client];
    let why: number = WHY.NO_ENDPOINT;
    let avoid = exclude;
    while (exchanges.attempts[client] < MAX_ATTEMPTS) {
      exchanges.attempts[client]++;
      let endpoint = balancer.pickRequest(service, reactor.now, avoid);
      // Rather the same endpoint again than none: it may have only restarted.
      if (endpoint < 0 && avoid === exclude && avoid >= 0) endpoint = balancer.pickRequest(service, reactor.now, NONE);
      if (endpoint < 0) break;
      balancer.begin(endpoint);
      let upstream = fresh ? NONE : this.upstreams.takeIdle(endpoint);
      if (upstream < 0) {
        upstream = this.upstreams.dial(endpoint, KIND.HTTP1_UPSTREAM);
        if (upstream < 0) {
          balancer.abandon(endpoint);
          why = upstream === DIAL.LIMIT ? WHY.POOL_EXHAUSTED : WHY.CONNECT_FAILED;
          avoid = endpoint;
          continue;
        }
        exchanges.openUpstream(upstream);
      }
      values[endpointBase(endpoint) + E.REQUESTS]++;
      values[endpointBase(endpoint) + E.IN_FLIGHT]++;
      this.inFlight++;
      exchanges.link(upstream);
      this.context.connections.active[upstream] = reactor.now;
      this.context.sockets.peer[client] = upstream;
      this.context.sockets.peer[upstream] = client;
      return upstream;
    }
    if (why === WHY.NO_ENDPOINT) values[serviceBase(service) + S.NO_ENDPOINT]++;
    this.respond(client, 503, why, null, CLOSE.OK);
    return NONE;
  }

  /** The response is complete: accounts for it, and readies both connections for what comes next. */
  complete(client: number, upstream: number): void {
    const { sockets, connections, inbox, reactor } = this.context;
    const exchanges = this.exchanges;
    this.account(client, upstream, false);
    const whole = exchanges.request[client] === REQUEST.COMPLETE;
    const reusable =
      exchanges.reusable[upstream] === 1 &&
      whole &&
      inbox.empty(upstream) &&
      sockets.queued[upstream] === 0 &&
      (sockets.flags[upstream] & (SOCKET.EOF | SOCKET.CLOSED)) === 0;
    this.unlink(client, upstream);
    if (reusable) {
      exchanges.served[upstream]++;
      this.bodies.reset(upstream);
      sockets.resume(upstream);
      this.upstreams.release(upstream);
    } else connections.close(upstream, CLOSE.OK);
    const ended = (sockets.flags[client] & SOCKET.EOF) !== 0;
    if (exchanges.keep[client] === 1 && whole && !(ended && inbox.empty(client))) {
      exchanges.request[client] = REQUEST.HEAD;
      exchanges.answered[client] = 0;
      exchanges.headSince[client] = 0;
      exchanges.scanned[client] = 0;
      connections.active[client] = reactor.now;
      this.bodies.reset(client);
      if (!inbox.empty(client)) {
        this.requests.advance(client);
        // What is left is the beginning of a request that will never be whole.
        if (ended && sockets.kind[client] === KIND.HTTP1_CLIENT && !connections.over(client)) this.clientEof(client);
      } else {
        this.scheduleIdle(client);
        sockets.resume(client);
      }
    } else if (whole && inbox.empty(client)) connections.closeWhenSent(client, CLOSE.OK);
    else this.linger(client);
  }

  /** Accounts for the end of an exchange. `failed`: the endpoint did not bring it to its end. */
  account(client: number, upstream: number, failed: boolean): void {
    const { balancer, reactor, values, connections, metrics } = this.context;
    const exchanges = this.exchanges;
    const endpoint = connections.endpoint[upstream];
    const base = endpointBase(endpoint);
    const status = exchanges.status[upstream];
    values[base + E.IN_FLIGHT]--;
    this.inFlight--;
    if (failed) {
      values[base + E.FAILURES]++;
      balancer.finish(endpoint, reactor.now, reactor.now - exchanges.started[client], true);
      return;
    }
    const latency = exchanges.latency[upstream];
    values[base + E.STATUS + status - 100]++;
    balancer.finish(endpoint, reactor.now, latency, status >= 500);
    metrics.record(serviceHistogram(exchanges.service[client], LATENCY_US), latency * 1000);
    metrics.record(endpointHistogram(endpoint, ENDPOINT_LATENCY_US), latency * 1000);
    if (this.context.access) this.accessLog.request(client, endpoint, status, exchanges);
    this.ended(client, false);
  }

  /** Answers the client in the proxy's own name, and ends its connection. Closes without a word if an answer has begun. */
  respond(client: number, status: number, why: number, detail: Uint8Array | null, reason: number): void {
    const { slab, sockets, values, connections } = this.context;
    const exchanges = this.exchanges;
    const service = exchanges.service[client];
    this.dropRetained(client);
    exchanges.keep[client] = 0;
    if (exchanges.answered[client] === 1) {
      this.ended(client, true);
      connections.abort(client, reason);
      return;
    }
    exchanges.answered[client] = 1;
    const headOnly = exchanges.method[client] === METHOD.HEAD && exchanges.request[client] !== REQUEST.HEAD;
    const buffer = slab.take();
    const own = buffer < 0 ? WHY.MEMORY : why;
    if (buffer < 0) sockets.queue(client, this.memoryAt, headOnly ? this.memoryHead : this.memoryLength, NONE);
    else {
      const at = slab.dataStart(buffer);
      const end = writeOwnResponse(this.context.bytes, at, slab.dataEnd(buffer), status, why, detail, true, headOnly);
      sockets.queue(client, at, end - at, buffer);
    }
    values[W.RESPONSE + own]++;
    if (service >= 0) values[serviceBase(service) + S.RESPONSE + own]++;
    if (this.context.access) this.accessLog.request(client, NONE, buffer < 0 ? 503 : status, exchanges);
    this.ended(client, false);
    this.linger(client, reason);
  }

  /** The request of `client`, if one is under way, is over. `unanswered`: the client has not got a whole response. */
  private ended(client: number, unanswered: boolean): void {
    const { values } = this.context;
    const exchanges = this.exchanges;
    if (exchanges.pending[client] === 0) return;
    exchanges.pending[client] = 0;
    const base = serviceBase(exchanges.service[client]);
    values[base + S.IN_FLIGHT]--;
    if (!unanswered) return;
    values[base + S.UNANSWERED]++;
    if (this.context.access) this.accessLog.unanswered(client, exchanges);
  }

  /** Answers with what an ERROR of the codec says. `upstream`: the endpoint's fault. */
  reject(client: number, error: number, reason: number): void {
    const info = ERRORS[error];
    this.respond(client, info.status, info.reasonIndex, info.detailBytes, reason);
  }

  /** The endpoint's response can't be read: 502, or an aborted response. */
  badGateway(client: number, upstream: number, error: number): void {
    this.account(client, upstream, true);
    this.unlink(client, upstream);
    this.context.connections.close(upstream, CLOSE.PROTOCOL);
    if (this.exchanges.answered[client] === 1) this.truncated(client);
    else this.reject(client, error, CLOSE.PROTOCOL);
  }

  /** The rest of a request can't be read: its endpoint must not take it for whole. */
  badRequestBody(client: number, error: number): void {
    this.dropUpstream(client);
    if (this.exchanges.answered[client] === 1) {
      this.ended(client, true);
      this.context.connections.close(client, CLOSE.PROTOCOL);
    } else this.reject(client, error, CLOSE.PROTOCOL);
  }

  /** Out of buffers in the middle of an exchange. */
  outOfMemory(client: number): void {
    this.dropUpstream(client);
    this.respond(client, 503, WHY.MEMORY, null, CLOSE.LIMIT);
  }

  /** 101, or 2xx to CONNECT: from here on the two sockets are a tunnel. */
  tunnel(client: number, upstream: number): void {
    this.account(client, upstream, false);
    this.unlink(client, upstream);
    this.opaque.tunnel(client, upstream);
  }

  /** Forgets the copy of the request that a retry would have sent. */
  dropRetained(client: number): void {
    const buffer = this.exchanges.retained[client];
    if (buffer >= 0) {
      this.exchanges.retained[client] = NONE;
      this.context.slab.release(buffer);
    }
  }

  clientTimer(client: number): void {
    const { reactor, connections, inbox, limits, sockets, wheel } = this.context;
    const exchanges = this.exchanges;
    const { http1 } = limits;
    const now = reactor.now;
    let deadline: number;
    if (exchanges.request[client] === REQUEST.HEAD) {
      if (inbox.empty(client)) {
        const idle = this.context.draining
          ? Math.min(DRAIN_IDLE_MS, http1.idleTimeoutMs || DRAIN_IDLE_MS)
          : http1.idleTimeoutMs;
        if (idle === 0) return;
        deadline = connections.active[client] + idle;
        if (now >= deadline) {
          if (!this.context.draining) this.context.limited(LIMIT.IDLE_TIME);
          connections.close(client, this.context.draining ? CLOSE.DRAIN : CLOSE.TIMEOUT);
          return;
        }
      } else {
        if (http1.headerTimeoutMs === 0) return;
        deadline = exchanges.headSince[client] + http1.headerTimeoutMs;
        if (now >= deadline) {
          this.context.limited(LIMIT.HEADER_TIME);
          this.respond(client, 408, WHY.HEADER_TIMEOUT, null, CLOSE.TIMEOUT);
          return;
        }
      }
    } else {
      const upstream = sockets.peer[client];
      if (upstream < 0) return;
      const waiting = exchanges.request[client] === REQUEST.COMPLETE && exchanges.answered[client] === 0;
      if (waiting) {
        const timeout = this.responseTimeout(client);
        const connecting = (sockets.flags[upstream] & SOCKET.CONNECTING) !== 0;
        // Not the client's last activity: pipelining must not put the timeout off.
        const since = connecting ? now : connections.active[upstream];
        deadline = timeout > 0 ? since + timeout : now + 60_000;
        if (timeout > 0 && now >= deadline) {
          this.context.limited(LIMIT.RESPONSE_TIME);
          this.account(client, upstream, true);
          this.unlink(client, upstream);
          connections.close(upstream, CLOSE.TIMEOUT);
          this.respond(client, 504, WHY.RESPONSE_TIMEOUT, null, CLOSE.TIMEOUT);
          return;
        }
      } else {
        if (http1.bodyTimeoutMs === 0) return;
        deadline = Math.max(connections.active[client], connections.active[upstream]) + http1.bodyTimeoutMs;
        if (now >= deadline) {
          this.bodyTimedOut(client, upstream);
          return;
        }
      }
    }
    wheel.schedule(client, Math.max(deadline, now + 1));
  }

  /** Neither side has moved a byte of a body for too long: the blame is with the one that was to send or to take some. */
  private bodyTimedOut(client: number, upstream: number): void {
    const { connections } = this.context;
    const answered = this.exchanges.answered[client] === 1;
    this.context.limited(LIMIT.BODY_TIME);
    const endpointStalls = answered ? !this.bodies.waitsFor(upstream, client) : this.bodies.waitsFor(client, upstream);
    if (endpointStalls) {
      this.account(client, upstream, true);
      this.unlink(client, upstream);
      connections.close(upstream, CLOSE.TIMEOUT);
    } else this.dropUpstream(client);
    if (answered) {
      this.ended(client, true);
      connections.abort(client, CLOSE.TIMEOUT);
    } else this.respond(client, endpointStalls ? 504 : 408, WHY.BODY_TIMEOUT, null, CLOSE.TIMEOUT);
  }

  upstreamTimer(upstream: number): void {
    const { sockets, reactor, wheel, connections } = this.context;
    if (this.upstreams.idle(upstream)) {
      this.upstreams.idleTimer(upstream);
      return;
    }
    if ((sockets.flags[upstream] & SOCKET.CONNECTING) === 0) return;
    const deadline = this.upstreams.connectDeadline(upstream);
    if (reactor.now < deadline) {
      if (deadline !== Number.POSITIVE_INFINITY) wheel.schedule(upstream, deadline);
      return;
    }
    this.upstreams.connectTimedOut(upstream);
    this.connectFailed(sockets.peer[upstream], upstream, WHY.CONNECT_TIMEOUT);
    connections.close(upstream, CLOSE.TIMEOUT);
  }

  /** Reads on from a client that was answered early, so that a reset does not take the answer away (RFC 9112 section 9.6). */
  linger(client: number, reason: number = CLOSE.OK): void {
    const { sockets, inbox, wheel, reactor, connections } = this.context;
    inbox.clear(client);
    if ((sockets.flags[client] & SOCKET.EOF) !== 0) {
      connections.closeWhenSent(client, reason);
      return;
    }
    sockets.kind[client] = KIND.LINGER;
    this.lingered[client] = 0;
    sockets.shutdown(client);
    sockets.resume(client);
    wheel.schedule(client, reactor.now + LINGER_MS);
  }

  lingerData(client: number, bid: number, length: number): void {
    const { slab, connections } = this.context;
    slab.release(bid);
    this.lingered[client] += length;
    if (this.lingered[client] > LINGER_BYTES) connections.close(client, CLOSE.OK);
  }

  /** After the configuration changed or a drain began: looks at the deadline of an idle client anew. */
  reconsider(client: number): void {
    const { wheel, reactor, inbox } = this.context;
    if (this.exchanges.request[client] === REQUEST.HEAD && inbox.empty(client)) wheel.pull(client, reactor.clock() + 1);
  }

  /** Arms the idle or header deadline; a later one is found when the timer fires. */
  scheduleIdle(client: number): void {
    const { wheel, reactor, limits } = this.context;
    const idle = this.context.draining ? DRAIN_IDLE_MS : limits.http1.idleTimeoutMs;
    if (idle > 0) wheel.pull(client, reactor.now + idle);
  }

  /** Arms a deadline for the exchange as it is now. */
  scheduleExchange(client: number): void {
    const { wheel, reactor, limits } = this.context;
    const exchanges = this.exchanges;
    let timeout = limits.http1.bodyTimeoutMs;
    if (exchanges.request[client] === REQUEST.COMPLETE && exchanges.answered[client] === 0) {
      timeout = this.responseTimeout(client);
    }
    if (timeout > 0) wheel.pull(client, reactor.now + timeout);
  }

  /**
   * How long the endpoint may take to answer, ms; 0: as long as it likes. A client that has ended its direction may have
   * left altogether (a FIN does not tell), so its response is not waited for without bound.
   */
  private responseTimeout(client: number): number {
    const { services, sockets, limits } = this.context;
    const timeout = services.responseTimeoutMs[this.exchanges.service[client]];
    return timeout > 0 || (sockets.flags[client] & SOCKET.EOF) === 0 ? timeout : limits.http1.bodyTimeoutMs;
  }

  unlink(client: number, upstream: number): void {
    const { sockets, splicer } = this.context;
    splicer.stop(client);
    splicer.stop(upstream);
    sockets.peer[client] = NONE;
    sockets.peer[upstream] = NONE;
    this.dropRetained(client);
  }

  /** A response that can't be brought to its end: the client must not take it for whole. */
  private truncated(client: number): void {
    const { connections } = this.context;
    const exchanges = this.exchanges;
    exchanges.keep[client] = 0;
    this.ended(client, true);
    // Chunked or with a length the missing end shows; a body that ends with the connection needs a reset.
    if (exchanges.framingOut[client] === FRAMING.CLOSE) connections.abort(client, CLOSE.ERROR);
    else connections.closeWhenSent(client, CLOSE.ERROR);
  }

  /** Ends the exchange from the client's side: the endpoint did nothing wrong. */
  private dropUpstream(client: number): void {
    const { sockets, connections, balancer, values } = this.context;
    this.dropRetained(client);
    const upstream = sockets.peer[client];
    if (upstream < 0) return;
    const endpoint = connections.endpoint[upstream];
    values[endpointBase(endpoint) + E.IN_FLIGHT]--;
    this.inFlight--;
    values[endpointBase(endpoint) + E.ABANDONED]++;
    balancer.abandon(endpoint);
    if ((sockets.flags[upstream] & SOCKET.CONNECTING) !== 0) balancer.connectAbandoned(endpoint);
    this.unlink(client, upstream);
    connections.close(upstream, CLOSE.OK);
  }

  private upstreamEnded(upstream: number, reason: number): void {
    const { sockets, connections } = this.context;
    const exchanges = this.exchanges;
    const client = sockets.peer[upstream];
    if (client < 0) {
      this.upstreams.remove(upstream);
      connections.close(upstream, reason);
      return;
    }
    if (exchanges.response[upstream] === RESPONSE.BODY) {
      if (reason === CLOSE.OK && exchanges.bodies.eof(upstream)) {
        exchanges.reusable[upstream] = 0;
        this.responses.ended(client, upstream);
        return;
      }
      this.account(client, upstream, true);
      this.unlink(client, upstream);
      connections.close(upstream, reason);
      this.truncated(client);
      return;
    }
    if ((sockets.flags[upstream] & SOCKET.SENDING) !== 0 && this.retriable(client, upstream)) {
      // How much of the request was taken is known when the send under way has ended: then this is called again.
      exchanges.ended[upstream] = reason === CLOSE.OK ? 1 : 2;
      sockets.notifyDrained(upstream);
      return;
    }
    if (this.retry(client, upstream)) return;
    this.account(client, upstream, true);
    this.unlink(client, upstream);
    connections.close(upstream, reason);
    this.respond(client, 502, WHY.UPSTREAM_RESET, null, CLOSE.ERROR);
  }

  /**
   * A pooled connection was lost before any byte of the response: sends the request again on a new one, if nothing of it
   * was processed (no byte was taken) or processing it twice does no harm. Once, and within the budget.
   */
  private retry(client: number, upstream: number): boolean {
    const { sockets, budget, reactor, values, balancer, connections, slab } = this.context;
    const exchanges = this.exchanges;
    if (!this.retriable(client, upstream) || (sockets.flags[upstream] & SOCKET.SENDING) !== 0) return false;
    const untouched = exchanges.sent[upstream] === 0;
    const retained = exchanges.retained[client];
    if (!untouched && (retained < 0 || !exchanges.idempotent(client))) return false;
    const service = exchanges.service[client];
    if (!budget.tryWithdraw(service, reactor.now)) {
      this.context.limited(LIMIT.RETRY_BUDGET);
      values[W.RETRIES_BUDGET]++;
      values[serviceBase(service) + S.RETRIES_DENIED]++;
      return false;
    }
    values[W.RETRIES]++;
    values[serviceBase(service) + S.RETRIES]++;
    const endpoint = connections.endpoint[upstream];
    values[endpointBase(endpoint) + E.IN_FLIGHT]--;
    this.inFlight--;
    values[endpointBase(endpoint) + E.ABANDONED]++;
    balancer.abandon(endpoint);
    this.splitOff(client, upstream);
    const next = this.dispatch(client, NONE, true);
    if (next >= 0) {
      if (untouched) sockets.moveQueue(upstream, next);
      else {
        sockets.dropQueue(upstream);
        slab.retain(retained);
        sockets.queue(next, exchanges.retainedAt[client], exchanges.retainedLength[client], retained);
      }
    }
    connections.close(upstream, CLOSE.RESET);
    return true;
  }

  private retriable(client: number, upstream: number): boolean {
    const exchanges = this.exchanges;
    return (
      exchanges.served[upstream] > 0 && exchanges.heard[upstream] === 0 && exchanges.attempts[client] < MAX_ATTEMPTS
    );
  }

  /** Dialling failed, so nothing was processed: the request goes to another endpoint, whatever its method. */
  private connectFailed(client: number, upstream: number, why: number): void {
    const { sockets, connections, balancer, values } = this.context;
    if (client < 0) return;
    const exchanges = this.exchanges;
    const endpoint = connections.endpoint[upstream];
    values[endpointBase(endpoint) + E.IN_FLIGHT]--;
    this.inFlight--;
    values[endpointBase(endpoint) + E.ABANDONED]++;
    balancer.abandon(endpoint);
    this.splitOff(client, upstream);
    if (exchanges.attempts[client] >= MAX_ATTEMPTS) {
      this.respond(client, why === WHY.CONNECT_TIMEOUT ? 504 : 502, why, null, CLOSE.OK);
      return;
    }
    const next = this.dispatch(client, endpoint, false);
    if (next >= 0) sockets.moveQueue(upstream, next);
  }

  /** Parts the two without touching the copy of the request. */
  private splitOff(client: number, upstream: number): void {
    const { sockets } = this.context;
    sockets.peer[client] = NONE;
    sockets.peer[upstream] = NONE;
    const { flow, throttled } = this.exchanges;
    // Whoever it waited for will not report to it any more; if the next is as slow, it is held back anew.
    if (flow[client] !== FLOW.COPY || throttled[client] === 1) {
      this.bodies.reset(client);
      sockets.resume(client);
    }
  }
}
