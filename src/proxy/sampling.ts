// When a worker checks what no event reports: gauges, time limits, memory to release. Frequent while there is activity; at growing
// intervals without, because each sample wakes an idle process.

/** Interval under activity, ms. */
export const SAMPLE_MS = 250;
/** Longest interval, ms: eight idle workers together wake up once a second. */
const LONGEST_MS = 8000;

export class Sampling {
  /** When the next sample is due, ms. */
  at = Number.POSITIVE_INFINITY;
  private pause = SAMPLE_MS;
  private resting = false;
  private seen = 0;

  start(now: number): void {
    this.at = now + SAMPLE_MS;
  }

  stop(): void {
    this.at = Number.POSITIVE_INFINITY;
    this.resting = false;
  }

  /** Whether a sample is due. Called once per turn; `events` is the total number of events so far. */
  due(now: number, events: number): boolean {
    if (this.resting && events !== this.seen) {
      // Activity after a rest is sampled at once.
      this.resting = false;
      this.at = Math.min(this.at, now + SAMPLE_MS);
    }
    return now >= this.at;
  }

  /** A sample was taken. `latest`: the latest time for the next one, even without activity. */
  taken(now: number, events: number, latest: number): void {
    this.pause = events === this.seen ? Math.min(2 * this.pause, LONGEST_MS) : SAMPLE_MS;
    this.seen = events;
    this.resting = this.pause > SAMPLE_MS;
    this.at = Math.max(now + SAMPLE_MS, Math.min(now + this.pause, latest));
  }
}
