// Chooses among the ready endpoints. Requests: the lowest cost, which is latency times requests in flight. Opaque connections: the fewest
// open. Endpoints that are equally good, as far as can be measured, share the load: the less busy one wins, else a random one.
import { column } from '../http/columns.js';
import type { Dials } from './dials.js';
import type { LatencyDeviation } from './latency-deviation.js';
import type { EndpointLoad } from './load.js';
import type { Members } from './members.js';
import type { PeakEwma } from './peak-ewma.js';
import type { Random } from './random.js';

/**
 * Up to this many endpoints, all are compared instead of two. With two choices of three, a slow endpoint gets a third of the traffic as
 * soon as another one fails: every pair of the two goes to it. With more endpoints two choices spread load just as well and cost less.
 */
const COMPARE_ALL = 4;

/** Estimates of durations, with their precision and rate of decay. */
export interface Estimates {
  readonly peak: PeakEwma;
  readonly deviation: LatencyDeviation;
}

export class Choice {
  readonly #cursor: Int32Array;

  constructor(
    maxServices: number,
    private readonly members: Members,
    private readonly load: EndpointLoad,
    private readonly latency: Estimates,
    private readonly connect: Estimates,
    private readonly dials: Dials,
    private readonly decayMs: Float64Array,
    private readonly random: Random,
  ) {
    this.#cursor = column(Int32Array, maxServices);
  }

  // The ready endpoints except the one at position `skip`: `choices` of them, at least two.

  roundRobin(service: number, skip: number, choices: number): number {
    const { members } = this;
    let turn = this.#cursor[service];
    if (turn >= members.ready[service]) turn = 0;
    if (turn === skip) turn = turn === choices ? 0 : turn + 1;
    this.#cursor[service] = turn + 1;
    return members.lists[service][turn];
  }

  forRequest(service: number, now: number, skip: number, choices: number): number {
    const random = this.random.draw();
    if (choices <= COMPARE_ALL) return this.#best(service, now, skip, random);
    const list = this.members.lists[service];
    const first = firstOf(random, skip, choices);
    const a = list[first];
    const b = list[secondOf(random, first, skip, choices)];
    const { inFlight } = this.load;
    if (this.latency.deviation.overlaps(a, b)) return inFlight[a] <= inFlight[b] ? a : b;
    return this.#cost(service, a, now) <= this.#cost(service, b, now) ? a : b;
  }

  forConnection(service: number, now: number, skip: number, choices: number): number {
    const random = this.random.draw();
    const list = this.members.lists[service];
    if (choices <= COMPARE_ALL) return this.#leastConnectionsOfAll(service, now, skip, random);
    const first = firstOf(random, skip, choices);
    return this.#leastConnections(service, list[first], list[secondOf(random, first, skip, choices)], now);
  }

  /** Which of two endpoints gets a connection; the first if they are equal. */
  #leastConnections(service: number, a: number, b: number, now: number): number {
    const { peak, deviation } = this.connect;
    const { dials, load } = this;
    const decayMs = this.decayMs[service];
    const usualA = peak.read(a, now, decayMs);
    const usualB = peak.read(b, now, decayMs);
    const doubt = dials.doubt(a, now, usualA / 1000) - dials.doubt(b, now, usualB / 1000);
    if (doubt !== 0) return doubt < 0 ? a : b;
    const difference = load.connections(a) - load.connections(b);
    if (difference !== 0) return difference < 0 ? a : b;
    return usualA <= usualB || deviation.overlaps(a, b) ? a : b;
  }

  /** Which of all ready endpoints gets a connection; a random one if several are equal. */
  #leastConnectionsOfAll(service: number, now: number, skip: number, random: number): number {
    const list = this.members.lists[service];
    const ready = this.members.ready[service];
    let position = ((random >>> 16) * ready) >>> 16;
    let best = -1;
    for (let i = 0; i < ready; i++) {
      if (position !== skip)
        best = best < 0 ? list[position] : this.#leastConnections(service, best, list[position], now);
      if (++position === ready) position = 0;
    }
    return best;
  }

  /** Of all: the one with the lowest cost, or, among those equal to it, the one with the least in flight. */
  #best(service: number, now: number, skip: number, random: number): number {
    const list = this.members.lists[service];
    const ready = this.members.ready[service];
    const start = ((random >>> 16) * ready) >>> 16;
    let best = -1;
    let lowest = Number.POSITIVE_INFINITY;
    for (let i = 0; i < ready; i++) {
      if (i === skip) continue;
      const cost = this.#cost(service, list[i], now);
      if (cost >= lowest) continue;
      lowest = cost;
      best = list[i];
    }
    const { deviation } = this.latency;
    const { inFlight } = this.load;
    let chosen = best;
    let least = Number.POSITIVE_INFINITY;
    let position = start;
    for (let i = 0; i < ready; i++) {
      const endpoint = list[position];
      if (position !== skip && inFlight[endpoint] < least && deviation.overlaps(endpoint, best)) {
        least = inFlight[endpoint];
        chosen = endpoint;
      }
      if (++position === ready) position = 0;
    }
    return chosen;
  }

  /** Whole µs. */
  #cost(service: number, endpoint: number, now: number): number {
    return this.latency.peak.read(endpoint, now, this.decayMs[service]) * (this.load.inFlight[endpoint] + 1);
  }
}

// Two different positions from one random number.

function firstOf(random: number, skip: number, choices: number): number {
  const first = ((random >>> 16) * choices) >>> 16;
  return first >= skip ? first + 1 : first;
}

function secondOf(random: number, first: number, skip: number, choices: number): number {
  // Counted without `skip`, like `first`.
  const taken = first > skip ? first - 1 : first;
  let second = ((random & 0xffff) * (choices - 1)) >>> 16;
  if (second >= taken) second++;
  return second >= skip ? second + 1 : second;
}
