// The share of its service's traffic that each endpoint should have, if they differ.
import { column } from '../http/columns.js';

export class Weights {
  /** By service: 1 if its endpoints have different weights. Only then are the other columns valid. */
  readonly uneven: Uint8Array;
  /** By service: the largest weight, and the sum. */
  readonly max: Float64Array;
  readonly total: Float64Array;
  /** By endpoint. */
  readonly of: Float64Array;

  constructor(maxServices: number, maxEndpoints: number) {
    this.uneven = column(Uint8Array, maxServices);
    this.max = column(Float64Array, maxServices);
    this.total = column(Float64Array, maxServices);
    this.of = column(Float64Array, maxEndpoints);
  }

  /** `weights`: those of `endpoints`, above 0; null: all equal. */
  set(service: number, endpoints: Int32Array | readonly number[], weights: readonly number[] | null): void {
    const even = weights === null || weights.every((weight) => weight === weights[0]);
    this.uneven[service] = even ? 0 : 1;
    if (even) return;
    this.max[service] = weights.reduce((most, weight) => Math.max(most, weight), 0);
    this.total[service] = weights.reduce((sum, weight) => sum + weight, 0);
    for (let i = 0; i < endpoints.length; i++) this.of[endpoints[i]] = weights[i];
  }
}
