// Detection: a client connection until its protocol is known. Bytes go through the matcher as they arrive; when none come, the
// endpoint is dialled and may speak first (the race); a destination that did so before is dialled at once; and at the last
// timeout the connection is relayed as it is: detection never closes a connection that might have worked.
import { match, START, VERDICT, verdictOf } from '../../detect/matcher.js';
import { FIRST, firstFrame } from '../../http2/first-frame.js';
import { BUFFER_CAPACITY } from '../../io/slab.js';
import {
  L,
  LIMITS,
  LISTENER_HISTOGRAMS,
  listenerBase,
  listenerHistogram,
  MAX_LISTENERS,
  REASONS,
  W,
} from '../../metrics/layout.js';
import { CLOSE, SOCKET_KIND } from '../connect/connections.js';
import { type Caller, type Dialer, PURPOSE } from '../connect/dialer.js';
import { KNOWN, SERVICE_PROTOCOL, VERSION } from '../connect/protocols.js';
import type { Context } from '../context.js';
import { DIAL_ATTEMPTS, type OpaqueRelay } from '../relay/opaque.js';
import type { SocketSlot } from '../slots.js';
import { MODE } from '../snapshot.js';

const NONE = -1;
const REASON = {
  MATCHED: REASONS.indexOf('matched'),
  SERVER_FIRST: REASONS.indexOf('server-first'),
  LEARNED: REASONS.indexOf('learned'),
  TIMEOUT: REASONS.indexOf('timeout'),
  EOF: REASONS.indexOf('eof'),
} as const;
const LIMIT_DETECT = LIMITS.indexOf('detect-time');
const DETECT_US = LISTENER_HISTOGRAMS.indexOf('detect_us');
/** While draining, a client that has said nothing for this long after it connected is let go, ms. */
const DRAIN_SILENT_MS = 1000;
const NEVER = Number.POSITIVE_INFINITY;

/** Who takes a client over once its protocol is known. */
interface Protocols {
  /** Clients that speak HTTP/1. */
  readonly http1: { open(client: SocketSlot): void };
  /** Clients that speak HTTP/2. */
  readonly http2: { open(client: SocketSlot): void };
  /** Connections that were made for a silent client, and may serve requests. */
  readonly pool: { adopt(socket: SocketSlot): void };
}

export class Detector implements Caller {
  private readonly state: Int32Array;
  /** How often an endpoint was dialled for a client that is silent. */
  private readonly raced: Uint8Array;
  private readonly learned: Uint8Array;
  /** Since when a client could have spoken, ms: its transport is ready. */
  private readonly since: Float64Array;
  private readonly histogram: Int32Array;

  constructor(
    private readonly context: Context,
    private readonly dialer: Dialer,
    private readonly opaque: OpaqueRelay,
    private readonly protocols: Protocols,
  ) {
    const n = context.sockets.capacity;
    this.state = new Int32Array(n);
    this.raced = new Uint8Array(n);
    this.learned = new Uint8Array(n);
    this.since = new Float64Array(n);
    this.histogram = new Int32Array(MAX_LISTENERS);
    for (let i = 0; i < MAX_LISTENERS; i++) this.histogram[i] = listenerHistogram(i, DETECT_US);
    dialer.serve(PURPOSE.RACE, this);
  }

  /** A new client connection: policy first, then its bytes. */
  open(client: SocketSlot): void {
    const { connections, destinations, sockets, wheel, reactor } = this.context;
    const listener = connections.listener[client];
    const destination = connections.destination[client];
    switch (destinations.mode[destination]) {
      case MODE.HTTP1:
        this.count(listener, VERDICT.HTTP1, destinations.reason[destination]);
        this.toHttp1(client, NONE);
        return;
      case MODE.HTTP2:
        this.count(listener, VERDICT.HTTP2, destinations.reason[destination]);
        if (this.opaqueEndpoints(client, VERDICT.HTTP2)) this.toOpaque(client, VERDICT.HTTP2, NONE);
        else this.toHttp2(client, NONE);
        return;
      case MODE.OPAQUE:
        this.count(listener, VERDICT.OPAQUE, destinations.reason[destination]);
        this.toOpaque(client, VERDICT.OPAQUE, NONE);
        return;
      default:
    }
    this.state[client] = START;
    this.raced[client] = 0;
    this.learned[client] = 0;
    this.since[client] = sockets.ready(client) ? reactor.now : NEVER;
    // The first receive alone: a client that asks for one answer and leaves is never armed, and so never cancelled.
    sockets.receiveOnce(client);
    const race = destinations.raceMs[destination];
    const opaque = this.context.serviceFor(client, VERDICT.OPAQUE);
    const key = destinations.learnKey[destination];
    if (race >= 0 && opaque >= 0 && this.context.learned.has(key, Date.now() / 1000)) {
      this.learned[client] = 1;
      this.race(client, NONE);
    }
    const deadline = this.deadline(client);
    if (deadline !== NEVER) wheel.schedule(client, Math.max(deadline, reactor.now));
  }

  data(client: SocketSlot, bid: number, at: number, length: number): void {
    const { inbox, bytes, connections } = this.context;
    const state = match(this.state[client], bytes, at, at + length);
    this.state[client] = state;
    inbox.push(client, bid, at, at + length);
    let verdict: number = verdictOf(state);
    if (verdict === VERDICT.MORE) {
      // Cannot happen with the matcher's own bounds; memory stays bounded all the same.
      if (inbox.bytes[client] < BUFFER_CAPACITY) return;
      verdict = VERDICT.OPAQUE;
    }
    this.decide(client, connections.listener[client], verdict, REASON.MATCHED);
  }

  eof(client: SocketSlot): void {
    // Also without a word: the server may have something to say to a client that only listens.
    this.decide(client, this.context.connections.listener[client], VERDICT.OPAQUE, REASON.EOF);
  }

  /** What the client's bytes pass through is ready: silence counts from now on. */
  couldSpeak(client: SocketSlot): void {
    this.since[client] = this.context.reactor.now;
    const deadline = this.deadline(client);
    if (deadline !== NEVER) this.context.wheel.pull(client, deadline);
  }

  /** A drain began: a client that stays silent is not waited for. */
  reconsider(client: SocketSlot): void {
    this.context.wheel.pull(client, this.context.reactor.clock() + 1);
  }

  /** The client is gone. */
  left(client: SocketSlot, reason: number): void {
    this.dropRace(client, reason);
    this.context.connections.close(client, reason);
  }

  timer(client: SocketSlot): void {
    const { reactor, connections, destinations, wheel } = this.context;
    const listener = connections.listener[client];
    const timeout = destinations.timeoutMs[connections.destination[client]];
    if (timeout > 0 && reactor.now >= connections.opened[client] + timeout) {
      this.context.limited(LIMIT_DETECT);
      this.decide(client, listener, VERDICT.OPAQUE, REASON.TIMEOUT);
      return;
    }
    if (
      this.context.draining &&
      this.context.inbox.empty(client) &&
      reactor.now >= connections.opened[client] + DRAIN_SILENT_MS
    ) {
      this.left(client, CLOSE.DRAIN);
      return;
    }
    // Only a silent client is raced: one that has begun to speak will go on.
    if (this.raced[client] === 0 && this.raceDue(client) && this.context.inbox.empty(client)) this.race(client, NONE);
    const deadline = this.deadline(client);
    if (deadline !== NEVER) wheel.schedule(client, deadline);
  }

  /** The raced endpoint's connection stands. */
  ready(upstream: SocketSlot): void {
    const { sockets, connections } = this.context;
    if (sockets.peer[upstream] < 0) {
      connections.close(upstream, CLOSE.OK);
      return;
    }
    sockets.kind[upstream] = SOCKET_KIND.RACE;
    sockets.resume(upstream);
  }

  /** The dialled endpoint did not answer: another one may, for a client that still waits for its greeting. */
  failed(upstream: SocketSlot, _reason: number): void {
    const { sockets, connections, inbox } = this.context;
    const client = sockets.peer[upstream] as SocketSlot | -1;
    this.unlinkRace(upstream);
    if (client >= 0 && this.raced[client] < DIAL_ATTEMPTS && inbox.empty(client))
      this.race(client as SocketSlot, connections.endpoint[upstream]);
  }

  /** The server speaks first. */
  raceData(upstream: SocketSlot, bid: number, at: number, length: number): void {
    const { sockets, inbox, connections, values, destinations, slab } = this.context;
    const client = sockets.peer[upstream] as SocketSlot;
    if (this.http2First(upstream, at, length)) {
      slab.release(bid);
      this.raceEnded(upstream, CLOSE.OK);
      return;
    }
    inbox.push(upstream, bid, at, at + length);
    if (client < 0) {
      connections.close(upstream, CLOSE.OK);
      return;
    }
    const listener = connections.listener[client];
    const destination = connections.destination[client];
    const ttl = destinations.learnTtlMs[destination];
    if (ttl > 0) {
      this.context.learned.remember(destinations.learnKey[destination], Date.now() / 1000, ttl / 1000);
      values[W.LEARNED]++;
    }
    values[W.RACES_SERVER_FIRST]++;
    this.decide(client, listener, VERDICT.OPAQUE, this.learned[client] === 1 ? REASON.LEARNED : REASON.SERVER_FIRST);
  }

  /** HTTP/2 servers speak first as well, but to clients that have said a preface: this one's client has not said anything yet. */
  private http2First(upstream: SocketSlot, at: number, length: number): boolean {
    const { bytes, connections, endpoints, services, protocols } = this.context;
    const endpoint = connections.endpoint[upstream];
    const service = endpoints.service[endpoint];
    if (service < 0 || firstFrame(bytes, at, at + length) !== FIRST.YES) return false;
    const protocol = services.protocol[service];
    if (protocol !== SERVICE_PROTOCOL.AUTO && protocol !== SERVICE_PROTOCOL.HTTP2) return false;
    protocols.learn(endpoint, VERSION.HTTP2, KNOWN.SPOKEN);
    return true;
  }

  /** The raced server closed without a word, or broke: the client may still speak, to another connection. */
  raceEnded(upstream: SocketSlot, reason: number): void {
    this.unlinkRace(upstream);
    this.context.connections.close(upstream, reason);
  }

  private decide(client: SocketSlot, listener: number, verdict: number, reason: number): void {
    const { connections, reactor, metrics, sockets, learned, destinations } = this.context;
    this.count(listener, verdict, reason);
    metrics.record(this.histogram[listener], (reactor.now - connections.opened[client]) * 1000);
    const upstream = sockets.peer[client];
    sockets.peer[client] = NONE;
    if (upstream >= 0) sockets.peer[upstream] = NONE;
    if (reason === REASON.MATCHED && this.learned[client] === 1 && verdict !== VERDICT.OPAQUE) {
      // It spoke last time, but this client spoke before it: not a server-first protocol any more.
      learned.forget(destinations.learnKey[connections.destination[client]]);
    }
    if (verdict === VERDICT.HTTP1 && !this.opaqueEndpoints(client, verdict)) this.toHttp1(client, upstream);
    else if (verdict === VERDICT.HTTP2 && !this.opaqueEndpoints(client, verdict)) this.toHttp2(client, upstream);
    else this.toOpaque(client, verdict, upstream);
  }

  private count(listener: number, verdict: number, reason: number): void {
    this.context.values[listenerBase(listener) + L.VERDICT + verdict * 8 + reason]++;
  }

  private toHttp1(client: SocketSlot, raced: number): void {
    const { connections, endpoints, values, protocols } = this.context;
    const service = this.context.serviceFor(client, VERDICT.HTTP1);
    if (raced >= 0) {
      const endpoint = connections.endpoint[raced];
      const mine = service >= 0 && endpoints.service[endpoint] === service;
      if (mine && !protocols.onlyHttp2(service, endpoint)) {
        // The connection is as good as any for HTTP.
        values[W.RACES_POOLED]++;
        this.protocols.pool.adopt(raced as SocketSlot);
      } else this.closeRaced(raced as SocketSlot);
    }
    this.protocols.http1.open(client);
  }

  private toOpaque(client: SocketSlot, verdict: number, raced: number): void {
    const { connections, endpoints } = this.context;
    const service = this.context.serviceFor(client, verdict);
    if (service < 0) {
      if (raced >= 0) this.closeRaced(raced as SocketSlot);
      connections.close(client, CLOSE.PROTOCOL);
      return;
    }
    let upstream = raced;
    if (raced >= 0 && endpoints.service[connections.endpoint[raced]] !== service) {
      this.closeRaced(raced as SocketSlot);
      upstream = NONE;
    }
    this.opaque.open(client, service, upstream);
  }

  private toHttp2(client: SocketSlot, raced: number): void {
    // A connection that was made for bytes has said no preface; it would have to be told apart from the pool's own.
    if (raced >= 0) this.closeRaced(raced as SocketSlot);
    this.protocols.http2.open(client);
  }

  /** Whether the client's service for HTTP (of the version of `verdict`) is declared opaque. */
  private opaqueEndpoints(client: SocketSlot, verdict: number): boolean {
    const service = this.context.serviceFor(client, verdict);
    return service >= 0 && this.context.services.opaque[service] === 1;
  }

  private raceDue(client: SocketSlot): boolean {
    const { connections, destinations, reactor } = this.context;
    const race = destinations.raceMs[connections.destination[client]];
    return race >= 0 && reactor.now >= this.since[client] + race;
  }

  /** When the timer of `client` has something to do next, ms. */
  private deadline(client: SocketSlot): number {
    const { connections, destinations } = this.context;
    const destination = connections.destination[client];
    const opened = connections.opened[client];
    const timeout = destinations.timeoutMs[destination];
    let deadline = timeout > 0 ? opened + timeout : NEVER;
    const race = destinations.raceMs[destination];
    if (this.raced[client] === 0 && race >= 0 && this.context.inbox.empty(client)) {
      deadline = Math.min(deadline, this.since[client] + race);
    }
    if (this.context.draining && this.context.inbox.empty(client))
      deadline = Math.min(deadline, opened + DRAIN_SILENT_MS);
    return deadline;
  }

  private race(client: SocketSlot, exclude: number): void {
    const { balancer, reactor, sockets, values } = this.context;
    this.raced[client]++;
    const service = this.context.serviceFor(client, VERDICT.OPAQUE);
    if (service < 0) return;
    const endpoint = balancer.pickConnection(service, reactor.ms, exclude);
    if (endpoint < 0) return;
    // Who speaks HTTP/2 doesn't greet, and the connection would be of no use to its pool.
    if (this.context.protocols.onlyHttp2(service, endpoint)) {
      balancer.connectAbandoned(endpoint);
      return;
    }
    const upstream = this.dialer.dial(endpoint, PURPOSE.RACE);
    if (upstream < 0) {
      balancer.connectAbandoned(endpoint);
      return;
    }
    values[W.RACES_STARTED]++;
    sockets.peer[client] = upstream;
    sockets.peer[upstream] = client;
  }

  private dropRace(client: SocketSlot, reason: number): void {
    const upstream = this.context.sockets.peer[client] as SocketSlot;
    if (upstream < 0) return;
    this.unlinkRace(upstream);
    this.closeRaced(upstream, reason);
  }

  private closeRaced(upstream: SocketSlot, reason: number = CLOSE.OK): void {
    this.context.connections.close(upstream, reason);
  }

  private unlinkRace(upstream: SocketSlot): void {
    const { sockets } = this.context;
    const client = sockets.peer[upstream];
    if (client >= 0) sockets.peer[client] = NONE;
    sockets.peer[upstream] = NONE;
  }
}
