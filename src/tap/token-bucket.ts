// A token bucket: limits a rate per second, and counts what exceeds it.

export class TokenBucket {
  /** Refusals since the count was last taken. */
  refused = 0;
  private tokens: number;
  private at = Number.NaN;

  constructor(
    private readonly perSecond: number,
    /** The clock, ms. */
    private readonly clock: { readonly now: number },
  ) {
    this.tokens = perSecond;
  }

  /** Whether one more is allowed now. */
  admits(): boolean {
    const { now } = this.clock;
    if (now > this.at) this.tokens = Math.min(this.perSecond, this.tokens + ((now - this.at) * this.perSecond) / 1000);
    this.at = now;
    if (this.tokens < 1) {
      this.refused++;
      return false;
    }
    this.tokens--;
    return true;
  }

  /** When the next one is allowed, ms of the clock. */
  get next(): number {
    return this.tokens >= 1 ? this.at : this.at + ((1 - this.tokens) * 1000) / this.perSecond;
  }

  takeRefused(): number {
    const { refused } = this;
    this.refused = 0;
    return refused;
  }
}
