// HTTP/1: what happens on sockets of clients and endpoints, and what becomes of their exchange. How requests and responses are read,
// where a request goes, what is counted, sent again, answered and when it is too late have a file each.
import { FRAMING } from '../http1/head.js';
import { ERRNO } from '../io/abi.js';
import { SOCKET } from '../io/sockets.js';
import { PUMP } from '../io/splice.js';
import type { FromHttp1 } from './bridge-from-http1.js';
import { CLOSE, SOCKET_KIND } from './connect/connections.js';
import type { Upstreams } from './connect/upstreams.js';
import type { Context } from './context.js';
import type { AccessLog } from './exchange/access-log.js';
import { Exchanges, FLOW, REQUEST, RESPONSE } from './exchange.js';
import { BodyRelay } from './http1/bodies.js';
import { Http1Accounts } from './http1-accounts.js';
import { OwnAnswers, WHY } from './http1-answers.js';
import { Dispatcher } from './http1-dispatch.js';
import { RequestReader } from './http1-request.js';
import { ResponseReader } from './http1-response.js';
import { Retries } from './http1-retry.js';
import { Http1Timers } from './http1-timers.js';
import type { OpaqueRelay } from './relay/opaque.js';

const NONE = -1;
const MAX_HEADERS = 1024;

export class Http1 {
  readonly exchanges: Exchanges;
  readonly bodies: BodyRelay;
  readonly accounts: Http1Accounts;
  readonly dispatcher: Dispatcher;
  readonly timers: Http1Timers;
  readonly answers: OwnAnswers;
  readonly retries: Retries;
  /** Exchanges with endpoints that speak HTTP/2; set by whoever composes the two. */
  declare bridge: FromHttp1;
  private readonly requests: RequestReader;
  private readonly responses: ResponseReader;

  constructor(
    readonly context: Context,
    readonly upstreams: Upstreams,
    readonly opaque: OpaqueRelay,
    readonly accessLog: AccessLog,
  ) {
    const { sockets, limits } = context;
    this.exchanges = new Exchanges(sockets.capacity, MAX_HEADERS, limits.http1.maxHeaderBytes);
    this.bodies = new BodyRelay(context, this.exchanges);
    this.accounts = new Http1Accounts(context, this.exchanges);
    this.dispatcher = new Dispatcher(context, this.exchanges, this);
    this.timers = new Http1Timers(context, this.exchanges, this.bodies, this);
    this.answers = new OwnAnswers(context, this.exchanges, this);
    this.retries = new Retries(context, this.exchanges, this.bodies, this);
    this.requests = new RequestReader(context, this.exchanges, this.bodies, this);
    this.responses = new ResponseReader(context, this.exchanges, this.bodies, this);
  }

  /** A client connection that speaks HTTP/1; what it has sent is in its inbox. `service` -1: this listener refuses HTTP. */
  open(client: number, service: number): void {
    const { sockets, inbox } = this.context;
    sockets.kind[client] = SOCKET_KIND.HTTP1_CLIENT;
    this.exchanges.openClient(client, service);
    this.timers.idle(client);
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
      this.timers.exchange(client);
      return;
    }
    exchanges.keep[client] = 0;
    if (exchanges.request[client] === REQUEST.HEAD && inbox.empty(client)) {
      connections.close(client, CLOSE.OK);
      return;
    }
    this.dropUpstream(client);
    if (exchanges.answered[client] === 1) {
      this.accounts.ended(client, true);
      connections.close(client, CLOSE.PROTOCOL);
    } else this.answers.respond(client, 400, WHY.BAD_REQUEST, null, CLOSE.PROTOCOL);
  }

  /** The client is gone, or takes nothing more. */
  clientFailed(client: number, errno: number): void {
    this.dropUpstream(client);
    this.accounts.ended(client, true);
    this.context.connections.close(client, errno === ERRNO.ETIMEDOUT ? CLOSE.TIMEOUT : CLOSE.RESET);
  }

  /** The client has sent more than there is memory for. */
  overrun(client: number): void {
    this.dropUpstream(client);
    this.accounts.ended(client, true);
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
    else if (this.exchanges.stream[client] >= 0) this.bridge.responses.drained(this.exchanges.stream[client]);
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
    this.retries.connectFailed(client, upstream, WHY.CONNECT_FAILED);
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
    if (client >= 0 && this.retries.retry(client, upstream)) return;
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

  /** The response is complete: accounts for it, and readies both connections for what comes next. */
  complete(client: number, upstream: number): void {
    const { sockets, connections, inbox } = this.context;
    const exchanges = this.exchanges;
    this.accounts.account(client, upstream, false);
    const reusable =
      exchanges.reusable[upstream] === 1 &&
      exchanges.request[client] === REQUEST.COMPLETE &&
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
    this.next(client);
  }

  /** The client has its response: on to its next request, or to the end of its connection. */
  next(client: number): void {
    const { sockets, connections, inbox, reactor } = this.context;
    const exchanges = this.exchanges;
    const whole = exchanges.request[client] === REQUEST.COMPLETE;
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
        if (ended && sockets.kind[client] === SOCKET_KIND.HTTP1_CLIENT && !connections.over(client))
          this.clientEof(client);
      } else {
        this.timers.idle(client);
        sockets.resume(client);
      }
    } else if (whole && inbox.empty(client)) connections.closeWhenSent(client, CLOSE.OK);
    else this.answers.linger(client);
  }

  /** The endpoint's response can't be read: 502, or an aborted response. */
  badGateway(client: number, upstream: number, error: number): void {
    this.accounts.account(client, upstream, true);
    this.unlink(client, upstream);
    this.context.connections.close(upstream, CLOSE.PROTOCOL);
    if (this.exchanges.answered[client] === 1) this.truncated(client);
    else this.answers.reject(client, error, CLOSE.PROTOCOL);
  }

  /** The rest of a request can't be read: its endpoint must not take it for whole. */
  badRequestBody(client: number, error: number): void {
    this.dropUpstream(client);
    if (this.exchanges.answered[client] === 1) {
      this.accounts.ended(client, true);
      this.context.connections.close(client, CLOSE.PROTOCOL);
    } else this.answers.reject(client, error, CLOSE.PROTOCOL);
  }

  /** Out of buffers in the middle of an exchange. */
  outOfMemory(client: number): void {
    this.dropUpstream(client);
    this.answers.respond(client, 503, WHY.MEMORY, null, CLOSE.LIMIT);
  }

  /** 101, or 2xx to CONNECT: from here on the two sockets are a tunnel. */
  tunnel(client: number, upstream: number): void {
    this.accounts.account(client, upstream, false);
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

  unlink(client: number, upstream: number): void {
    const { sockets, splicer } = this.context;
    splicer.stop(client);
    splicer.stop(upstream);
    sockets.peer[client] = NONE;
    sockets.peer[upstream] = NONE;
    this.dropRetained(client);
  }

  /** A response that can't be brought to its end: the client must not take it for whole. */
  truncated(client: number): void {
    const { connections } = this.context;
    const exchanges = this.exchanges;
    exchanges.keep[client] = 0;
    this.accounts.ended(client, true);
    // Chunked or with a length the missing end shows; a body that ends with the connection needs a reset.
    if (exchanges.framingOut[client] === FRAMING.CLOSE) connections.abort(client, CLOSE.ERROR);
    else connections.closeWhenSent(client, CLOSE.ERROR);
  }

  /** Ends the exchange from the client's side: the endpoint did nothing wrong. */
  dropUpstream(client: number): void {
    const { sockets, connections, balancer } = this.context;
    this.dropRetained(client);
    const upstream = sockets.peer[client];
    if (upstream < 0) {
      if (this.exchanges.stream[client] >= 0) this.bridge.drop(client);
      return;
    }
    const endpoint = connections.endpoint[upstream];
    this.accounts.abandon(endpoint);
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
      this.accounts.account(client, upstream, true);
      this.unlink(client, upstream);
      connections.close(upstream, reason);
      this.truncated(client);
      return;
    }
    if ((sockets.flags[upstream] & SOCKET.SENDING) !== 0 && this.retries.retriable(client, upstream)) {
      // How much of the request was taken is known when the send under way has ended: then this is called again.
      exchanges.ended[upstream] = reason === CLOSE.OK ? 1 : 2;
      sockets.notifyDrained(upstream);
      return;
    }
    if (this.retries.retry(client, upstream)) return;
    this.accounts.account(client, upstream, true);
    this.unlink(client, upstream);
    connections.close(upstream, reason);
    this.answers.respond(client, 502, WHY.UPSTREAM_RESET, null, CLOSE.ERROR);
  }
}
