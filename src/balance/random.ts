// xorshift32 (Marsaglia 2003): random enough for choices, reproducible, and free of allocation.

export class Random {
  #state: number;

  constructor(seed: number) {
    // It must not start at 0.
    this.#state = (Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995) | 0 || 1;
  }

  /** 32 bits. */
  draw(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return x;
  }
}
