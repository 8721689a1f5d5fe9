// Chooses endpoints and learns from the outcomes. choice.ts, or weighted-choice.ts if there are weights, picks among the ready endpoints;
// breaker.ts decides which are ready, health-signals.ts what counts as a signal. Struct of arrays, one instance per worker, no allocation
// after configuration; time is passed in, in ms.

import { column } from '../http/columns.js';
import { Breaker, type BreakerEvents, PICKED_FOR } from './breaker.js';
import { Choice } from './choice.js';
import { Dials } from './dials.js';
import { HEALTH_SIGNAL, isFailure } from './health-signals.js';
import { LatencyDeviation } from './latency-deviation.js';
import { EndpointLoad } from './load.js';
import { Members } from './members.js';
import { PeakEwma } from './peak-ewma.js';
import { Random } from './random.js';
import { Recent } from './recent.js';
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
  readonly #latency: { readonly peak: PeakEwma; readonly deviation: LatencyDeviation };
  readonly #connect: { readonly peak: PeakEwma; readonly deviation: LatencyDeviation };
  readonly #load: EndpointLoad;
  /** Endpoints whose state or estimate may have changed since the last sample. */
  readonly recent: Recent;
  /** Dials in progress and recent failures; maintained by the dialer. */
  readonly dials: Dials;

  constructor(maxServices: number, maxEndpoints: number, seed: number, load = EndpointLoad.allocate(maxEndpoints)) {
    const random = new Random(seed);
    this.#policy = column(Uint8Array, maxServices);
    this.#decayMs = column(Float64Array, maxServices);
    this.#defaultRttUs = column(Float64Array, maxServices);
    this.#penaltyUs = column(Float64Array, maxServices);
    this.#latency = { peak: new PeakEwma(maxEndpoints), deviation: new LatencyDeviation(maxEndpoints) };
    this.#connect = { peak: new PeakEwma(maxEndpoints), deviation: new LatencyDeviation(maxEndpoints) };
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

  /** Tells `events` of endpoints that are taken out or come back. */
  listen(events: BreakerEvents): void {
    this.#breaker.events = events;
  }

  /**
   * Sets a service's settings, in ms; endpoints and their history stay. `breakerFailures` 0 turns the breaker off, `penaltyMs` 0 records
   * failures with their own latency, `dialIntervalMs` 0 allows dialling endpoints that are out at any time.
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
   * Replaces the endpoints of a service. Remaining ones keep their history; new ones start ready at the default RTT. A removed one is never
   * picked again, but what is in flight on it is still counted down. A slot belongs to one service at a time; otherwise throws a
   * RangeError. `weights`: shares of the traffic, above 0; null: all equal.
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
        this.#breaker.reset(endpoint);
        this.#resetEstimates(service, endpoint, now);
      },
      (endpoint) => this.#breaker.isReady(endpoint),
    );
    this.#weights.set(service, endpoints, weights);
    this.#breaker.schedule(service);
  }

  /** The slot is about to be reused for another address: clears its history and counts. */
  reset(endpoint: number): void {
    if (this.#members.has(endpoint)) {
      if (!this.#breaker.isReady(endpoint)) this.#members.readmit(endpoint);
      this.#members.remove(endpoint);
      this.#breaker.schedule(this.#members.owner[endpoint]);
    }
    this.#breaker.reset(endpoint);
    this.#load.clear(endpoint);
    this.dials.reset(endpoint);
  }

  /**
   * The endpoint for a request, or -1 if there is none. `exclude`: an endpoint not to return (the one that a retry comes from), or -1. If
   * none is ready, it returns one that is out. Each pick must be followed by `begin`, and by `abandon` or `ended`.
   */
  pickRequest(service: number, now: number, exclude: number): number {
    return this.#pick(service, now, exclude, PICKED_FOR.REQUEST);
  }

  /**
   * Like pickRequest, for an opaque connection. An endpoint whose dials are not in doubt wins, then the one with fewer connections, then
   * the one with the lower connect latency. Each pick must be followed by connecting and connected, connectFailed or connectAbandoned.
   */
  pickConnection(service: number, now: number, exclude: number): number {
    return this.#pick(service, now, exclude, PICKED_FOR.CONNECTION);
  }

  /** Whether the endpoint may be dialled now. */
  mayDial(endpoint: number, now: number): boolean {
    return this.#breaker.mayDial(endpoint, now, this.dials.inProgress[endpoint]);
  }

  /** A request is sent to the endpoint. Returns its `ejections`, which later reports about the request must include. */
  begin(endpoint: number): number {
    this.#load.inFlight[endpoint]++;
    this.recent.add(endpoint);
    return this.#breaker.ejections[endpoint];
  }

  /**
   * The head of a request's response arrived after `latencyUs`, or the request failed after that. Whole µs, whole ms, so that nothing is
   * allocated.
   */
  responded(endpoint: number, now: number, latencyUs: number, signal: number, ejections: number): void {
    if (!this.#members.has(endpoint)) return;
    const service = this.#members.owner[endpoint];
    if (isFailure(signal)) this.#penalize(this.#latency, service, endpoint, now, latencyUs);
    else {
      this.#latency.peak.sample(endpoint, latencyUs, now, this.#decayMs[service]);
      this.#latency.deviation.sample(endpoint, latencyUs);
    }
    this.recordSignal(endpoint, now, signal, ejections);
  }

  /** A request has given a signal of the endpoint's health. */
  recordSignal(endpoint: number, now: number, signal: number, ejections: number): void {
    if (signal === HEALTH_SIGNAL.NONE || !this.#members.has(endpoint)) return;
    if (isFailure(signal)) this.#breaker.failed(endpoint, now, signal, ejections);
    // The penalties that led to probation would keep a recovered endpoint idle for a minute (5 s decay to 5 ms in 7 decay times): it starts
    // over.
    else if (this.#breaker.succeeded(endpoint, ejections))
      this.#resetEstimates(this.#members.owner[endpoint], endpoint, now);
  }

  /** The endpoint has failed in the way of `signal`, without a latency. */
  failed(endpoint: number, now: number, signal: number, ejections: number): void {
    if (!this.#members.has(endpoint)) return;
    this.#penalize(this.#latency, this.#members.owner[endpoint], endpoint, now, 0);
    this.recordSignal(endpoint, now, signal, ejections);
  }

  /** The request is over; its signal has been reported. */
  ended(endpoint: number): void {
    if (this.#load.inFlight[endpoint] > 0) this.#load.inFlight[endpoint]--;
  }

  /** A request ended without a signal, for example because its client left. */
  abandon(endpoint: number, ejections: number): void {
    this.ended(endpoint);
    if (this.#breaker.ejections[endpoint] === ejections) this.#breaker.abandonProbe(endpoint, PICKED_FOR.REQUEST);
  }

  /** A connection to the endpoint is being dialled; connected, connectFailed or connectAbandoned follows. */
  connecting(endpoint: number): void {
    this.#load.connecting[endpoint]++;
    this.recent.add(endpoint);
  }

  /** `decides`: the connection gives no further signal, because it is opaque. */
  connected(endpoint: number, now: number, latencyUs: number, decides: boolean): void {
    if (this.#load.connecting[endpoint] > 0) this.#load.connecting[endpoint]--;
    if (!this.#members.has(endpoint)) return;
    const service = this.#members.owner[endpoint];
    this.#connect.peak.sample(endpoint, latencyUs, now, this.#decayMs[service]);
    this.#connect.deviation.sample(endpoint, latencyUs);
    if (this.#breaker.connected(endpoint, decides)) this.#resetEstimates(service, endpoint, now);
  }

  /** Refused, timed out or unreachable: a failure of the kind `signal`. */
  connectFailed(endpoint: number, now: number, signal: number): void {
    if (this.#load.connecting[endpoint] > 0) this.#load.connecting[endpoint]--;
    if (!this.#members.has(endpoint)) return;
    const service = this.#members.owner[endpoint];
    this.#penalize(this.#connect, service, endpoint, now, 0);
    // A request waiting for this connection would have failed fast: that must not look like a fast endpoint.
    this.#penalize(this.#latency, service, endpoint, now, 0);
    this.#breaker.connectFailed(endpoint, now, signal);
  }

  /** The dial was abandoned for a reason that is not the endpoint's. */
  connectAbandoned(endpoint: number): void {
    if (this.#load.connecting[endpoint] > 0) this.#load.connecting[endpoint]--;
    this.#breaker.abandonProbe(endpoint, PICKED_FOR.CONNECTION);
  }

  /** An opaque connection to the endpoint is open: it counts as load until `closed`. */
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

  /** HEALTH_SIGNAL of the endpoint's last failure; NONE if there was none. */
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

  /** Whether the endpoint belongs to a service; false once it is removed. */
  isMember(endpoint: number): boolean {
    return this.#members.has(endpoint);
  }

  /** The endpoints of a service. A view, valid until they are replaced. */
  membersOf(service: number): Int32Array {
    return this.#members.of(service);
  }

  /** The service that the endpoint belongs to, or last belonged to. */
  ownerOf(endpoint: number): number {
    return this.#members.owner[endpoint];
  }

  /** Whether nothing will change on the endpoint until it is used again: it is ready and idle, and its estimate has decayed to 0. */
  isSettled(endpoint: number, now: number): boolean {
    if (!this.#members.has(endpoint)) return true;
    return this.#breaker.isReady(endpoint) && this.isIdle(endpoint) && this.ewma(endpoint, now) === 0;
  }

  /** The latency estimate at `now`, ms. It decays towards 0, so that an unused endpoint is tried again. */
  ewma(endpoint: number, now: number): number {
    return this.#latency.peak.read(endpoint, now, this.#decayMs[this.#members.owner[endpoint]]) / 1000;
  }

  /** The estimate of the connect time at `now`, ms. */
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

  /** Whether nothing is counted on the endpoint any more, so that a removed one's slot may be reused. */
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
    if (choices === 0) return breaker.pickPanic(service, exclude);
    if (choices === 1) return members.lists[service][skip === 0 ? 1 : 0];
    if (this.#weights.uneven[service] === 1) return this.#pickWeighted(service, now, skip, choices, purpose);
    if (this.#policy[service] === POLICY.ROUND_ROBIN) return this.#choice.roundRobin(service, skip, choices);
    return purpose === PICKED_FOR.REQUEST
      ? this.#choice.forRequest(service, now, skip, choices)
      : this.#choice.forConnection(service, now, skip, choices);
  }

  #pickWeighted(service: number, now: number, skip: number, choices: number, purpose: number): number {
    if (this.#policy[service] === POLICY.ROUND_ROBIN) return this.#weighted.roundRobin(service, skip);
    return purpose === PICKED_FOR.REQUEST
      ? this.#weighted.forRequest(service, now, skip, choices)
      : this.#weighted.forConnection(service, now, skip, choices);
  }

  /** Records a failure as if it had taken the penalty, so that an endpoint that fails fast does not look fast. */
  #penalize(
    { peak, deviation }: { readonly peak: PeakEwma; readonly deviation: LatencyDeviation },
    service: number,
    endpoint: number,
    now: number,
    latencyUs: number,
  ): void {
    const sample = Math.max(latencyUs, this.#penaltyUs[service]);
    peak.sample(endpoint, sample, now, this.#decayMs[service]);
    if (sample > 0) deviation.set(endpoint, sample);
  }

  #resetEstimates(service: number, endpoint: number, now: number): void {
    const rtt = this.#defaultRttUs[service];
    this.#latency.peak.start(endpoint, rtt, now);
    this.#latency.deviation.start(endpoint, rtt);
    this.#connect.peak.start(endpoint, rtt, now);
    this.#connect.deviation.start(endpoint, rtt);
  }
}
