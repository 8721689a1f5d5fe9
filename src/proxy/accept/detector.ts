// Detection: a client connection until its protocol is known. Bytes go through the matcher as they arrive; when none come, the
// endpoint is dialled and may speak first (the race); a destination that did so before is dialled at once; and at the last
// timeout the connection is relayed as it is: detection never closes a connection that might have worked.
import { destinationKey } from '../../detect/learned.js';
import { match, START, VERDICT, verdictOf } from '../../detect/matcher.js';
import { FIRST, firstFrame } from '../../http2/first-frame.js';
import { BUFFER_CAPACITY } from '../../io/slab.js';
import { SOCKET } from '../../io/sockets.js';
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
import { CLOSE, KIND } from '../connect/connections.js';
import type { Upstreams } from '../connect/upstreams.js';
import { type Context, PROTOCOL } from '../context.js';
import type { Http1 } from '../http1.js';
import type { Http2 } from '../http2.js';
import { DIAL_ATTEMPTS, type OpaqueRelay } from '../relay/opaque.js';
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

export class Detector {
  private readonly state: Int32Array;
  /** How often an endpoint was dialled for a client that is silent. */
  private readonly raced: Uint8Array;
  private readonly learned: Uint8Array;
  /** Since when a client could have spoken, ms: its transport is ready. */
  private readonly since: Float64Array;
  private readonly histogram: Int32Array;

  constructor(
    private readonly context: Context,
    private readonly upstreams: Upstreams,
    private readonly opaque: OpaqueRelay,
    private readonly http1: Http1,
    private readonly http2: Http2,
  ) {
    const n = context.sockets.capacity;
    this.state = new Int32Array(n);
    this.raced = new Uint8Array(n);
    this.learned = new Uint8Array(n);
    this.since = new Float64Array(n);
    this.histogram = new Int32Array(MAX_LISTENERS);
    for (let i = 0; i < MAX_LISTENERS; i++) this.histogram[i] = listenerHistogram(i, DETECT_US);
  }

  /** A new client connection: policy first, then its bytes. */
  open(client: number): void {
    const { connections, listeners, sockets, wheel, reactor } = this.context;
    const listener = connections.listener[client];
    switch (listeners.mode[listener]) {
      case MODE.HTTP1:
        this.count(listener, VERDICT.HTTP1, listeners.reason[listener]);
        this.toHttp1(client, NONE);
        return;
      case MODE.HTTP2:
        this.count(listener, VERDICT.HTTP2, listeners.reason[listener]);
        if (this.opaqueEndpoints(listener, VERDICT.HTTP2)) this.toOpaque(client, VERDICT.HTTP2, NONE);
        else this.toHttp2(client, NONE);
        return;
      case MODE.OPAQUE:
        this.count(listener, VERDICT.OPAQUE, listeners.reason[listener]);
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
    const race = listeners.raceMs[listener];
    const opaque = listeners.service[listener * 4 + VERDICT.OPAQUE];
    if (race >= 0 && opaque >= 0 && this.context.learned.has(destinationKey(listener, opaque), Date.now() / 1000)) {
      this.learned[client] = 1;
      this.race(client, NONE);
    }
    const deadline = this.deadline(client);
    if (deadline !== NEVER) wheel.schedule(client, Math.max(deadline, reactor.now));
  }

  data(client: number, bid: number, at: number, length: number): void {
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

  eof(client: number): void {
    // Also without a word: the server may have something to say to a client that only listens.
    this.decide(client, this.context.connections.listener[client], VERDICT.OPAQUE, REASON.EOF);
  }

  /** What the client's bytes pass through is ready: silence counts from now on. */
  ready(client: number): void {
    this.since[client] = this.context.reactor.now;
    const deadline = this.deadline(client);
    if (deadline !== NEVER) this.context.wheel.pull(client, deadline);
  }

  /** A drain began: a client that stays silent is not waited for. */
  reconsider(client: number): void {
    this.context.wheel.pull(client, this.context.reactor.clock() + 1);
  }

  failed(client: number, reason: number): void {
    this.dropRace(client, reason);
    this.context.connections.close(client, reason);
  }

  timer(client: number): void {
    const { reactor, connections, listeners, wheel } = this.context;
    const listener = connections.listener[client];
    const timeout = listeners.timeoutMs[listener];
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
      this.failed(client, CLOSE.DRAIN);
      return;
    }
    // Only a silent client is raced: one that has begun to speak will go on.
    if (this.raced[client] === 0 && this.raceDue(client) && this.context.inbox.empty(client)) this.race(client, NONE);
    const deadline = this.deadline(client);
    if (deadline !== NEVER) wheel.schedule(client, deadline);
  }

  /** The raced endpoint's connection stands, or does not. */
  raceConnected(upstream: number, result: number): void {
    const { sockets } = this.context;
    if (this.upstreams.connected(upstream, result)) {
      sockets.resume(upstream);
      return;
    }
    this.raceFailed(upstream, CLOSE.REFUSED);
  }

  /** The server speaks first. */
  raceData(upstream: number, bid: number, at: number, length: number): void {
    const { sockets, inbox, connections, values, listeners, slab } = this.context;
    const client = sockets.peer[upstream];
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
    const opaque = listeners.service[listener * 4 + VERDICT.OPAQUE];
    const ttl = listeners.learnTtlMs[listener];
    if (ttl > 0) {
      this.context.learned.remember(destinationKey(listener, opaque), Date.now() / 1000, ttl / 1000);
      values[W.LEARNED]++;
    }
    values[W.RACES_SERVER_FIRST]++;
    this.decide(client, listener, VERDICT.OPAQUE, this.learned[client] === 1 ? REASON.LEARNED : REASON.SERVER_FIRST);
  }

  /** HTTP/2 servers speak first as well, but to clients that have said a preface: this one's client has not said anything yet. */
  private http2First(upstream: number, at: number, length: number): boolean {
    const { bytes, connections, endpoints, services } = this.context;
    const endpoint = connections.endpoint[upstream];
    const service = endpoints.service[endpoint];
    if (service < 0 || firstFrame(bytes, at, at + length) !== FIRST.YES) return false;
    const protocol = services.protocol[service];
    if (protocol !== PROTOCOL.AUTO && protocol !== PROTOCOL.HTTP2) return false;
    this.context.learnProtocol(endpoint, PROTOCOL.HTTP2);
    return true;
  }

  /** The raced server closed without a word, or broke: the client may still speak, to another connection. */
  raceEnded(upstream: number, reason: number): void {
    this.unlinkRace(upstream);
    this.context.connections.close(upstream, reason);
  }

  raceTimer(upstream: number): void {
    const { sockets, reactor, wheel } = this.context;
    if ((sockets.flags[upstream] & SOCKET.CONNECTING) === 0) return;
    const deadline = this.upstreams.connectDeadline(upstream);
    if (reactor.now < deadline) {
      if (deadline !== NEVER) wheel.schedule(upstream, deadline);
      return;
    }
    this.upstreams.connectTimedOut(upstream);
    this.raceFailed(upstream, CLOSE.TIMEOUT);
  }

  /** The dialled endpoint did not answer: another one may, for a client that still waits for its greeting. */
  private raceFailed(upstream: number, reason: number): void {
    const { sockets, connections, inbox } = this.context;
    const client = sockets.peer[upstream];
    this.unlinkRace(upstream);
    if (client >= 0 && this.raced[client] < DIAL_ATTEMPTS && inbox.empty(client))
      this.race(client, connections.endpoint[upstream]);
    connections.close(upstream, reason);
  }

  private decide(client: number, listener: number, verdict: number, reason: number): void {
    const { connections, reactor, metrics, sockets, learned, listeners } = this.context;
    this.count(listener, verdict, reason);
    metrics.record(this.histogram[listener], (reactor.now - connections.opened[client]) * 1000);
    const upstream = sockets.peer[client];
    sockets.peer[client] = NONE;
    if (upstream >= 0) sockets.peer[upstream] = NONE;
    if (reason === REASON.MATCHED && this.learned[client] === 1 && verdict !== VERDICT.OPAQUE) {
      // It spoke last time, but this client spoke before it: not a server-first protocol any more.
      learned.forget(destinationKey(listener, listeners.service[listener * 4 + VERDICT.OPAQUE]));
    }
    if (verdict === VERDICT.HTTP1 && !this.opaqueEndpoints(listener, verdict)) this.toHttp1(client, upstream);
    else if (verdict === VERDICT.HTTP2 && !this.opaqueEndpoints(listener, verdict)) this.toHttp2(client, upstream);
    else this.toOpaque(client, verdict, upstream);
  }

  private count(listener: number, verdict: number, reason: number): void {
    this.context.values[listenerBase(listener) + L.VERDICT + verdict * 8 + reason]++;
  }

  private toHttp1(client: number, raced: number): void {
    const { connections, listeners, sockets, endpoints, values } = this.context;
    const service = listeners.service[connections.listener[client] * 4 + VERDICT.HTTP1];
    if (raced >= 0) {
      const endpoint = connections.endpoint[raced];
      if (service >= 0 && endpoints.service[endpoint] === service && !this.http1.bridge.speaksHttp2(endpoint)) {
        // The dialled connection is as good as any for HTTP.
        values[W.RACES_POOLED]++;
        this.http1.adopt(raced);
      } else this.closeRaced(raced);
    }
    sockets.kind[client] = KIND.HTTP1_CLIENT;
    this.http1.open(client, service);
  }

  private toOpaque(client: number, verdict: number, raced: number): void {
    const { connections, listeners, endpoints } = this.context;
    const service = listeners.service[connections.listener[client] * 4 + verdict];
    if (service < 0) {
      if (raced >= 0) this.closeRaced(raced);
      connections.close(client, CLOSE.PROTOCOL);
      return;
    }
    let upstream = raced;
    if (raced >= 0 && endpoints.service[connections.endpoint[raced]] !== service) {
      this.closeRaced(raced);
      upstream = NONE;
    }
    this.opaque.open(client, service, upstream);
  }

  private toHttp2(client: number, raced: number): void {
    // A connection that was made for bytes has said no preface; it would have to be told apart from the pool's own.
    if (raced >= 0) this.closeRaced(raced);
    this.http2.open(client);
  }

  /** Whether the service for HTTP (of the version of `verdict`) on this listener is declared opaque. */
  private opaqueEndpoints(listener: number, verdict: number): boolean {
    const service = this.context.listeners.service[listener * 4 + verdict];
    return service >= 0 && this.context.services.opaque[service] === 1;
  }

  private raceDue(client: number): boolean {
    const { connections, listeners, reactor } = this.context;
    const race = listeners.raceMs[connections.listener[client]];
    return race >= 0 && reactor.now >= this.since[client] + race;
  }

  /** When the timer of `client` has something to do next, ms. */
  private deadline(client: number): number {
    const { connections, listeners } = this.context;
    const listener = connections.listener[client];
    const opened = connections.opened[client];
    const timeout = listeners.timeoutMs[listener];
    let deadline = timeout > 0 ? opened + timeout : NEVER;
    const race = listeners.raceMs[listener];
    if (this.raced[client] === 0 && race >= 0 && this.context.inbox.empty(client)) {
      deadline = Math.min(deadline, this.since[client] + race);
    }
    if (this.context.draining && this.context.inbox.empty(client))
      deadline = Math.min(deadline, opened + DRAIN_SILENT_MS);
    return deadline;
  }

  private race(client: number, exclude: number): void {
    const { connections, listeners, balancer, reactor, sockets, values } = this.context;
    this.raced[client]++;
    const service = listeners.service[connections.listener[client] * 4 + VERDICT.OPAQUE];
    if (service < 0) return;
    const endpoint = balancer.pickConnection(service, reactor.ms, exclude);
    if (endpoint < 0) return;
    // Who speaks HTTP/2 doesn't greet, and the connection would be of no use to its pool.
    if (this.speaksHttp2(service, endpoint)) {
      balancer.connectAbandoned(endpoint);
      return;
    }
    const upstream = this.upstreams.dial(endpoint, KIND.RACE);
    if (upstream < 0) {
      balancer.connectAbandoned(endpoint);
      return;
    }
    values[W.RACES_STARTED]++;
    sockets.peer[client] = upstream;
    sockets.peer[upstream] = client;
  }

  private speaksHttp2(service: number, endpoint: number): boolean {
    const declared = this.context.services.protocol[service];
    return (
      declared === PROTOCOL.HTTP2 ||
      (declared === PROTOCOL.AUTO && this.context.endpoints.protocol[endpoint] === PROTOCOL.HTTP2)
    );
  }

  private dropRace(client: number, reason: number): void {
    const upstream = this.context.sockets.peer[client];
    if (upstream < 0) return;
    this.unlinkRace(upstream);
    this.closeRaced(upstream, reason);
  }

  private closeRaced(upstream: number, reason: number = CLOSE.OK): void {
    const { sockets, balancer, connections } = this.context;
    if ((sockets.flags[upstream] & SOCKET.CONNECTING) !== 0) balancer.connectAbandoned(connections.endpoint[upstream]);
    connections.close(upstream, reason);
  }

  private unlinkRace(upstream: number): void {
    const { sockets } = this.context;
    const client = sockets.peer[upstream];
    if (client >= 0) sockets.peer[client] = NONE;
    sockets.peer[upstream] = NONE;
  }
}
