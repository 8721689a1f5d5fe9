// Time that stands still until a test turns it.
import type { Clock } from '../../src/identity/source.js';

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

export class FakeClock implements Clock {
  private readonly timers = new Set<Timer>();

  /** Certificates are made for real time, which is where it begins. */
  constructor(private nowMs = Date.now()) {}

  readonly now = (): number => this.nowMs;

  readonly set = (callback: () => void, delayMs: number): unknown => {
    const timer = { at: this.nowMs + delayMs, callback };
    this.timers.add(timer);
    return timer;
  };

  readonly clear = (timer: unknown): void => {
    this.timers.delete(timer as Timer);
  };

  /** How long until each timer, shortest first, ms. */
  get waits(): number[] {
    return [...this.timers].map(({ at }) => at - this.nowMs).sort((a, b) => a - b);
  }

  /** Lets `ms` pass; timers run in their order, those that they set included. */
  advance(ms: number): void {
    const until = this.nowMs + ms;
    for (;;) {
      const [next] = [...this.timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.timers.delete(next);
      this.nowMs = Math.max(this.nowMs, next.at);
      next.callback();
    }
    this.nowMs = until;
  }
}
