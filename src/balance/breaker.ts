// Takes endpoints out that keep failing, and brings them back. An endpoint is out (PROBATION) after so many failures in a row; after a
// pause that grows one request or connection is sent to it as a probe (PROBING). The first sign that it works brings it back.
//
// To be out is to be chosen last, not never: where nobody else is left, those that are out are tried anyway, the one first that was
// tried longest ago. Any request that succeeds then is as good as a probe. What this may cost is bounded: while the connects of an
// endpoint fail, it is dialled at an interval.
import type { Members } from './members.js';
import type { Random } from './random.js';
import type { Recent } from './recent.js';

/** Values of `Breaker.state`, as the metrics expose them. */
export const ENDPOINT_STATE = { READY: 0, PROBATION: 1, PROBING: 2 } as const;
/** What an endpoint is picked for. */
export const PICKED_FOR = { REQUEST: 0, CONNECTION: 1 } as const;

const { READY, PROBATION, PROBING } = ENDPOINT_STATE;
/** Backoffs are spread over [1 - JITTER/2, 1 + JITTER/2], so that workers do not probe in step. */
const JITTER = 0.5;
/** Where nobody is ready, so many of those that are out are looked at for one pick. */
const LOOKED_AT = 16;
/** Dials under way to an endpoint that is out and can't be connected to, as far as is known. */
const MOST_DIALS = 64;
const NEVER = Number.POSITIVE_INFINITY;

/** Is told what becomes of endpoints. */
export interface Watcher {
  /** The endpoint is out: `failures` in a row, the last of which was `sign`. */
  out(endpoint: number, failures: number, sign: number): void;
  /** It is back. */
  back(endpoint: number): void;
  /** Nobody of the service is ready: one that is out was picked. */
  anyway(service: number): void;
}

export class Breaker {
  watcher: Watcher | null = null;

  // Per service.
  readonly #limit: Int32Array;
  readonly #minBackoffMs: Float64Array;
  readonly #maxBackoffMs: Float64Array;
  readonly #dialIntervalMs: Float64Array;
  /** Earliest time at which an endpoint that is out may be probed. */
  readonly #nextProbe: Float64Array;

  // Per endpoint.
  readonly state: Uint8Array;
  /** How often it has been taken out: what was begun before says nothing about the time after. */
  readonly stay: Int32Array;
  /** SIGN of its last failure. */
  readonly lastFailure: Uint8Array;
  /** What the probe under way was picked for: connecting decides about a connection, the response about a request. */
  readonly #probePurpose: Uint8Array;
  /** Probes in a row of which nothing was heard in time. */
  readonly #unheard: Uint8Array;
  /** Failures of requests and of connects in a row: a connect that works says nothing about the requests on it. */
  readonly #requestFailures: Int32Array;
  readonly #connectFailures: Int32Array;
  readonly #backoffMs: Float64Array;
  /** In probation: when to probe. Probing: when the next probe may go, if nothing is heard of this one. */
  readonly #probeAt: Float64Array;
  /** Grows with each attempt and each failure: the lowest was tried longest ago. */
  readonly #tried: Float64Array;
  /** When a connect has failed last. */
  readonly #connectFailedAt: Float64Array;
  #attempts = 0;

  constructor(
    maxServices: number,
    maxEndpoints: number,
    private readonly members: Members,
    private readonly random: Random,
    private readonly recent: Recent,
  ) {
    this.#limit = new Int32Array(maxServices).fill(7);
    this.#minBackoffMs = new Float64Array(maxServices).fill(1000);
    this.#maxBackoffMs = new Float64Array(maxServices).fill(60_000);
    this.#dialIntervalMs = new Float64Array(maxServices);
    this.#nextProbe = new Float64Array(maxServices).fill(NEVER);
    this.state = new Uint8Array(maxEndpoints);
    this.stay = new Int32Array(maxEndpoints);
    this.lastFailure = new Uint8Array(maxEndpoints);
    this.#probePurpose = new Uint8Array(maxEndpoints);
    this.#unheard = new Uint8Array(maxEndpoints);
    this.#requestFailures = new Int32Array(maxEndpoints);
    this.#connectFailures = new Int32Array(maxEndpoints);
    this.#backoffMs = new Float64Array(maxEndpoints);
    this.#probeAt = new Float64Array(maxEndpoints);
    this.#tried = new Float64Array(maxEndpoints);
    this.#connectFailedAt = new Float64Array(maxEndpoints);
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

  /** The endpoint begins anew, ready and with no failures. Its place among the members is the caller's. */
  startOver(endpoint: number): void {
    this.state[endpoint] = READY;
    this.#requestFailures[endpoint] = 0;
    this.#connectFailures[endpoint] = 0;
  }

  isReady(endpoint: number): boolean {
    return this.state[endpoint] === READY;
  }

  /** Whether a probe of the service is due. */
  isDue(service: number, now: number): boolean {
    return now >= this.#nextProbe[service];
  }

  /** An endpoint whose pause is over, to be probed; -1 if there is none. */
  pickProbe(service: number, now: number, exclude: number, purpose: number): number {
    const { members, state } = this;
    // A retry has failed once: it goes to a probe only where there is nothing else.
    if (exclude >= 0 && members.ready[service] > 0) return -1;
    const list = members.lists[service];
    let found = -1;
    for (let i = members.ready[service]; i < members.size[service]; i++) {
      const endpoint = list[i];
      if (endpoint === exclude || this.#probeAt[endpoint] > now) continue;
      if (found < 0 || this.#tried[endpoint] < this.#tried[found]) found = endpoint;
    }
    if (found < 0) return -1;
    const unheard = state[found] === PROBING ? Math.min(this.#unheard[found] + 1, 30) : 0;
    state[found] = PROBING;
    this.#unheard[found] = unheard;
    this.#probePurpose[found] = purpose;
    this.#tried[found] = ++this.#attempts;
    this.recent.add(found);
    // One at a time. But one of which nothing is heard gives its place to another: it may be a call that is silent for hours.
    const wait = Math.min(this.#minBackoffMs[service] * 2 ** unheard, this.#maxBackoffMs[service]);
    this.#probeAt[found] = now + wait;
    this.schedule(service);
    return found;
  }

  /** Nobody is ready: the one of those that are out that was tried longest ago; -1 if there is none. */
  pickAnyway(service: number, exclude: number): number {
    const { members } = this;
    const list = members.lists[service];
    const first = members.ready[service];
    const count = members.size[service] - first;
    if (count === 0) return -1;
    let at = first + (((this.random.draw() >>> 16) * count) >>> 16);
    let found = -1;
    for (let looked = Math.min(count, LOOKED_AT); looked > 0; looked--) {
      const endpoint = list[at];
      if (endpoint !== exclude && (found < 0 || this.#tried[endpoint] < this.#tried[found])) found = endpoint;
      if (++at === first + count) at = first;
    }
    if (found < 0) return -1;
    this.#tried[found] = ++this.#attempts;
    this.watcher?.anyway(service);
    return found;
  }

  /**
   * Whether the endpoint may be dialled now, with so many dials `underWay`. Those that are out are left alone for a while after each
   * connect that fails. Who comes while it is being found out whether one works again need not go away: the first that does is not alone.
   */
  mayDial(endpoint: number, now: number, underWay: number): boolean {
    if (this.state[endpoint] === READY || this.#connectFailures[endpoint] === 0) return true;
    const interval = this.#dialIntervalMs[this.members.owner[endpoint]];
    return interval === 0 || (underWay < MOST_DIALS && now >= this.#connectFailedAt[endpoint] + interval);
  }

  /** A request has shown that the endpoint works. True if that brings it back. `stay`: see `stay`, when it was begun. */
  worked(endpoint: number, stay: number): boolean {
    if (this.stay[endpoint] !== stay) return false;
    this.#requestFailures[endpoint] = 0;
    this.#connectFailures[endpoint] = 0;
    return this.#bringBack(endpoint);
  }

  /** A request has failed. */
  failed(endpoint: number, now: number, sign: number, stay: number): void {
    if (this.stay[endpoint] !== stay) return;
    this.#requestFailures[endpoint]++;
    this.#count(endpoint, now, sign);
  }

  /** A connect has worked. True if that brings the endpoint back; `decides`: nothing else is to be expected of the connection. */
  connected(endpoint: number, decides: boolean): boolean {
    this.#connectFailures[endpoint] = 0;
    if (!decides || this.state[endpoint] === READY) return false;
    const probe = this.state[endpoint] === PROBING && this.#probePurpose[endpoint] === PICKED_FOR.CONNECTION;
    return (probe || this.#requestFailures[endpoint] === 0) && this.#bringBack(endpoint);
  }

  connectFailed(endpoint: number, now: number, sign: number): void {
    this.#connectFailures[endpoint]++;
    this.#connectFailedAt[endpoint] = now;
    this.#count(endpoint, now, sign);
  }

  /** Whatever was picked for `purpose` has ended without a sign: if it was the probe, the next one may go. */
  giveBack(endpoint: number, purpose: number): void {
    if (this.state[endpoint] !== PROBING || this.#probePurpose[endpoint] !== purpose) return;
    this.state[endpoint] = PROBATION;
    this.#probeAt[endpoint] = 0;
    if (this.members.has(endpoint)) this.#nextProbe[this.members.owner[endpoint]] = 0;
  }

  /** Notes when the next probe of the service is due. */
  schedule(service: number): void {
    const { members } = this;
    const list = members.lists[service];
    let earliest = NEVER;
    for (let i = members.ready[service]; i < members.size[service]; i++) {
      if (this.#probeAt[list[i]] < earliest) earliest = this.#probeAt[list[i]];
    }
    this.#nextProbe[service] = earliest;
  }

  #count(endpoint: number, now: number, sign: number): void {
    const { members } = this;
    const service = members.owner[endpoint];
    const state = this.state[endpoint];
    this.lastFailure[endpoint] = sign;
    this.#tried[endpoint] = ++this.#attempts;
    if (state === READY) {
      const limit = this.#limit[service];
      const failures = this.#requestFailures[endpoint] + this.#connectFailures[endpoint];
      if (limit === 0 || failures < limit) return;
      members.takeOut(endpoint);
      this.stay[endpoint]++;
      this.#backoffMs[endpoint] = this.#minBackoffMs[service];
      this.watcher?.out(endpoint, failures, sign);
    } else if (state === PROBING) {
      this.#backoffMs[endpoint] = Math.min(this.#backoffMs[endpoint] * 2, this.#maxBackoffMs[service]);
    } else return; // The pause has begun already.
    this.state[endpoint] = PROBATION;
    this.recent.add(endpoint);
    const jitter = 1 + JITTER * ((this.random.draw() >>> 8) / 0x1000000 - 0.5);
    this.#probeAt[endpoint] = now + this.#backoffMs[endpoint] * jitter;
    this.schedule(service);
  }

  #bringBack(endpoint: number): boolean {
    if (this.state[endpoint] === READY) return false;
    this.startOver(endpoint);
    this.members.bringBack(endpoint);
    this.schedule(this.members.owner[endpoint]);
    this.watcher?.back(endpoint);
    return true;
  }
}
