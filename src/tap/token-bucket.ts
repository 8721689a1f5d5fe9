// So many a second at most, and what is beyond that is counted.

export class TokenBucket {
  /** How many were refused since somebody asked last. */
  refused = 0;
  private tokens: number;
  private at = Number.NaN;

  constructor(
    private readonly perSecond: number,
    /** Tells the time, ms. */
    private readonly clock: { readonly now: number },
  ) {
    this.tokens = perSecond;
  }

  /** Whether there may be one more now. */
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

  /** When there may be another one, ms of the clock. */
  get next(): number {
    return this.tokens >= 1 ? this.at : this.at + ((1 - this.tokens) * 1000) / this.perSecond;
  }

  takeRefused(): number {
    const { refused } = this;
    this.refused = 0;
    return refused;
  }
}
