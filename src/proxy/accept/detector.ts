// Detection: handles a client connection until its protocol is known. Bytes go through the matcher as they arrive. If none arrive, or those
// that did can hardly become HTTP, an endpoint is dialled and may speak first (the race). A destination whose server spoke first before is
// dialled at once. At the final timeout the connection is relayed unread: detection never closes a connection that might have worked.
import { match, START, VERDICT, verdictOf } from '../../detect/matcher.js';
import { column } from '../../http/columns.js';
import { BUFFER_CAPACITY } from '../../io/slab.js';
import { SOCKET } from '../../io/sockets.js';
import { LIMITS, REASONS, W } from '../../metrics/layout.js';
import { ALPN } from '../../tls/alpn.js';
import { CLOSE, SOCKET_KIND } from '../connect/connections.js';
import type { Context } from '../context.js';
import { REFUSED } from '../refusals.js';
import type { OpaqueRelay } from '../relay/opaque.js';
import type { SocketSlot } from '../slots.js';
import { MODE } from '../snapshot.js';
import { DetectionTimeouts, DRAIN_SILENT_MS, NEVER, NO_CLOSE } from './detection-timeouts.js';
import type { Racer, Races } from './races.js';
import { PEEK, type TlsPeek } from './tls-peek.js';
import { Verdicts } from './verdicts.js';

const NONE = -1;
const REASON = {
  MATCHED: REASONS.indexOf('matched'),
  SERVER_FIRST: REASONS.indexOf('server-first'),
  LEARNED: REASONS.indexOf('learned'),
  TIMEOUT: REASONS.indexOf('timeout'),
  EOF: REASONS.indexOf('eof'),
  HINT: REASONS.indexOf('hint'),
  UNLIKELY: REASONS.indexOf('unlikely'),
  ALPN: REASONS.indexOf('alpn'),
} as const;
const LIMIT_DETECT = LIMITS.indexOf('detect-time');

const isHttp = (mode: number): boolean => mode === MODE.HTTP1 || mode === MODE.HTTP2;

/** Takes over a client once its protocol is known. */
interface Protocols {
  /** Clients that speak HTTP/1. */
  readonly http1: { open(client: SocketSlot): void };
  /** Clients that speak HTTP/2. */
  readonly http2: { open(client: SocketSlot): void };
  /** Connections that were opened for a silent client and may serve requests. */
  readonly pool: { adopt(socket: SocketSlot): void };
  /** Clients whose TLS ends here; what they say next is inside TLS. */
  readonly secured: { open(client: SocketSlot): boolean; transports(client: SocketSlot): boolean };
  /** Clients of the opaque transport; and the MODE of what follows their headers, plus 1. */
  readonly transport: { open(client: SocketSlot): void; readonly mode: Uint8Array };
}

export class Detector implements Racer {
  private readonly state: Int32Array;
  private readonly learned: Uint8Array;
  private readonly began: Float64Array;
  private readonly since: Float64Array;
  private readonly ending: Int8Array;
  private readonly timeouts: DetectionTimeouts;
  private readonly verdicts: Verdicts;

  constructor(
    private readonly context: Context,
    private readonly races: Races,
    private readonly opaque: OpaqueRelay,
    private readonly peek: TlsPeek,
    private readonly protocols: Protocols,
  ) {
    const n = context.sockets.capacity;
    this.timeouts = new DetectionTimeouts(context, races, peek);
    this.state = this.timeouts.state;
    this.began = this.timeouts.began;
    this.since = this.timeouts.since;
    this.ending = this.timeouts.closeReason;
    this.learned = column(Uint8Array, n);
    this.verdicts = new Verdicts(context);
    races.racer = this;
  }

  /** A new client connection: policy first, then its bytes. */
  open(client: SocketSlot): void {
    const { connections, destinations, authorization } = this.context;
    if (authorization.active && !authorization.admits(client)) {
      connections.abort(client, CLOSE.UNAUTHORIZED);
      return;
    }
    const mode = destinations.mode[connections.destination[client]];
    const { transport } = this.protocols;
    if (transport.mode[client] > 0) {
      const session = transport.mode[client] - 1;
      transport.mode[client] = 0;
      this.byMode(client, session, REASON.HINT);
    } else if (mode === MODE.DETECT || (isHttp(mode) && this.peek.applies(client))) {
      // HTTP clients speak first, possibly inside TLS that ends here.
      this.listen(client);
    } else this.byMode(client, mode, destinations.reason[connections.destination[client]]);
  }

  data(client: SocketSlot, bid: number, at: number, length: number): void {
    const { inbox, bytes, connections, reactor, wheel, sockets } = this.context;
    if (this.peek.isReading(client)) this.peek.read(client, at, at + length);
    this.state[client] = match(this.state[client], bytes, at, at + length);
    inbox.push(client, bid, at, at + length);
    const verdict = this.peeked(client, this.verdict(client));
    if (verdict !== VERDICT.MORE) {
      this.decide(client, connections.listener[client], verdict, REASON.MATCHED);
      return;
    }
    if (connections.closed(client)) return;
    this.since[client] = sockets.ready(client) ? reactor.now : NEVER;
    const deadline = this.timeouts.deadline(client);
    if (deadline !== NEVER) wheel.pull(client, deadline);
    inbox.rest(client);
  }

  eof(client: SocketSlot): void {
    // Even without any bytes: the server may greet a client that only listens.
    this.decide(client, this.context.connections.listener[client], this.unfinished(client), REASON.EOF);
  }

  /** The transport below the client's bytes is ready: silence counts from now on. */
  couldSpeak(client: SocketSlot): void {
    if (this.protocols.secured.transports(client)) {
      this.races.drop(client, CLOSE.OK);
      this.protocols.transport.open(client);
      return;
    }
    if (this.agreed(client)) return;
    this.began[client] = this.context.reactor.now - this.context.connections.opened[client];
    this.since[client] = this.context.reactor.now;
    const deadline = this.timeouts.deadline(client);
    if (deadline !== NEVER) this.context.wheel.pull(client, deadline);
  }

  /** Columns by socket of which the cells of free slots may become 0. */
  columns(): readonly ArrayBufferView[] {
    return [this.learned, ...this.timeouts.columns()];
  }

  /** A drain has begun: do not wait for a silent client. */
  reconsider(client: SocketSlot): void {
    this.context.wheel.pull(client, this.context.reactor.clock() + 1);
  }

  /** The client is gone. */
  left(client: SocketSlot, reason: number): void {
    this.races.drop(client, reason);
    this.context.connections.close(client, reason);
  }

  timer(client: SocketSlot): void {
    const { reactor, connections, wheel, inbox } = this.context;
    const listener = connections.listener[client];
    const { now } = reactor;
    if (now >= this.timeouts.detectDeadline(client)) {
      this.context.limited(LIMIT_DETECT);
      this.decide(client, listener, this.unfinished(client), REASON.TIMEOUT);
      return;
    }
    const silent = inbox.empty(client);
    if (silent && this.context.isDraining(client) && now >= connections.opened[client] + DRAIN_SILENT_MS) {
      this.left(client, CLOSE.DRAIN);
      return;
    }
    if (silent && this.ending[client] !== NO_CLOSE && this.timeouts.raceDue(client)) {
      this.end(client, this.ending[client]);
      return;
    }
    // A client whose bytes may still become HTTP continues.
    if (!this.races.begun(client) && this.timeouts.raceDue(client) && this.waits(client)) this.race(client);
    if (now >= this.timeouts.opaqueDeadline(client)) {
      this.decide(client, listener, VERDICT.OPAQUE, REASON.UNLIKELY);
      return;
    }
    const deadline = this.timeouts.deadline(client);
    if (deadline !== NEVER) wheel.schedule(client, deadline);
  }

  waits(client: SocketSlot): boolean {
    return this.timeouts.waits(client);
  }

  connected(client: SocketSlot): void {
    this.reconsiderRace(client);
  }

  serverSpoke(client: SocketSlot): void {
    const { connections, destinations, values } = this.context;
    const listener = connections.listener[client];
    const destination = connections.destination[client];
    const ttl = destinations.learnTtlMs[destination];
    if (ttl > 0) {
      this.context.learned.remember(destinations.learnKey[destination], Date.now() / 1000, ttl / 1000);
      values[W.LEARNED]++;
    }
    this.decide(client, listener, VERDICT.OPAQUE, this.learned[client] === 1 ? REASON.LEARNED : REASON.SERVER_FIRST);
  }

  /**
   * The client waits in vain for its server to speak first. It is closed after the short silence that any race allows; until then it may
   * speak, possibly HTTP.
   */
  failed(client: SocketSlot, endpoint: number, reason: number): void {
    if (this.learned[client] === 1) {
      this.ending[client] = reason === CLOSE.OK || reason === CLOSE.RESET ? reason : CLOSE.NO_ENDPOINT;
      this.context.connections.relayedTo[client] = endpoint;
    }
    this.reconsiderRace(client);
  }

  /** Waits for the first bytes of a client. */
  private listen(client: SocketSlot): void {
    const { connections, destinations, sockets, wheel, reactor, learned } = this.context;
    this.state[client] = START;
    this.peek.begin(client);
    this.races.reset(client);
    this.learned[client] = 0;
    this.ending[client] = NO_CLOSE;
    const began = sockets.layer[client] === 0 ? 0 : reactor.now - connections.opened[client];
    if (this.began[client] !== began) this.began[client] = began;
    this.since[client] = sockets.ready(client) ? reactor.now : NEVER;
    if ((sockets.ready(client) && this.agreed(client)) || this.heard(client)) return;
    // A single receive first: for a client that makes one request and leaves, a multishot receive is never armed or cancelled.
    sockets.receiveOnce(client);
    const destination = connections.destination[client];
    const opaque = this.context.serviceFor(client, VERDICT.OPAQUE);
    const key = destinations.learnKey[destination];
    // A mesh client speaks before the server, whoever speaks first inside its TLS.
    const may = opaque >= 0 && this.timeouts.raceMs(client) >= 0 && !this.peek.applies(client);
    if (may && learned.knows(key) && learned.has(key, Date.now() / 1000)) {
      this.learned[client] = 1;
      this.race(client);
    }
    const deadline = this.timeouts.deadline(client);
    if (deadline !== NEVER) wheel.schedule(client, Math.max(deadline, Math.ceil(reactor.now)));
  }

  /** True if the client's TLS handshake has negotiated the protocol. */
  private agreed(client: SocketSlot): boolean {
    const { tls, sockets, connections } = this.context;
    if (tls === undefined || sockets.layer[client] === 0) return false;
    const alpn = tls.alpn[client];
    if (alpn !== ALPN.HTTP1 && alpn !== ALPN.HTTP2) return false;
    const verdict = alpn === ALPN.HTTP2 ? VERDICT.HTTP2 : VERDICT.HTTP1;
    this.decide(client, connections.listener[client], verdict, REASON.ALPN);
    return true;
  }

  /** Matches bytes that arrived after a PROXY header. True if that decided. */
  private heard(client: SocketSlot): boolean {
    const { inbox, bytes, connections } = this.context;
    let state = this.state[client];
    for (let bid = inbox.first(client); bid >= 0; bid = inbox.following(bid))
      state = match(state, bytes, inbox.startOf(bid), inbox.endOf(bid));
    this.state[client] = state;
    const verdict = this.peeked(client, this.verdict(client));
    if (verdict === VERDICT.MORE) return connections.closed(client);
    this.decide(client, connections.listener[client], verdict, REASON.MATCHED);
    return true;
  }

  /** The verdict after looking at TLS, if required. MORE also if TLS ends here, because then the verdict is about its content. */
  private peeked(client: SocketSlot, verdict: number): number {
    if (verdict !== VERDICT.TLS || !this.peek.applies(client)) return verdict;
    switch (this.peek.verdict(client)) {
      case PEEK.MORE:
        return VERDICT.MORE;
      case PEEK.TERMINATE:
        this.secure(client);
        return VERDICT.MORE;
      default:
        return verdict;
    }
  }

  /** The verdict on a client that sends nothing more: TLS if its hello has begun. */
  private unfinished(client: SocketSlot): number {
    return this.peek.isReading(client) ? VERDICT.TLS : VERDICT.OPAQUE;
  }

  /** The client's TLS ends here: detection starts again inside it. */
  private secure(client: SocketSlot): void {
    this.races.drop(client, CLOSE.OK);
    this.races.reset(client);
    this.state[client] = START;
    this.learned[client] = 0;
    this.ending[client] = NO_CLOSE;
    this.since[client] = NEVER;
    if (!this.protocols.secured.open(client)) this.left(client, CLOSE.ERROR);
  }

  /** The verdict on the bytes received so far. */
  private verdict(client: SocketSlot): number {
    const { inbox } = this.context;
    const state = this.state[client];
    const verdict = verdictOf(state);
    if (verdict !== VERDICT.MORE || inbox.empty(client)) return verdict;
    // The matcher's own bounds rule out more than a buffer; this keeps memory bounded regardless.
    const enough = inbox.bytes[client] >= BUFFER_CAPACITY || this.verdicts.opaqueUnlessTls(client, state);
    return enough ? VERDICT.OPAQUE : VERDICT.MORE;
  }

  private race(client: SocketSlot): void {
    if (!this.races.begin(client, NONE) && this.learned[client] === 1) this.ending[client] = CLOSE.NO_ENDPOINT;
  }

  /** The outcome of the race may change what we wait for. */
  private reconsiderRace(client: SocketSlot): void {
    const deadline = this.timeouts.deadline(client);
    if (deadline !== NEVER) this.context.wheel.pull(client, deadline);
  }

  private decide(client: SocketSlot, listener: number, verdict: number, reason: number): void {
    const { connections, learned, destinations, inbox } = this.context;
    if (!inbox.wake(client)) {
      this.left(client, CLOSE.LIMIT);
      return;
    }
    const destination = connections.destination[client];
    if (isHttp(destinations.mode[destination]) && verdict !== VERDICT.TLS) {
      this.byMode(client, destinations.mode[destination], destinations.reason[destination]);
      return;
    }
    this.verdicts.judged(client, listener, verdict, reason);
    this.peek.count(client, verdict, false);
    const upstream = this.races.take(client);
    if (reason === REASON.MATCHED && this.learned[client] === 1 && verdict !== VERDICT.OPAQUE) {
      // The server spoke first last time, but now the client did: it is not a server-first protocol any more.
      learned.forget(destinations.learnKey[destination]);
    }
    if (verdict === VERDICT.HTTP1 && !this.verdicts.opaqueEndpoints(client, verdict)) this.toHttp1(client, upstream);
    else if (verdict === VERDICT.HTTP2 && !this.verdicts.opaqueEndpoints(client, verdict))
      this.toHttp2(client, upstream);
    else this.toOpaque(client, verdict, upstream);
  }

  /** The client's protocol is known. */
  private byMode(client: SocketSlot, mode: number, reason: number): void {
    const verdict = mode === MODE.HTTP1 ? VERDICT.HTTP1 : mode === MODE.HTTP2 ? VERDICT.HTTP2 : VERDICT.OPAQUE;
    this.verdicts.count(this.context.connections.listener[client], verdict, reason);
    this.peek.count(client, verdict, mode === MODE.OPAQUE);
    if (verdict === VERDICT.OPAQUE || this.verdicts.opaqueEndpoints(client, verdict))
      this.toOpaque(client, verdict, NONE);
    else if (verdict === VERDICT.HTTP1) this.toHttp1(client, NONE);
    else this.toHttp2(client, NONE);
  }

  /** A silent client whose server is unreachable: it sees what it would see without a proxy. */
  private end(client: SocketSlot, reason: number): void {
    const { connections, sockets } = this.context;
    this.verdicts.judged(client, connections.listener[client], VERDICT.OPAQUE, REASON.LEARNED);
    sockets.kind[client] = SOCKET_KIND.OPAQUE;
    this.opaque.endpointUnavailable(
      client,
      this.context.serviceFor(client, VERDICT.OPAQUE),
      reason === CLOSE.NO_ENDPOINT,
    );
    if (reason === CLOSE.OK) connections.close(client, reason);
    else connections.abort(client, reason);
  }

  private toHttp1(client: SocketSlot, raced: SocketSlot | -1): void {
    const { connections, endpoints, values, protocols } = this.context;
    const service = this.context.serviceFor(client, VERDICT.HTTP1);
    if (raced >= 0) {
      const endpoint = connections.endpoint[raced];
      const mine = service >= 0 && endpoints.service[endpoint] === service;
      // A connection to a mesh proxy has already declared in its header that it carries bytes.
      if (mine && !protocols.onlyHttp2(service, endpoint) && endpoints.proxyPort[endpoint] === 0) {
        // The connection is as good as any for HTTP.
        values[W.RACES_POOLED]++;
        this.protocols.pool.adopt(raced as SocketSlot);
      } else connections.close(raced, CLOSE.OK);
    }
    const { sockets, inbox } = this.context;
    // The bytes after a PROXY header may not be all.
    if ((sockets.flags[client] & SOCKET.PAUSED) !== 0 && !inbox.empty(client)) sockets.resume(client);
    this.protocols.http1.open(client);
  }

  private toOpaque(client: SocketSlot, verdict: number, raced: SocketSlot | -1): void {
    const { connections, endpoints, services } = this.context;
    const service = this.context.serviceFor(client, verdict);
    if (service < 0) {
      if (raced >= 0) connections.close(raced, CLOSE.OK);
      this.context.refusals.note(REFUSED.NO_SERVICE, client, -1, -1);
      connections.close(client, CLOSE.PROTOCOL);
      return;
    }
    // The client's own TLS is not encrypted again, unless its service says so.
    const plain = verdict === VERDICT.TLS && services.wrapsTls[service] === 0;
    let upstream = raced;
    if (
      raced >= 0 &&
      (endpoints.service[connections.endpoint[raced]] !== service || (plain && this.opaque.encrypts(raced)))
    ) {
      connections.close(raced, CLOSE.OK);
      upstream = NONE;
    }
    this.opaque.open(client, service, upstream, plain);
  }

  private toHttp2(client: SocketSlot, raced: SocketSlot | -1): void {
    // A connection opened for opaque bytes has sent no HTTP/2 preface, so the pool would have to treat it differently.
    if (raced >= 0) this.context.connections.close(raced, CLOSE.OK);
    this.protocols.http2.open(client);
  }
}
