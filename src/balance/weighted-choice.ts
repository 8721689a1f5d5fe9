// Chooses among the ready endpoints when they have different weights. Like choice.ts with shares in place of equality: two are drawn by
// their weights, and the one with less to do relative to its weight is taken. Slow or doubtful endpoints are left out as they are without
// weights.
import type { Estimates } from './choice.js';
import type { Dials } from './dials.js';
import type { EndpointLoad } from './load.js';
import type { Members } from './members.js';
import type { Random } from './random.js';
import type { Weights } from './weights.js';

/** Up to this many endpoints are all compared, as without weights. */
const COMPARE_ALL = 4;
/** Maximum number of draws rejected because of the weight drawn; then the next one counts. */
const MAX_DRAWS = 64;
const UNIT = 2 ** -32;

export class WeightedChoice {
  /** For few endpoints, by position: the weight of each candidate, else 0. */
  readonly #shares = new Float64Array(COMPARE_ALL + 1);

  constructor(
    private readonly members: Members,
    private readonly weights: Weights,
    private readonly load: EndpointLoad,
    private readonly latency: Estimates,
    private readonly connect: Estimates,
    private readonly dials: Dials,
    private readonly decayMs: Float64Array,
    private readonly random: Random,
  ) {}

  // The ready endpoints except the one at position `skip`: `choices` of them, at least two.

  /** In no order: turns of different lengths have none. */
  roundRobin(service: number, skip: number): number {
    return this.#draw(service, skip, -1);
  }

  forRequest(service: number, now: number, skip: number, choices: number): number {
    const { inFlight } = this.load;
    if (choices <= COMPARE_ALL) {
      this.#admitFast(service, now, skip);
      const a = this.#drawAdmitted(service);
      const b = this.#drawAdmitted(service);
      return this.#isLess(a, inFlight[a], b, inFlight[b]) ? a : b;
    }
    const a = this.#draw(service, skip, -1);
    const b = this.#draw(service, skip, a);
    if (!this.latency.deviation.overlaps(a, b)) return this.#isSlower(service, a, b, now) ? b : a;
    return this.#isDrawnTwice(service, a) || this.#isLess(a, inFlight[a], b, inFlight[b]) ? a : b;
  }

  forConnection(service: number, now: number, skip: number, choices: number): number {
    const { load } = this;
    if (choices <= COMPARE_ALL) {
      this.#admitSure(service, now, skip);
      const a = this.#drawAdmitted(service);
      const b = this.#drawAdmitted(service);
      return this.#isLess(a, load.connections(a), b, load.connections(b)) ? a : b;
    }
    const a = this.#draw(service, skip, -1);
    const b = this.#draw(service, skip, a);
    const doubt = this.#doubt(service, a, now) - this.#doubt(service, b, now);
    if (doubt !== 0) return doubt < 0 ? a : b;
    return this.#isDrawnTwice(service, a) || this.#isLess(a, load.connections(a), b, load.connections(b)) ? a : b;
  }

  /**
   * Whether `a`, drawn first, goes before `b`: unless it has more to do relative to its weight, both now and once one of them has been
   * taken. In between they are even, and the draw decides, so that the shares are right even under little load.
   */
  #isLess(a: number, loadA: number, b: number, loadB: number): boolean {
    const { of } = this.weights;
    return loadA * of[b] <= loadB * of[a] || (loadA + 1) * of[b] <= (loadB + 1) * of[a];
  }

  /** Whether a second draw, among all, would be `a` again. */
  #isDrawnTwice(service: number, a: number): boolean {
    const { of, total } = this.weights;
    return (this.random.draw() >>> 0) * UNIT * total[service] < of[a];
  }

  /** Draws a ready endpoint that is neither at `skip` nor `other`, by weight. */
  #draw(service: number, skip: number, other: number): number {
    const list = this.members.lists[service];
    const ready = this.members.ready[service];
    const { of, max } = this.weights;
    let position = 0;
    for (let draws = 0; draws < MAX_DRAWS; draws++) {
      const random = this.random.draw();
      position = ((random >>> 16) * ready) >>> 16;
      if (position === skip || list[position] === other) continue;
      if ((random & 0xffff) * max[service] < of[list[position]] * 0x10000) return list[position];
    }
    while (position === skip || list[position] === other) position = position + 1 === ready ? 0 : position + 1;
    return list[position];
  }

  /** Draws one of those admitted, by weight. */
  #drawAdmitted(service: number): number {
    const list = this.members.lists[service];
    const ready = this.members.ready[service];
    let total = 0;
    for (let i = 0; i < ready; i++) total += this.#shares[i];
    let left = (this.random.draw() >>> 0) * UNIT * total;
    let chosen = -1;
    for (let i = 0; i < ready && left >= 0; i++) {
      if (this.#shares[i] === 0) continue;
      chosen = list[i];
      left -= this.#shares[i];
    }
    return chosen;
  }

  /** Admits the one with the lowest cost, and those that are equally fast. */
  #admitFast(service: number, now: number, skip: number): void {
    const list = this.members.lists[service];
    const ready = this.members.ready[service];
    let best = -1;
    for (let i = 0; i < ready; i++)
      if (i !== skip && (best < 0 || this.#isSlower(service, best, list[i], now))) best = list[i];
    const { of } = this.weights;
    const { deviation } = this.latency;
    for (let i = 0; i < ready; i++)
      this.#shares[i] = i !== skip && (list[i] === best || deviation.overlaps(list[i], best)) ? of[list[i]] : 0;
  }

  /** Admits those whose dials are not in doubt, or all if all are in doubt. */
  #admitSure(service: number, now: number, skip: number): void {
    const list = this.members.lists[service];
    const ready = this.members.ready[service];
    let least = 1;
    for (let i = 0; i < ready; i++) if (i !== skip && this.#doubt(service, list[i], now) === 0) least = 0;
    const { of } = this.weights;
    for (let i = 0; i < ready; i++)
      this.#shares[i] = i !== skip && this.#doubt(service, list[i], now) <= least ? of[list[i]] : 0;
  }

  #doubt(service: number, endpoint: number, now: number): number {
    return this.dials.doubt(endpoint, now, this.connect.peak.read(endpoint, now, this.decayMs[service]) / 1000);
  }

  /** Load in flight counts less with a larger weight. */
  #isSlower(service: number, a: number, b: number, now: number): boolean {
    const { peak } = this.latency;
    const { inFlight } = this.load;
    const { of, max } = this.weights;
    const decayMs = this.decayMs[service];
    const costA = peak.read(a, now, decayMs) * (1 + (inFlight[a] * max[service]) / of[a]);
    const costB = peak.read(b, now, decayMs) * (1 + (inFlight[b] * max[service]) / of[b]);
    return costA > costB;
  }
}
