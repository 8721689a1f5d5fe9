// Chooses endpoints: two at random, the less loaded one wins. Requests weigh a peak EWMA of latency times what is in
// flight, opaque connections what is open. A breaker takes endpoints out that keep failing. Struct of arrays, one
// instance per worker, nothing allocated after configuration; time comes in as an argument, in ms.

import { Dials } from './dials.js';
import { EndpointLoad } from './load.js';
import { PeakEwma } from './peak-ewma.js';
import { Recent } from './recent.js';

/** Values of `Balancer.state`, as the metrics expose them. */
export const ENDPOINT_STATE = { READY: 0, PROBATION: 1, PROBING: 2 } as const;
export const POLICY = { EWMA: 0, ROUND_ROBIN: 1 } as const;

const { READY, PROBATION, PROBING } = ENDPOINT_STATE;

/** Backoffs are spread over [1 - JITTER/2, 1 + JITTER/2], so that workers do not probe in step. */
const JITTER = 0.5;
/** Of `#place`: the endpoint is no service's. 0, so that a column of 65,000 costs nothing before it is used. */
const NOBODY = 0;
const FOR_REQUEST = 0;
const FOR_CONNECTION = 1;
const NOT_THERE = 0x7fffffff;
/**
 * With so few endpoints all of them are compared instead of two. Two choices of three leave a slow endpoint a third of the
 * traffic as soon as another one fails: every pair of the two goes to it. Above, two choices spread load as well and cost less.
 */
const COMPARE_ALL = 4;
const NO_MEMBERS = new Int32Array(0);

export class Balancer {
  // Per service. Its endpoints are members[service][0..size): first the ready ones, from readyCount on the others.
  readonly #members: Int32Array[];
  readonly #size: Int32Array;
  readonly #ready: Int32Array;
  readonly #policy: Uint8Array;
  readonly #cursor: Int32Array;
  readonly #decayMs: Float64Array;
  readonly #defaultRttUs: Float64Array;
  readonly #penaltyUs: Float64Array;
  readonly #breakerFailures: Int32Array;
  readonly #minBackoffMs: Float64Array;
  readonly #maxBackoffMs: Float64Array;
  /** Earliest time at which an endpoint in probation may be probed. */
  readonly #nextProbe: Float64Array;

  // Per endpoint.
  /** The service that the endpoint is, or was last, one of. */
  readonly #owner: Int32Array;
  /** Its position among the members + 1, or NOBODY. */
  readonly #place: Int32Array;
  readonly #mark: Int32Array;
  readonly #latency: PeakEwma;
  readonly #connect: PeakEwma;
  readonly #inFlight: Int32Array;
  readonly #connecting: Int32Array;
  readonly #open: Int32Array;
  readonly #state: Uint8Array;
  /** What the probe under way was picked for: connecting decides about a connection, the response about a request. */
  readonly #probePurpose: Uint8Array;
  /** Consecutive failures of requests and of connects: a connect that works says nothing about the requests on it. */
  readonly #requestFailures: Int32Array;
  readonly #connectFailures: Int32Array;
  readonly #backoffMs: Float64Array;
  /** In probation: when to probe. Probing: when the probe counts as lost. */
  readonly #probeAt: Float64Array;

  /** Endpoints whose state or estimate may have changed since they were last looked at. */
  readonly recent: Recent;
  /** Dials under way and those that failed lately: the dialer keeps it. */
  readonly dials: Dials;
  readonly #load: EndpointLoad;
  #round = 0;
  #random: number;

  constructor(maxServices: number, maxEndpoints: number, seed: number, load = EndpointLoad.allocate(maxEndpoints)) {
    this.#members = new Array<Int32Array>(maxServices).fill(NO_MEMBERS);
    this.#size = new Int32Array(maxServices);
    this.#ready = new Int32Array(maxServices);
    this.#policy = new Uint8Array(maxServices);
    this.#cursor = new Int32Array(maxServices);
    this.#decayMs = new Float64Array(maxServices).fill(10_000);
    this.#defaultRttUs = new Float64Array(maxServices).fill(30_000);
    this.#penaltyUs = new Float64Array(maxServices);
    this.#breakerFailures = new Int32Array(maxServices).fill(7);
    this.#minBackoffMs = new Float64Array(maxServices).fill(1000);
    this.#maxBackoffMs = new Float64Array(maxServices).fill(60_000);
    this.#nextProbe = new Float64Array(maxServices).fill(Number.POSITIVE_INFINITY);

    this.#owner = new Int32Array(maxEndpoints);
    this.#place = new Int32Array(maxEndpoints);
    this.#mark = new Int32Array(maxEndpoints);
    this.#latency = new PeakEwma(maxEndpoints);
    this.#connect = new PeakEwma(maxEndpoints);
    this.#load = new EndpointLoad(load);
    this.#inFlight = this.#load.inFlight;
    this.#connecting = this.#load.connecting;
    this.#open = this.#load.open;
    this.recent = new Recent(maxEndpoints);
    this.dials = new Dials(maxEndpoints);
    this.#state = new Uint8Array(maxEndpoints);
    this.#probePurpose = new Uint8Array(maxEndpoints);
    this.#requestFailures = new Int32Array(maxEndpoints);
    this.#connectFailures = new Int32Array(maxEndpoints);
    this.#backoffMs = new Float64Array(maxEndpoints);
    this.#probeAt = new Float64Array(maxEndpoints);

    // xorshift must not start at 0.
    this.#random = (Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995) | 0 || 1;
  }

  /**
   * Settings of a service, in ms; endpoints and their history stay. `breakerFailures` 0 turns the breaker off,
   * `penaltyMs` 0 records failures with their own latency.
   */
  configure(
    service: number,
    policy: number,
    decayMs: number,
    defaultRttMs: number,
    penaltyMs: number,
    breakerFailures: number,
    minBackoffMs: number,
    maxBackoffMs: number,
  ): void {
    this.#policy[service] = policy;
    this.#decayMs[service] = Math.max(decayMs, 1);
    this.#defaultRttUs[service] = defaultRttMs * 1000;
    this.#penaltyUs[service] = penaltyMs * 1000;
    this.#breakerFailures[service] = breakerFailures;
    this.#minBackoffMs[service] = minBackoffMs;
    this.#maxBackoffMs[service] = Math.max(minBackoffMs, maxBackoffMs);
  }

  /**
   * Replaces the endpoints of a service. Those that stay keep their history, new ones start ready at the default RTT.
   * A removed one is never picked again, yet what is in flight on it is still counted down. A slot belongs to one
   * service at a time; throws a RangeError otherwise.
   */
  setEndpoints(service: number, endpoints: Int32Array | readonly number[], now: number): void {
    const old = this.#members[service].subarray(0, this.#size[service]);
    const round = ++this.#round;
    const members = new Int32Array(endpoints.length);
    let size = 0;
    for (const endpoint of endpoints) {
      const owner = this.#owner[endpoint];
      if (owner !== service && this.#place[endpoint] !== NOBODY) {
        throw new RangeError(`endpoint slot ${endpoint} belongs to service slot ${owner}`);
      }
      if (this.#mark[endpoint] === round) continue;
      this.#mark[endpoint] = round;
      members[size++] = endpoint;
    }
    for (const endpoint of old) if (this.#mark[endpoint] !== round) this.#place[endpoint] = NOBODY;

    // The ready ones first, in the given order, then the others.
    const sorted = new Int32Array(size);
    let ready = 0;
    let last = size;
    for (let i = 0; i < size; i++) {
      const endpoint = members[i];
      if (this.#place[endpoint] === NOBODY) this.#startOver(service, endpoint, now);
      if (this.#state[endpoint] === READY) {
        sorted[ready++] = endpoint;
        this.#place[endpoint] = ready;
      } else {
        this.#place[endpoint] = last;
        sorted[--last] = endpoint;
      }
    }
    this.#members[service] = sorted;
    this.#size[service] = size;
    this.#ready[service] = ready;
    this.#scheduleProbe(service);
  }

  /** The slot is about to mean another address: clears its history and everything counted on it. */
  reset(endpoint: number): void {
    if (this.#place[endpoint] !== NOBODY) {
      const service = this.#owner[endpoint];
      const last = this.#size[service] - 1;
      this.#makeReady(endpoint);
      this.#swap(service, this.#place[endpoint] - 1, --this.#ready[service]);
      this.#swap(service, this.#place[endpoint] - 1, last);
      this.#size[service] = last;
      this.#place[endpoint] = NOBODY;
    }
    this.#inFlight[endpoint] = 0;
    this.#connecting[endpoint] = 0;
    this.#open[endpoint] = 0;
    this.dials.reset(endpoint);
  }

  /**
   * The endpoint for a request, or -1: none is ready. `exclude` is an endpoint not to return (one that a retry comes
   * from), or -1. An endpoint whose backoff has ended is returned once, as its probe; each pick must be followed by
   * begin and finish or abandon, or by connectFailed.
   */
  pickRequest(service: number, now: number, exclude: number): number {
    return this.#pick(service, now, exclude, FOR_REQUEST);
  }

  /**
   * As pickRequest, for an opaque connection: one whose dials are not in doubt wins, then fewer connections, then the lower connect latency. Each pick must be
   * followed by connecting and connected, connectFailed or connectAbandoned.
   */
  pickConnection(service: number, now: number, exclude: number): number {
    return this.#pick(service, now, exclude, FOR_CONNECTION);
  }

  /** A request goes out to the endpoint. */
  begin(endpoint: number): void {
    this.#inFlight[endpoint]++;
    this.recent.add(endpoint);
  }

  /** The outcome of a request is known. `failed` is the endpoint's fault, not the client's. */
  finish(endpoint: number, now: number, latencyMs: number, failed: boolean): void {
    this.finishUs(endpoint, now, latencyMs * 1000, failed);
  }

  /** As `finish`, with a latency in whole µs and a time in whole ms: nothing of it is allocated. */
  finishUs(endpoint: number, now: number, latencyUs: number, failed: boolean): void {
    if (this.#inFlight[endpoint] > 0) this.#inFlight[endpoint]--;
    if (this.#place[endpoint] === NOBODY) return;
    const service = this.#owner[endpoint];
    const sample = failed && latencyUs < this.#penaltyUs[service] ? this.#penaltyUs[service] : latencyUs;
    this.#latency.sample(endpoint, sample, now, this.#decayMs[service]);
    if (failed) {
      this.#requestFailures[endpoint]++;
      this.#failed(service, endpoint, now);
    } else if (this.#state[endpoint] !== PROBATION) {
      // In probation this is a request from before: the breaker waits for its own probe.
      this.#requestFailures[endpoint] = 0;
      this.#connectFailures[endpoint] = 0;
      if (this.#state[endpoint] === PROBING) this.#readmit(service, endpoint, now);
    }
  }

  /** A request ended without saying anything about the endpoint, e.g. its client went away. */
  abandon(endpoint: number): void {
    if (this.#inFlight[endpoint] > 0) this.#inFlight[endpoint]--;
    if (this.#probePurpose[endpoint] === FOR_REQUEST) this.#returnProbe(endpoint);
  }

  /** A connection to the endpoint is being dialled; connected, connectFailed or connectAbandoned follows. */
  connecting(endpoint: number): void {
    this.#connecting[endpoint]++;
    this.recent.add(endpoint);
  }

  connected(endpoint: number, now: number, latencyMs: number): void {
    if (this.#connecting[endpoint] > 0) this.#connecting[endpoint]--;
    if (this.#place[endpoint] === NOBODY) return;
    const service = this.#owner[endpoint];
    this.#connect.sample(endpoint, latencyMs * 1000, now, this.#decayMs[service]);
    if (this.#state[endpoint] === PROBATION) return;
    this.#connectFailures[endpoint] = 0;
    if (this.#state[endpoint] === PROBING && this.#probePurpose[endpoint] === FOR_CONNECTION) {
      this.#readmit(service, endpoint, now);
    }
  }

  /** Refused, timed out or unreachable: a failure. */
  connectFailed(endpoint: number, now: number): void {
    if (this.#connecting[endpoint] > 0) this.#connecting[endpoint]--;
    if (this.#place[endpoint] === NOBODY) return;
    const service = this.#owner[endpoint];
    const penalty = this.#penaltyUs[service];
    this.#connect.sample(endpoint, penalty, now, this.#decayMs[service]);
    // A request that needed this connection would have failed fast: it must not look like a fast endpoint.
    this.#latency.sample(endpoint, penalty, now, this.#decayMs[service]);
    this.#connectFailures[endpoint]++;
    this.#failed(service, endpoint, now);
  }

  /** Dialling was given up for a reason that is not the endpoint's. */
  connectAbandoned(endpoint: number): void {
    if (this.#connecting[endpoint] > 0) this.#connecting[endpoint]--;
    if (this.#probePurpose[endpoint] === FOR_CONNECTION) this.#returnProbe(endpoint);
  }

  /** An opaque connection to the endpoint is open: load until `closed`. */
  opened(endpoint: number): void {
    this.#open[endpoint]++;
    this.recent.add(endpoint);
  }

  closed(endpoint: number): void {
    if (this.#open[endpoint] > 0) this.#open[endpoint]--;
  }

  /** ENDPOINT_STATE of the endpoint. */
  state(endpoint: number): number {
    return this.#state[endpoint];
  }

  readyCount(service: number): number {
    return this.#ready[service];
  }

  /** Endpoints of the service, ready or not. */
  endpointCount(service: number): number {
    return this.#size[service];
  }

  /** Whether the endpoint is one of a service's; false once it is removed. */
  isMember(endpoint: number): boolean {
    return this.#place[endpoint] !== NOBODY;
  }

  /** The endpoints of a service. A view: it holds until they are replaced. */
  membersOf(service: number): Int32Array {
    return this.#members[service].subarray(0, this.#size[service]);
  }

  /** The service that the endpoint is, or was last, one of. */
  ownerOf(endpoint: number): number {
    return this.#owner[endpoint];
  }

  /** Whether nothing will change on the endpoint until it is used again: it is ready and idle and its estimate is down to 0. */
  isSettled(endpoint: number, now: number): boolean {
    if (this.#place[endpoint] === NOBODY) return true;
    return this.#state[endpoint] === READY && this.isIdle(endpoint) && this.ewma(endpoint, now) === 0;
  }

  /** The latency estimate at `now`, ms. It decays towards 0, so that an endpoint nobody asks is asked again. */
  ewma(endpoint: number, now: number): number {
    return this.#latency.read(endpoint, now, this.#decayMs[this.#owner[endpoint]]) / 1000;
  }

  /** The estimate of the time to connect at `now`, ms. */
  connectEwma(endpoint: number, now: number): number {
    return this.#connect.read(endpoint, now, this.#decayMs[this.#owner[endpoint]]) / 1000;
  }

  inFlight(endpoint: number): number {
    return this.#inFlight[endpoint];
  }

  /** Opaque connections that are open or being dialled. */
  connections(endpoint: number): number {
    return this.#open[endpoint] + this.#connecting[endpoint];
  }

  /** Whether nothing counts on the endpoint any more: a removed one's slot may be used again. */
  isIdle(endpoint: number): boolean {
    return this.#load.isIdle(endpoint);
  }

  #pick(service: number, now: number, exclude: number, purpose: number): number {
    if (now >= this.#nextProbe[service]) {
      const probe = this.#pickProbe(service, now, exclude, purpose);
      if (probe >= 0) return probe;
    }
    const ready = this.#ready[service];
    const members = this.#members[service];
    const skip = this.#readyPosition(service, exclude);
    const choices = skip < ready ? ready - 1 : ready;
    if (choices <= 1) return choices === 1 ? members[skip === 0 ? 1 : 0] : -1;
    if (this.#policy[service] === POLICY.ROUND_ROBIN) return this.#nextInTurn(service, skip, choices);

    const random = this.#draw();
    if (choices <= COMPARE_ALL)
      return purpose === FOR_REQUEST
        ? this.#cheapest(service, now, skip, random)
        : this.#emptiest(service, now, skip, random);
    let first = ((random >>> 16) * choices) >>> 16;
    let second = ((random & 0xffff) * (choices - 1)) >>> 16;
    if (second >= first) second++;
    if (first >= skip) first++;
    if (second >= skip) second++;
    const a = members[first];
    const b = members[second];
    if (purpose === FOR_REQUEST) return this.#cost(a, now) <= this.#cost(b, now) ? a : b;
    return this.#emptier(a, b, now);
  }

  /** Which of two endpoints is to get a connection. */
  #emptier(a: number, b: number, now: number): number {
    const usualA = this.connectEwma(a, now);
    const usualB = this.connectEwma(b, now);
    const doubt = this.dials.doubt(a, now, usualA) - this.dials.doubt(b, now, usualB);
    if (doubt !== 0) return doubt < 0 ? a : b;
    const difference = this.connections(a) - this.connections(b);
    if (difference !== 0) return difference < 0 ? a : b;
    return usualA <= usualB ? a : b;
  }

  /** Which of all ready endpoints is to get a connection; a random one of equals. */
  #emptiest(service: number, now: number, skip: number, random: number): number {
    const members = this.#members[service];
    const ready = this.#ready[service];
    let position = ((random >>> 16) * ready) >>> 16;
    let best = -1;
    for (let i = 0; i < ready; i++) {
      if (position !== skip) best = best < 0 ? members[position] : this.#emptier(best, members[position], now);
      if (++position === ready) position = 0;
    }
    return best;
  }

  /** The ready endpoint with the lowest cost; a random one of equals. */
  #cheapest(service: number, now: number, skip: number, random: number): number {
    const members = this.#members[service];
    const ready = this.#ready[service];
    let position = ((random >>> 16) * ready) >>> 16;
    let best = -1;
    let lowest = Number.POSITIVE_INFINITY;
    for (let i = 0; i < ready; i++) {
      if (position !== skip) {
        const cost = this.#cost(members[position], now);
        if (cost < lowest) {
          lowest = cost;
          best = members[position];
        }
      }
      if (++position === ready) position = 0;
    }
    return best;
  }

  /** Whole µs. */
  #cost(endpoint: number, now: number): number {
    const decayMs = this.#decayMs[this.#owner[endpoint]];
    return this.#latency.read(endpoint, now, decayMs) * (this.#inFlight[endpoint] + 1);
  }

  /** Where `exclude` is among the ready endpoints of the service; past all of them where it is not. */
  #readyPosition(service: number, exclude: number): number {
    if (exclude < 0 || this.#owner[exclude] !== service) return NOT_THERE;
    const place = this.#place[exclude];
    return place !== NOBODY && place <= this.#ready[service] ? place - 1 : NOT_THERE;
  }

  #nextInTurn(service: number, skip: number, choices: number): number {
    let turn = this.#cursor[service];
    if (turn >= this.#ready[service]) turn = 0;
    if (turn === skip) turn = turn === choices ? 0 : turn + 1;
    this.#cursor[service] = turn + 1;
    return this.#members[service][turn];
  }

  #pickProbe(service: number, now: number, exclude: number, purpose: number): number {
    // A retry has failed once: it goes to a probe only where there is nothing else.
    if (exclude >= 0 && this.#ready[service] > 0) return -1;
    const members = this.#members[service];
    for (let i = this.#ready[service]; i < this.#size[service]; i++) {
      const endpoint = members[i];
      if (endpoint === exclude || this.#probeAt[endpoint] > now) continue;
      this.#state[endpoint] = PROBING;
      this.#probePurpose[endpoint] = purpose;
      this.recent.add(endpoint);
      // One at a time; but a probe whose outcome is never told must not keep the endpoint out for ever.
      this.#probeAt[endpoint] = now + this.#maxBackoffMs[service];
      this.#scheduleProbe(service);
      return endpoint;
    }
    return -1;
  }

  #returnProbe(endpoint: number): void {
    if (this.#state[endpoint] !== PROBING || this.#place[endpoint] === NOBODY) return;
    const service = this.#owner[endpoint];
    this.#state[endpoint] = PROBATION;
    this.#probeAt[endpoint] = 0;
    this.#nextProbe[service] = 0;
  }

  #failed(service: number, endpoint: number, now: number): void {
    const limit = this.#breakerFailures[service];
    const state = this.#state[endpoint];
    if (state === READY) {
      if (limit === 0 || this.#requestFailures[endpoint] + this.#connectFailures[endpoint] < limit) return;
      this.#swap(service, this.#place[endpoint] - 1, --this.#ready[service]);
      this.#backoffMs[endpoint] = this.#minBackoffMs[service];
    } else if (state === PROBING) {
      this.#backoffMs[endpoint] = Math.min(this.#backoffMs[endpoint] * 2, this.#maxBackoffMs[service]);
    } else return; // in probation: a request from before, already accounted for
    this.#state[endpoint] = PROBATION;
    this.recent.add(endpoint);
    const jitter = 1 + JITTER * ((this.#draw() >>> 8) / 0x1000000 - 0.5);
    this.#probeAt[endpoint] = now + this.#backoffMs[endpoint] * jitter;
    this.#scheduleProbe(service);
  }

  // The penalties that led to probation would keep an endpoint that works again without work for a minute
  // (5 s decay to 5 ms in 7 decay times): it starts over.
  #readmit(service: number, endpoint: number, now: number): void {
    this.#makeReady(endpoint);
    this.#startOver(service, endpoint, now);
  }

  #makeReady(endpoint: number): void {
    if (this.#state[endpoint] === READY) return;
    const service = this.#owner[endpoint];
    this.#state[endpoint] = READY;
    this.#requestFailures[endpoint] = 0;
    this.#connectFailures[endpoint] = 0;
    this.#swap(service, this.#place[endpoint] - 1, this.#ready[service]++);
    this.#scheduleProbe(service);
  }

  #startOver(service: number, endpoint: number, now: number): void {
    this.#owner[endpoint] = service;
    this.#state[endpoint] = READY;
    this.#requestFailures[endpoint] = 0;
    this.#connectFailures[endpoint] = 0;
    this.#latency.start(endpoint, this.#defaultRttUs[service], now);
    this.#connect.start(endpoint, this.#defaultRttUs[service], now);
  }

  #swap(service: number, from: number, to: number): void {
    const members = this.#members[service];
    const moved = members[from];
    const other = members[to];
    members[to] = moved;
    members[from] = other;
    this.#place[moved] = to + 1;
    this.#place[other] = from + 1;
  }

  #scheduleProbe(service: number): void {
    const members = this.#members[service];
    let earliest = Number.POSITIVE_INFINITY;
    for (let i = this.#ready[service]; i < this.#size[service]; i++) {
      if (this.#probeAt[members[i]] < earliest) earliest = this.#probeAt[members[i]];
    }
    this.#nextProbe[service] = earliest;
  }

  // xorshift32 (Marsaglia 2003).
  #draw(): number {
    let x = this.#random;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#random = x;
    return x;
  }
}
