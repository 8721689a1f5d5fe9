// When something that has ended is tried again: after a random part of a bound that doubles (full jitter), so that a thousand sidecars whose
// controller was away do not come back in step.

const MAX_DOUBLINGS = 30;

export class Retry {
  #failures = 0;

  constructor(
    private readonly minMs: number,
    private readonly maxMs: number,
    private readonly random: () => number,
  ) {}

  /** Ms until the next try of what has lived for `livedMs`. Who lived for long begins with short waits again. */
  next(livedMs: number): number {
    if (livedMs >= this.maxMs) this.#failures = 0;
    const bound = Math.min(this.maxMs, this.minMs * 2 ** Math.min(this.#failures++, MAX_DOUBLINGS));
    return this.random() * bound;
  }
}
