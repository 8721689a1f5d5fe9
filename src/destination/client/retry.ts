// When to retry after an end: after a random part of a bound that doubles (full jitter), so that a thousand sidecars do not return in step
// after their controller was away.

const MAX_DOUBLINGS = 30;

export class Retry {
  #failures = 0;

  constructor(
    private readonly minMs: number,
    private readonly maxMs: number,
    private readonly random: () => number,
  ) {}

  /** Ms until the next attempt, for something that has lived for `livedMs`. After a long life the waits start short again. */
  next(livedMs: number): number {
    if (livedMs >= this.maxMs) this.#failures = 0;
    const bound = Math.min(this.maxMs, this.minMs * 2 ** Math.min(this.#failures++, MAX_DOUBLINGS));
    return this.random() * bound;
  }
}
