// When a worker looks at what nobody tells it: gauges, time limits, memory to give back. Often while something happens; where nothing does, after
// longer and longer pauses, as each look wakes an idle process up.

/** While something happens, ms. */
export const SAMPLE_MS = 250;
/** The longest pause, ms: eight idle workers wake up once a second, all together. */
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

  /** Whether a sample is to be taken. Called once a turn; `events` is how much has happened, ever. */
  due(now: number, events: number): boolean {
    if (this.resting && events !== this.seen) {
      // What happens now is to be seen as soon as anything.
      this.resting = false;
      this.at = Math.min(this.at, now + SAMPLE_MS);
    }
    return now >= this.at;
  }

  /** A sample was taken. `latest`: when there is something to do though nothing happens. */
  taken(now: number, events: number, latest: number): void {
    this.pause = events === this.seen ? Math.min(2 * this.pause, LONGEST_MS) : SAMPLE_MS;
    this.seen = events;
    this.resting = this.pause > SAMPLE_MS;
    this.at = Math.max(now + SAMPLE_MS, Math.min(now + this.pause, latest));
  }
}
