// Chooses endpoints, and learns from what becomes of it: choice.ts, or where they have weights weighted-choice.ts, says which of the ready ones, breaker.ts who is ready, signs.ts what
// counts. Struct of arrays, one instance per worker, nothing allocated after configuration; time comes in as an argument, in ms.

import { Breaker, PICKED_FOR, type Watcher } from './breaker.js';
import { Choice } from './choice.js';
import { Dials } from './dials.js';
import { EndpointLoad } from './load.js';
import { Members } from './members.js';
import { PeakEwma } from './peak-ewma.js';
import { Random } from './random.js';
import { Recent } from './recent.js';
import { Scatter } from './scatter.js';
import { isFailure, SIGN } from './signs.js';
import { WeightedChoice } from './weighted-choice.js';
import { Weights } from './weights.js';

export const POLICY = { EWMA: 0, ROUND_ROBIN: 1 } as const;

export class Balancer {
  readonly #members: Members;
  readonly #breaker: Breaker;
  readonly #choice: Choice;
  readonly #weights: Weights;
  readonly #weighted: WeightedChoice;

  // Per service.
  readonly #policy: Uint8Array;
  readonly #decayMs: Float64Array;
  readonly #defaultRttUs: Float64Array;
  readonly #penaltyUs: Float64Array;

  // Per endpoint.
  readonly #latency: { readonly peak: PeakEwma; readonly scatter: Scatter };
  readonly #connect: { readonly peak: PeakEwma; readonly scatter: Scatter };
  readonly #load: EndpointLoad;
  /** Endpoints whose state or estimate may have changed since they were last looked at. */
  readonly recent: Recent;
  /** Dials under way and those that failed lately: the dialer keeps it. */
  readonly dials: Dials;

  constructor(maxServices: number, maxEndpoints: number, seed: number, load = EndpointLoad.allocate(maxEndpoints)) {
    const random = new Random(seed);
    this.#policy = new Uint8Array(maxServices);
    this.#decayMs = new Float64Array(maxServices).fill(10_000);
    this.#defaultRttUs = new Float64Array(maxServices).fill(30_000);
    this.#penaltyUs = new Float64Array(maxServices);
    this.#latency = { peak: new PeakEwma(maxEndpoints), scatter: new Scatter(maxEndpoints) };
    this.#connect = { peak: new PeakEwma(maxEndpoints), scatter: new Scatter(maxEndpoints) };
    this.#load = new EndpointLoad(load);
    this.recent = new Recent(maxEndpoints);
    this.dials = new Dials(maxEndpoints);
    this.#members = new Members(maxServices, maxEndpoints);
    this.#breaker = new Breaker(maxServices, maxEndpoints, this.#members, random, this.recent);
    this.#choice = new Choice(
      maxServices,
      this.#members,
      this.#load,
      this.#latency,
      this.#connect,
      this.dials,
      this.#decayMs,
      random,
    );
    this.#weights = new Weights(maxServices, maxEndpoints);
    this.#weighted = new WeightedChoice(
      this.#members,
      this.#weights,
      this.#load,
      this.#latency,
      this.#connect,
      this.dials,
      this.#decayMs,
      random,
    );
  }

  /** Tells `watcher` of endpoints that are taken out and come back. */
  watch(watcher: Watcher): void {
    this.#breaker.watcher = watcher;
  }

  /**
   * Settings of a service, in ms; endpoints and their history stay. `breakerFailures` 0 turns the breaker off,
   * `penaltyMs` 0 records failures with their own latency, `dialIntervalMs` 0 lets endpoints that are out be dialled at any time.
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
    dialIntervalMs: number,
  ): void {
    this.#policy[service] = policy;
    this.#decayMs[service] = Math.max(decayMs, 1);
    this.#defaultRttUs[service] = defaultRttMs * 1000;
    this.#penaltyUs[service] = penaltyMs * 1000;
    this.#breaker.configure(service, breakerFailures, minBackoffMs, maxBackoffMs, dialIntervalMs);
  }

  /**
   * Replaces the endpoints of a service. Those that stay keep their history, new ones start ready at the default RTT.
   * A removed one is never picked again, yet what is in flight on it is still counted down. A slot belongs to one
   * service at a time; throws a RangeError otherwise. `weights` are their shares of the traffic, above 0; null: all have the same.
   */
  setEndpoints(
    service: number,
    endpoints: Int32Array | readonly number[],
    now: number,
    weights: readonly number[] | null = null,
  ): void {
    this.#members.replace(
      service,
      endpoints,
      (endpoint) => {
        this.#breaker.startOver(endpoint);
        this.#startOver(service, endpoint, now);
      },
      (endpoint) => this.#breaker.isReady(endpoint),
    );
    this.#weights.set(service, endpoints, weights);
    this.#breaker.schedule(service);
  }

  /** The slot is about to mean another address: clears its history and everything counted on it. */
  reset(endpoint: number): void {
    if (this.#members.has(endpoint)) {
      if (!this.#breaker.isReady(endpoint)) this.#members.bringBack(endpoint);
      this.#members.remove(endpoint);
      this.#breaker.schedule(this.#members.owner[endpoint]);
    }
    this.#breaker.startOver(endpoint);
    this.#load.clear(endpoint);
    this.dials.reset(endpoint);
  }

  /**
   * The endpoint for a request, or -1: there is none. `exclude` is an endpoint not to return (one that a retry comes from), or -1.
   * Where none is ready it is one that is out. Each pick must be followed by `begin`, and by `abandon` or `ended`.
   */
  pickRequest(service: number, now: number, exclude: number): number {
    return this.#pick(service, now, exclude, PICKED_FOR.REQUEST);
  }

  /**
   * As pickRequest, for an opaque connection: one whose dials are not in doubt wins, then fewer connections, then the lower connect latency.
   * Each pick must be followed by connecting and connected, connectFailed or connectAbandoned.
   */
  pickConnection(service: number, now: number, exclude: number): number {
    return this.#pick(service, now, exclude, PICKED_FOR.CONNECTION);
  }

  /** Whether the endpoint may be dialled now. */
  mayDial(endpoint: number, now: number): boolean {
    return this.#breaker.mayDial(endpoint, now, this.dials.underWay[endpoint]);
  }

  /** A request goes out to the endpoint. Returns its `stay`, which what is said of the request later has to bring along. */
  begin(endpoint: number): number {
    this.#load.inFlight[endpoint]++;
    this.recent.add(endpoint);
    return this.#breaker.stay[endpoint];
  }

  /** The head of a request's response has come after `latencyUs`, or it has failed after that. Whole µs, whole ms: nothing is allocated. */
  heard(endpoint: number, now: number, latencyUs: number, sign: number, stay: number): void {
    if (!this.#members.has(endpoint)) return;
    const service = this.#members.owner[endpoint];
    if (isFailure(sign)) this.#penalize(this.#latency, service, endpoint, now, latencyUs);
    else {
      this.#latency.peak.sample(endpoint, latencyUs, now, this.#decayMs[service]);
      this.#latency.scatter.sample(endpoint, latencyUs);
    }
    this.judge(endpoint, now, sign, stay);
  }

  /** A request has shown how the endpoint is. */
  judge(endpoint: number, now: number, sign: number, stay: number): void {
    if (sign === SIGN.NONE || !this.#members.has(endpoint)) return;
    if (isFailure(sign)) this.#breaker.failed(endpoint, now, sign, stay);
    // The penalties that led to probation would keep an endpoint that works again without work for a minute
    // (5 s decay to 5 ms in 7 decay times): it starts over.
    else if (this.#breaker.worked(endpoint, stay)) this.#startOver(this.#members.owner[endpoint], endpoint, now);
  }

  /** The endpoint has failed in a way that `sign` says, and no latency is to be told. */
  failed(endpoint: number, now: number, sign: number, stay: number): void {
    if (!this.#members.has(endpoint)) return;
    this.#penalize(this.#latency, this.#members.owner[endpoint], endpoint, now, 0);
    this.judge(endpoint, now, sign, stay);
  }

  /** The request is over; what it has shown has been told. */
  ended(endpoint: number): void {
    if (this.#load.inFlight[endpoint] > 0) this.#load.inFlight[endpoint]--;
  }

  /** A request ended without saying anything about the endpoint, e.g. its client went away. */
  abandon(endpoint: number, stay: number): void {
    this.ended(endpoint);
    if (this.#breaker.stay[endpoint] === stay) this.#breaker.giveBack(endpoint, PICKED_FOR.REQUEST);
  }

  /** A connection to the endpoint is being dialled; connected, connectFailed or connectAbandoned follows. */
  connecting(endpoint: number): void {
    this.#load.connecting[endpoint]++;
    this.recent.add(endpoint);
  }

  /** `decides`: nothing else is to be expected of the connection, as it is opaque. */
  connected(endpoint: number, now: number, latencyUs: number, decides: boolean): void {
    if (this.#load.connecting[endpoint] > 0) this.#load.connecting[endpoint]--;
    if (!this.#members.has(endpoint)) return;
    const service = this.#members.owner[endpoint];
    this.#connect.peak.sample(endpoint, latencyUs, now, this.#decayMs[service]);
    this.#connect.scatter.sample(endpoint, latencyUs);
    if (this.#breaker.connected(endpoint, decides)) this.#startOver(service, endpoint, now);
  }

  /** Refused, timed out or unreachable: a failure, of which `sign` is the kind. */
  connectFailed(endpoint: number, now: number, sign: number): void {
    if (this.#load.connecting[endpoint] > 0) this.#load.connecting[endpoint]--;
    if (!this.#members.has(endpoint)) return;
    const service = this.#members.owner[endpoint];
    this.#penalize(this.#connect, service, endpoint, now, 0);
    // A request that needed this connection would have failed fast: it must not look like a fast endpoint.
    this.#penalize(this.#latency, service, endpoint, now, 0);
    this.#breaker.connectFailed(endpoint, now, sign);
  }

  /** Dialling was given up for a reason that is not the endpoint's. */
  connectAbandoned(endpoint: number): void {
    if (this.#load.connecting[endpoint] > 0) this.#load.connecting[endpoint]--;
    this.#breaker.giveBack(endpoint, PICKED_FOR.CONNECTION);
  }

  /** An opaque connection to the endpoint is open: load until `closed`. */
  opened(endpoint: number): void {
    this.#load.open[endpoint]++;
    this.recent.add(endpoint);
  }

  closed(endpoint: number): void {
    if (this.#load.open[endpoint] > 0) this.#load.open[endpoint]--;
  }

  /** ENDPOINT_STATE of the endpoint. */
  state(endpoint: number): number {
    return this.#breaker.state[endpoint];
  }

  /** SIGN of the endpoint's last failure; NONE if there was none. */
  lastFailure(endpoint: number): number {
    return this.#breaker.lastFailure[endpoint];
  }

  readyCount(service: number): number {
    return this.#members.ready[service];
  }

  /** Endpoints of the service, ready or not. */
  endpointCount(service: number): number {
    return this.#members.size[service];
  }

  /** Whether the endpoint is one of a service's; false once it is removed. */
  isMember(endpoint: number): boolean {
    return this.#members.has(endpoint);
  }

  /** The endpoints of a service. A view: it holds until they are replaced. */
  membersOf(service: number): Int32Array {
    return this.#members.of(service);
  }

  /** The service that the endpoint is, or was last, one of. */
  ownerOf(endpoint: number): number {
    return this.#members.owner[endpoint];
  }

  /** Whether nothing will change on the endpoint until it is used again: it is ready and idle and its estimate is down to 0. */
  isSettled(endpoint: number, now: number): boolean {
    if (!this.#members.has(endpoint)) return true;
    return this.#breaker.isReady(endpoint) && this.isIdle(endpoint) && this.ewma(endpoint, now) === 0;
  }

  /** The latency estimate at `now`, ms. It decays towards 0, so that an endpoint nobody asks is asked again. */
  ewma(endpoint: number, now: number): number {
    return this.#latency.peak.read(endpoint, now, this.#decayMs[this.#members.owner[endpoint]]) / 1000;
  }

  /** The estimate of the time to connect at `now`, ms. */
  connectEwma(endpoint: number, now: number): number {
    return this.#connect.peak.read(endpoint, now, this.#decayMs[this.#members.owner[endpoint]]) / 1000;
  }

  inFlight(endpoint: number): number {
    return this.#load.inFlight[endpoint];
  }

  /** Opaque connections that are open or being dialled. */
  connections(endpoint: number): number {
    return this.#load.connections(endpoint);
  }

  /** Whether nothing counts on the endpoint any more: a removed one's slot may be used again. */
  isIdle(endpoint: number): boolean {
    return this.#load.isIdle(endpoint);
  }

  #pick(service: number, now: number, exclude: number, purpose: number): number {
    const members = this.#members;
    const breaker = this.#breaker;
    if (breaker.isDue(service, now)) {
      const probe = breaker.pickProbe(service, now, exclude, purpose);
      if (probe >= 0) return probe;
    }
    const ready = members.ready[service];
    const skip = members.readyPosition(service, exclude);
    const choices = skip < ready ? ready - 1 : ready;
    if (choices === 0) return breaker.pickAnyway(service, exclude);
    if (choices === 1) return members.lists[service][skip === 0 ? 1 : 0];
    if (this.#weights.uneven[service] === 1) return this.#pickWeighted(service, now, skip, choices, purpose);
    if (this.#policy[service] === POLICY.ROUND_ROBIN) return this.#choice.inTurn(service, skip, choices);
    return purpose === PICKED_FOR.REQUEST
      ? this.#choice.forRequest(service, now, skip, choices)
      : this.#choice.forConnection(service, now, skip, choices);
  }

  #pickWeighted(service: number, now: number, skip: number, choices: number, purpose: number): number {
    if (this.#policy[service] === POLICY.ROUND_ROBIN) return this.#weighted.inTurn(service, skip);
    return purpose === PICKED_FOR.REQUEST
      ? this.#weighted.forRequest(service, now, skip, choices)
      : this.#weighted.forConnection(service, now, skip, choices);
  }

  /** Records a failure as if it had taken the penalty, so that an endpoint that fails fast does not look fast. */
  #penalize(
    { peak, scatter }: { readonly peak: PeakEwma; readonly scatter: Scatter },
    service: number,
    endpoint: number,
    now: number,
    latencyUs: number,
  ): void {
    const sample = Math.max(latencyUs, this.#penaltyUs[service]);
    peak.sample(endpoint, sample, now, this.#decayMs[service]);
    if (sample > 0) scatter.fix(endpoint, sample);
  }

  #startOver(service: number, endpoint: number, now: number): void {
    const rtt = this.#defaultRttUs[service];
    this.#latency.peak.start(endpoint, rtt, now);
    this.#latency.scatter.start(endpoint, rtt);
    this.#connect.peak.start(endpoint, rtt, now);
    this.#connect.scatter.start(endpoint, rtt);
  }
}
