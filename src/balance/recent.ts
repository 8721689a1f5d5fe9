// Recently active endpoints. Sampling looks at these rather than at all endpoints.
import { column } from '../http/columns.js';

export class Recent {
  /** Number of entries. Entries move when one is dropped. */
  count = 0;
  readonly #endpoints: Int32Array;
  readonly #isIn: Uint8Array;

  constructor(maxEndpoints: number) {
    this.#endpoints = column(Int32Array, maxEndpoints);
    this.#isIn = column(Uint8Array, maxEndpoints);
  }

  /** Marks the endpoint as active. */
  add(endpoint: number): void {
    if (this.#isIn[endpoint] !== 0) return;
    this.#isIn[endpoint] = 1;
    this.#endpoints[this.count++] = endpoint;
  }

  /** The endpoint at `index`, 0 to `count` - 1. */
  at(index: number): number {
    return this.#endpoints[index];
  }

  /** Drops the entry at `index`; the last one takes its place. */
  drop(index: number): void {
    this.#isIn[this.#endpoints[index]] = 0;
    this.#endpoints[index] = this.#endpoints[--this.count];
  }
}
