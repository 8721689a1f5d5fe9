// How long to wait before retrying something that failed.

/** Doubles from `minMs` to `maxMs`; half of each wait is random, so that many who failed together do not return together. */
export class Backoff {
  #failures = 0;

  constructor(
    private readonly minMs: number,
    private readonly maxMs: number,
    private readonly random: () => number,
  ) {}

  /** Ms until the next attempt, after one more failure. */
  next(): number {
    const delayMs = Math.min(this.maxMs, this.minMs * 2 ** Math.min(this.#failures++, 30));
    return delayMs * (0.5 + this.random() / 2);
  }

  succeeded(): void {
    this.#failures = 0;
  }
}
