// Detection: a client connection until its protocol is known. Bytes go through the matcher as they arrive. When none come, or when
// those that came can hardly become HTTP, an endpoint is dialled and may speak first (the race); a destination that did so before
// is dialled at once; and at the last timeout the connection is relayed as it is: detection never closes a connection that might
// have worked.
import { match, mayBeTls, OUTLOOK, outlook, START, VERDICT, verdictOf } from '../../detect/matcher.js';
import { BUFFER_CAPACITY } from '../../io/slab.js';
import { SOCKET } from '../../io/sockets.js';
import {
  LIMITS,
  LISTENER_HISTOGRAMS,
  listenerBase,
  listenerHistogram,
  MAX_LISTENERS,
  REASONS,
  verdictField,
  W,
} from '../../metrics/layout.js';
import { CLOSE, SOCKET_KIND } from '../connect/connections.js';
import type { Context } from '../context.js';
import { REFUSED } from '../refusals.js';
import type { OpaqueRelay } from '../relay/opaque.js';
import type { SocketSlot } from '../slots.js';
import { MODE } from '../snapshot.js';
import type { Racer, Races } from './races.js';

const NONE = -1;
const REASON = {
  MATCHED: REASONS.indexOf('matched'),
  SERVER_FIRST: REASONS.indexOf('server-first'),
  LEARNED: REASONS.indexOf('learned'),
  TIMEOUT: REASONS.indexOf('timeout'),
  EOF: REASONS.indexOf('eof'),
  UNLIKELY: REASONS.indexOf('unlikely'),
} as const;
const LIMIT_DETECT = LIMITS.indexOf('detect-time');
const DETECT_US = LISTENER_HISTOGRAMS.indexOf('detect_us');
/** While draining, a client that has said nothing for this long after it connected is let go, ms. */
const DRAIN_SILENT_MS = 1000;
/** Silence after words that can hardly become HTTP where there is no race to wait for, ms. */
const HARDLY_MS = 50;
/** Silence after words that possibly become HTTP, ms: more than lies between the segments of one request line. */
const POSSIBLE_MS = 250;
/** Of `ending`: nothing ends. */
const STAYS = -1;
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

export class Detector implements Racer {
  private readonly state: Int32Array;
  private readonly learned: Uint8Array;
  /** Since when a client is silent, ms: its transport is ready, or it has last said something. */
  private readonly since: Float64Array;
  /** CLOSE reason for which a client that stays silent is let go: the server that speaks first is not there. STAYS otherwise. */
  private readonly ending: Int8Array;
  private readonly histogram: Int32Array;

  constructor(
    private readonly context: Context,
    private readonly races: Races,
    private readonly opaque: OpaqueRelay,
    private readonly protocols: Protocols,
  ) {
    const n = context.sockets.capacity;
    this.state = new Int32Array(n);
    this.learned = new Uint8Array(n);
    this.since = new Float64Array(n);
    this.ending = new Int8Array(n);
    this.histogram = new Int32Array(MAX_LISTENERS);
    for (let i = 0; i < MAX_LISTENERS; i++) this.histogram[i] = listenerHistogram(i, DETECT_US);
    races.racer = this;
  }

  /** A new client connection: policy first, then its bytes. */
  open(client: SocketSlot): void {
    const { connections, destinations } = this.context;
    const listener = connections.listener[client];
    const destination = connections.destination[client];
    switch (destinations.mode[destination]) {
      case MODE.HTTP1:
        this.count(listener, VERDICT.HTTP1, destinations.reason[destination]);
        if (this.opaqueEndpoints(client, VERDICT.HTTP1)) this.toOpaque(client, VERDICT.HTTP1, NONE);
        else this.toHttp1(client, NONE);
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
        this.listen(client);
    }
  }

  data(client: SocketSlot, bid: number, at: number, length: number): void {
    const { inbox, bytes, connections, reactor, wheel } = this.context;
    this.state[client] = match(this.state[client], bytes, at, at + length);
    inbox.push(client, bid, at, at + length);
    const verdict = this.verdict(client);
    if (verdict !== VERDICT.MORE) {
      this.decide(client, connections.listener[client], verdict, REASON.MATCHED);
      return;
    }
    this.since[client] = reactor.now;
    const deadline = this.deadline(client);
    if (deadline !== NEVER) wheel.pull(client, deadline);
    inbox.rest(client);
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
    this.races.drop(client, reason);
    this.context.connections.close(client, reason);
  }

  timer(client: SocketSlot): void {
    const { reactor, connections, wheel, inbox } = this.context;
    const listener = connections.listener[client];
    const { now } = reactor;
    if (now >= this.lastCall(client)) {
      this.context.limited(LIMIT_DETECT);
      this.decide(client, listener, VERDICT.OPAQUE, REASON.TIMEOUT);
      return;
    }
    const silent = inbox.empty(client);
    if (this.context.draining && silent && now >= connections.opened[client] + DRAIN_SILENT_MS) {
      this.left(client, CLOSE.DRAIN);
      return;
    }
    if (silent && this.ending[client] !== STAYS && this.raceDue(client)) {
      this.end(client, this.ending[client]);
      return;
    }
    // A client whose words may be those of HTTP goes on with them.
    if (!this.races.begun(client) && this.raceDue(client) && this.waits(client)) this.race(client);
    if (now >= this.settled(client)) {
      this.decide(client, listener, VERDICT.OPAQUE, REASON.UNLIKELY);
      return;
    }
    const deadline = this.deadline(client);
    if (deadline !== NEVER) wheel.schedule(client, deadline);
  }

  waits(client: SocketSlot): boolean {
    return this.context.inbox.empty(client) || outlook(this.state[client]) !== OUTLOOK.LIKELY;
  }

  stands(client: SocketSlot): void {
    this.reconsiderRace(client);
  }

  greeted(client: SocketSlot): void {
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
   * A client that waits for a server which speaks first waits in vain. After the short silence of any race it is let go: until then
   * it may speak, and may speak HTTP.
   */
  over(client: SocketSlot, endpoint: number, reason: number): void {
    if (this.learned[client] === 1) {
      this.ending[client] = reason === CLOSE.OK || reason === CLOSE.RESET ? reason : CLOSE.NO_ENDPOINT;
      this.context.connections.relayedTo[client] = endpoint;
    }
    this.reconsiderRace(client);
  }

  /** Waits for the first bytes of a client. */
  private listen(client: SocketSlot): void {
    const { connections, destinations, sockets, wheel, reactor } = this.context;
    this.state[client] = START;
    this.races.reset(client);
    this.learned[client] = 0;
    this.ending[client] = STAYS;
    this.since[client] = sockets.ready(client) ? reactor.now : NEVER;
    if (this.heard(client)) return;
    // The first receive alone: a client that asks for one answer and leaves is never armed, and so never cancelled.
    sockets.receiveOnce(client);
    const destination = connections.destination[client];
    const opaque = this.context.serviceFor(client, VERDICT.OPAQUE);
    const key = destinations.learnKey[destination];
    if (destinations.raceMs[destination] >= 0 && opaque >= 0 && this.context.learned.has(key, Date.now() / 1000)) {
      this.learned[client] = 1;
      this.race(client);
    }
    const deadline = this.deadline(client);
    if (deadline !== NEVER) wheel.schedule(client, Math.max(deadline, reactor.now));
  }

  /** Matches what has come already, behind a PROXY header. True where that has decided. */
  private heard(client: SocketSlot): boolean {
    const { inbox, bytes, connections } = this.context;
    let state = this.state[client];
    for (let bid = inbox.first(client); bid >= 0; bid = inbox.following(bid))
      state = match(state, bytes, inbox.startOf(bid), inbox.endOf(bid));
    this.state[client] = state;
    const verdict = this.verdict(client);
    if (verdict === VERDICT.MORE) return false;
    this.decide(client, connections.listener[client], verdict, REASON.MATCHED);
    return true;
  }

  /** What is to be thought of what has come. */
  private verdict(client: SocketSlot): number {
    const { inbox } = this.context;
    const state = this.state[client];
    const verdict = verdictOf(state);
    if (verdict !== VERDICT.MORE || inbox.empty(client)) return verdict;
    // Beyond the buffer cannot happen with the matcher's own bounds; memory stays bounded all the same.
    const enough = inbox.bytes[client] >= BUFFER_CAPACITY || this.opaqueUnlessTls(client, state);
    return enough ? VERDICT.OPAQUE : VERDICT.MORE;
  }

  private race(client: SocketSlot): void {
    if (!this.races.begin(client, NONE) && this.learned[client] === 1) this.ending[client] = CLOSE.NO_ENDPOINT;
  }

  /** What became of the race may change what is waited for. */
  private reconsiderRace(client: SocketSlot): void {
    const deadline = this.deadline(client);
    if (deadline !== NEVER) this.context.wheel.pull(client, deadline);
  }

  private decide(client: SocketSlot, listener: number, verdict: number, reason: number): void {
    const { connections, learned, destinations, inbox } = this.context;
    if (!inbox.wake(client)) {
      this.left(client, CLOSE.LIMIT);
      return;
    }
    this.judged(client, listener, verdict, reason);
    const upstream = this.races.take(client);
    if (reason === REASON.MATCHED && this.learned[client] === 1 && verdict !== VERDICT.OPAQUE) {
      // It spoke last time, but this client spoke before it: not a server-first protocol any more.
      learned.forget(destinations.learnKey[connections.destination[client]]);
    }
    if (verdict === VERDICT.HTTP1 && !this.opaqueEndpoints(client, verdict)) this.toHttp1(client, upstream);
    else if (verdict === VERDICT.HTTP2 && !this.opaqueEndpoints(client, verdict)) this.toHttp2(client, upstream);
    else this.toOpaque(client, verdict, upstream);
  }

  private judged(client: SocketSlot, listener: number, verdict: number, reason: number): void {
    const { connections, reactor, metrics } = this.context;
    this.count(listener, verdict, reason);
    metrics.record(this.histogram[listener], (reactor.now - connections.opened[client]) * 1000);
  }

  private count(listener: number, verdict: number, reason: number): void {
    this.context.values[listenerBase(listener) + verdictField(verdict, reason)]++;
  }

  /** A silent client whose server is not there: it sees what it would see without us. */
  private end(client: SocketSlot, reason: number): void {
    const { connections, sockets } = this.context;
    this.judged(client, connections.listener[client], VERDICT.OPAQUE, REASON.LEARNED);
    sockets.kind[client] = SOCKET_KIND.OPAQUE;
    this.opaque.unserved(client, this.context.serviceFor(client, VERDICT.OPAQUE), reason === CLOSE.NO_ENDPOINT);
    if (reason === CLOSE.OK) connections.close(client, reason);
    else connections.abort(client, reason);
  }

  private toHttp1(client: SocketSlot, raced: SocketSlot | -1): void {
    const { connections, endpoints, values, protocols } = this.context;
    const service = this.context.serviceFor(client, VERDICT.HTTP1);
    if (raced >= 0) {
      const endpoint = connections.endpoint[raced];
      const mine = service >= 0 && endpoints.service[endpoint] === service;
      if (mine && !protocols.onlyHttp2(service, endpoint)) {
        // The connection is as good as any for HTTP.
        values[W.RACES_POOLED]++;
        this.protocols.pool.adopt(raced as SocketSlot);
      } else connections.close(raced, CLOSE.OK);
    }
    const { sockets, inbox } = this.context;
    // What came behind a PROXY header may not be all.
    if ((sockets.flags[client] & SOCKET.PAUSED) !== 0 && !inbox.empty(client)) sockets.resume(client);
    this.protocols.http1.open(client);
  }

  private toOpaque(client: SocketSlot, verdict: number, raced: SocketSlot | -1): void {
    const { connections, endpoints } = this.context;
    const service = this.context.serviceFor(client, verdict);
    if (service < 0) {
      if (raced >= 0) connections.close(raced, CLOSE.OK);
      this.context.refusals.note(REFUSED.NO_SERVICE, client, -1, -1);
      connections.close(client, CLOSE.PROTOCOL);
      return;
    }
    let upstream = raced;
    if (raced >= 0 && endpoints.service[connections.endpoint[raced]] !== service) {
      connections.close(raced, CLOSE.OK);
      upstream = NONE;
    }
    this.opaque.open(client, service, upstream);
  }

  private toHttp2(client: SocketSlot, raced: SocketSlot | -1): void {
    // A connection that was made for bytes has said no preface; it would have to be told apart from the pool's own.
    if (raced >= 0) this.context.connections.close(raced, CLOSE.OK);
    this.protocols.http2.open(client);
  }

  /** Whether the client's service for HTTP (of the version of `verdict`) is declared opaque. */
  private opaqueEndpoints(client: SocketSlot, verdict: number): boolean {
    const service = this.context.serviceFor(client, verdict);
    return service >= 0 && this.context.services.opaque[service] === 1;
  }

  /** Whether nothing is left to decide: the client does not speak TLS, and all else goes to one service that is opaque. */
  private opaqueUnlessTls(client: SocketSlot, state: number): boolean {
    if (mayBeTls(state) || !this.opaqueEndpoints(client, VERDICT.OPAQUE)) return false;
    const service = this.context.serviceFor(client, VERDICT.OPAQUE);
    return (
      this.context.serviceFor(client, VERDICT.HTTP1) === service &&
      this.context.serviceFor(client, VERDICT.HTTP2) === service
    );
  }

  private raceDue(client: SocketSlot): boolean {
    const { connections, destinations, reactor } = this.context;
    const race = destinations.raceMs[connections.destination[client]];
    return race >= 0 && reactor.now >= this.since[client] + race;
  }

  /** When detection gives up, ms. */
  private lastCall(client: SocketSlot): number {
    const { connections, destinations } = this.context;
    const timeout = destinations.timeoutMs[connections.destination[client]];
    return timeout > 0 ? connections.opened[client] + timeout : NEVER;
  }

  /** When a client whose words are not those of HTTP has been silent for long enough to be relayed, ms. */
  private settled(client: SocketSlot): number {
    const { connections, destinations, inbox } = this.context;
    if (inbox.empty(client)) return NEVER;
    const hope = outlook(this.state[client]);
    // Where nothing takes opaque traffic, relaying would be closing.
    if (hope === OUTLOOK.LIKELY || this.context.serviceFor(client, VERDICT.OPAQUE) < 0) return NEVER;
    const race = destinations.raceMs[connections.destination[client]];
    if (hope === OUTLOOK.POSSIBLE) return this.since[client] + Math.max(race, POSSIBLE_MS);
    // The race is decided when the connection stands, or when there is none to be had.
    return this.races.dialling(client) ? NEVER : this.since[client] + (race >= 0 ? race : HARDLY_MS);
  }

  /** When the timer of `client` has something to do next, ms. */
  private deadline(client: SocketSlot): number {
    const { connections, destinations, draining, inbox } = this.context;
    let deadline = Math.min(this.lastCall(client), this.settled(client));
    const race = destinations.raceMs[connections.destination[client]];
    const ending = this.ending[client] !== STAYS && inbox.empty(client);
    if (race >= 0 && (ending || (!this.races.begun(client) && this.waits(client))))
      deadline = Math.min(deadline, this.since[client] + race);
    if (draining && inbox.empty(client)) deadline = Math.min(deadline, connections.opened[client] + DRAIN_SILENT_MS);
    return deadline;
  }
}
