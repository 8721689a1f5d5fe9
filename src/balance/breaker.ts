// Takes out endpoints that keep failing, and brings them back. After a number of consecutive failures an endpoint is out (PROBATION); after
// a pause that grows each time, one request or connection is sent to it as a probe (PROBING). The first signal that it works brings it
// back.
//
// An endpoint that is out is chosen last, not never: if no other is left, those that are out are tried anyway, the one tried longest ago
// first. Any request that then succeeds is as good as a probe. The cost is bounded: while an endpoint's connects fail, it is dialled at an
// interval.
import { column } from '../http/columns.js';
import type { Members } from './members.js';
import type { Random } from './random.js';
import type { Recent } from './recent.js';

/** Values of `Breaker.state`, as exposed in the metrics. */
export const ENDPOINT_STATE = { READY: 0, PROBATION: 1, PROBING: 2 } as const;
/** The purpose of a pick. */
export const PICKED_FOR = { REQUEST: 0, CONNECTION: 1 } as const;

const { READY, PROBATION, PROBING } = ENDPOINT_STATE;
/** Backoffs are spread over [1 - JITTER/2, 1 + JITTER/2], so that workers do not probe in step. */
const JITTER = 0.5;
/** If none is ready, examine this many of those that are out per pick. */
const MAX_EXAMINED = 16;
/** Limit on dials in progress to an endpoint that is out and, as far as known, refuses connections. */
const MAX_DIALS = 64;
const NEVER = Number.POSITIVE_INFINITY;
/** Not 0, which is what a column has where nothing was ever written. */
const AT_ONCE = -1;

/** Is told of changes. */
export interface BreakerEvents {
  /** The endpoint is out after this many consecutive `failures`; `signal` is the last one's. */
  ejected(endpoint: number, failures: number, signal: number): void;
  /** It is back. */
  readmitted(endpoint: number): void;
  /** None of the service's endpoints is ready: one that is out was picked. */
  panicked(service: number): void;
}

export class Breaker {
  events: BreakerEvents | null = null;

  // Per service.
  readonly #limit: Int32Array;
  readonly #minBackoffMs: Float64Array;
  readonly #maxBackoffMs: Float64Array;
  readonly #dialIntervalMs: Float64Array;
  /** Earliest time for probing an endpoint that is out. */
  readonly #nextProbe: Float64Array;

  // Per endpoint.
  readonly state: Uint8Array;
  /** How often it has been taken out: requests begun earlier say nothing about the time since. */
  readonly ejections: Int32Array;
  /** HEALTH_SIGNAL of its last failure. */
  readonly lastFailure: Uint8Array;
  /** Purpose of the current probe: for a connection the connect decides, for a request the response. */
  readonly #probePurpose: Uint8Array;
  /** Consecutive probes without a timely result. */
  readonly #unansweredProbes: Uint8Array;
  /** Consecutive failures of requests, and of connects: a successful connect says nothing about requests. */
  readonly #requestFailures: Int32Array;
  readonly #connectFailures: Int32Array;
  readonly #backoffMs: Float64Array;
  /** In probation: when to probe. Probing: when the next probe may start, if this one gives no signal. */
  readonly #probeAt: Float64Array;
  /** Grows with each attempt and each failure: the lowest was tried longest ago. */
  readonly #lastTried: Float64Array;
  /** Time of the last failed connect. */
  readonly #connectFailedAt: Float64Array;
  #attempts = 0;

  constructor(
    maxServices: number,
    maxEndpoints: number,
    private readonly members: Members,
    private readonly random: Random,
    private readonly recent: Recent,
  ) {
    this.#limit = column(Int32Array, maxServices);
    this.#minBackoffMs = column(Float64Array, maxServices);
    this.#maxBackoffMs = column(Float64Array, maxServices);
    this.#dialIntervalMs = column(Float64Array, maxServices);
    this.#nextProbe = column(Float64Array, maxServices);
    this.state = column(Uint8Array, maxEndpoints);
    this.ejections = column(Int32Array, maxEndpoints);
    this.lastFailure = column(Uint8Array, maxEndpoints);
    this.#probePurpose = column(Uint8Array, maxEndpoints);
    this.#unansweredProbes = column(Uint8Array, maxEndpoints);
    this.#requestFailures = column(Int32Array, maxEndpoints);
    this.#connectFailures = column(Int32Array, maxEndpoints);
    this.#backoffMs = column(Float64Array, maxEndpoints);
    this.#probeAt = column(Float64Array, maxEndpoints);
    this.#lastTried = column(Float64Array, maxEndpoints);
    this.#connectFailedAt = column(Float64Array, maxEndpoints);
  }

  /** In ms. `failures` 0 turns the breaker of the service off. */
  configure(
    service: number,
    failures: number,
    minBackoffMs: number,
    maxBackoffMs: number,
    dialIntervalMs: number,
  ): void {
    this.#limit[service] = failures;
    this.#minBackoffMs[service] = minBackoffMs;
    this.#maxBackoffMs[service] = Math.max(minBackoffMs, maxBackoffMs);
    this.#dialIntervalMs[service] = dialIntervalMs;
  }

  /** The endpoint starts over, ready and without failures. The caller handles its place among the members. */
  reset(endpoint: number): void {
    this.state[endpoint] = READY;
    this.#requestFailures[endpoint] = 0;
    this.#connectFailures[endpoint] = 0;
  }

  isReady(endpoint: number): boolean {
    return this.state[endpoint] === READY;
  }

  /** Whether a probe of the service is due. */
  isDue(service: number, now: number): boolean {
    const at = this.#nextProbe[service];
    return at !== 0 && now >= at;
  }

  /** An endpoint whose pause is over, to be probed; -1 if there is none. */
  pickProbe(service: number, now: number, exclude: number, purpose: number): number {
    const { members, state } = this;
    // A retry has failed once already: it becomes a probe only if there is nothing else.
    if (exclude >= 0 && members.ready[service] > 0) return -1;
    const list = members.lists[service];
    let found = -1;
    for (let i = members.ready[service]; i < members.size[service]; i++) {
      const endpoint = list[i];
      if (endpoint === exclude || this.#probeAt[endpoint] > now) continue;
      if (found < 0 || this.#lastTried[endpoint] < this.#lastTried[found]) found = endpoint;
    }
    if (found < 0) return -1;
    const unanswered = state[found] === PROBING ? Math.min(this.#unansweredProbes[found] + 1, 30) : 0;
    state[found] = PROBING;
    this.#unansweredProbes[found] = unanswered;
    this.#probePurpose[found] = purpose;
    this.#lastTried[found] = ++this.#attempts;
    this.recent.add(found);
    // One at a time. But a probe without a result makes way for another: it may be a call that is silent for hours.
    const wait = Math.min(this.#minBackoffMs[service] * 2 ** unanswered, this.#maxBackoffMs[service]);
    this.#probeAt[found] = now + wait;
    this.schedule(service);
    return found;
  }

  /** None is ready: returns the endpoint that was tried longest ago; -1 if there is none. */
  pickPanic(service: number, exclude: number): number {
    const { members } = this;
    const list = members.lists[service];
    const first = members.ready[service];
    const count = members.size[service] - first;
    if (count === 0) return -1;
    let at = first + (((this.random.draw() >>> 16) * count) >>> 16);
    let found = -1;
    for (let looked = Math.min(count, MAX_EXAMINED); looked > 0; looked--) {
      const endpoint = list[at];
      if (endpoint !== exclude && (found < 0 || this.#lastTried[endpoint] < this.#lastTried[found])) found = endpoint;
      if (++at === first + count) at = first;
    }
    if (found < 0) return -1;
    this.#lastTried[found] = ++this.#attempts;
    this.events?.panicked(service);
    return found;
  }

  /**
   * Whether the endpoint may be dialled now, with `underWay` dials in progress. Those that are out are left alone for a while after each
   * failed connect. While a dial tests whether one works again, others need not go elsewhere: if it succeeds they benefit too.
   */
  mayDial(endpoint: number, now: number, underWay: number): boolean {
    if (this.state[endpoint] === READY || this.#connectFailures[endpoint] === 0) return true;
    const interval = this.#dialIntervalMs[this.members.owner[endpoint]];
    return interval === 0 || (underWay < MAX_DIALS && now >= this.#connectFailedAt[endpoint] + interval);
  }

  /** A request has shown that the endpoint works. True if that brings it back. `ejections`: the value when the request began. */
  succeeded(endpoint: number, ejections: number): boolean {
    if (this.ejections[endpoint] !== ejections) return false;
    this.#requestFailures[endpoint] = 0;
    this.#connectFailures[endpoint] = 0;
    return this.#readmit(endpoint);
  }

  /** A request has failed. */
  failed(endpoint: number, now: number, signal: number, ejections: number): void {
    if (this.ejections[endpoint] !== ejections) return;
    this.#requestFailures[endpoint]++;
    this.#count(endpoint, now, signal);
  }

  /** A connect has succeeded. True if that brings the endpoint back; `decides`: the connection gives no further signal. */
  connected(endpoint: number, decides: boolean): boolean {
    this.#connectFailures[endpoint] = 0;
    if (!decides || this.state[endpoint] === READY) return false;
    const probe = this.state[endpoint] === PROBING && this.#probePurpose[endpoint] === PICKED_FOR.CONNECTION;
    return (probe || this.#requestFailures[endpoint] === 0) && this.#readmit(endpoint);
  }

  connectFailed(endpoint: number, now: number, signal: number): void {
    this.#connectFailures[endpoint]++;
    this.#connectFailedAt[endpoint] = now;
    this.#count(endpoint, now, signal);
  }

  /** What was picked for `purpose` has ended without a signal: if it was the probe, the next one may start. */
  abandonProbe(endpoint: number, purpose: number): void {
    if (this.state[endpoint] !== PROBING || this.#probePurpose[endpoint] !== purpose) return;
    this.state[endpoint] = PROBATION;
    this.#probeAt[endpoint] = AT_ONCE;
    if (this.members.has(endpoint)) this.#nextProbe[this.members.owner[endpoint]] = AT_ONCE;
  }

  /** Computes when the next probe of the service is due. */
  schedule(service: number): void {
    const { members } = this;
    const list = members.lists[service];
    let earliest = NEVER;
    for (let i = members.ready[service]; i < members.size[service]; i++) {
      if (this.#probeAt[list[i]] < earliest) earliest = this.#probeAt[list[i]];
    }
    this.#nextProbe[service] = earliest;
  }

  #count(endpoint: number, now: number, signal: number): void {
    const { members } = this;
    const service = members.owner[endpoint];
    const state = this.state[endpoint];
    this.lastFailure[endpoint] = signal;
    this.#lastTried[endpoint] = ++this.#attempts;
    if (state === READY) {
      const limit = this.#limit[service];
      const failures = this.#requestFailures[endpoint] + this.#connectFailures[endpoint];
      if (limit === 0 || failures < limit) return;
      members.eject(endpoint);
      this.ejections[endpoint]++;
      this.#backoffMs[endpoint] = this.#minBackoffMs[service];
      this.events?.ejected(endpoint, failures, signal);
    } else if (state === PROBING) {
      this.#backoffMs[endpoint] = Math.min(this.#backoffMs[endpoint] * 2, this.#maxBackoffMs[service]);
    } else return; // The pause has already begun.
    this.state[endpoint] = PROBATION;
    this.recent.add(endpoint);
    const jitter = 1 + JITTER * ((this.random.draw() >>> 8) / 0x1000000 - 0.5);
    this.#probeAt[endpoint] = now + this.#backoffMs[endpoint] * jitter;
    this.schedule(service);
  }

  #readmit(endpoint: number): boolean {
    if (this.state[endpoint] === READY) return false;
    this.reset(endpoint);
    this.members.readmit(endpoint);
    this.schedule(this.members.owner[endpoint]);
    this.events?.readmitted(endpoint);
    return true;
  }
}
