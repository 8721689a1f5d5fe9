// The time of a load, µs since its start. It is monotonic: setting the wall clock changes nothing. If the process was stopped, requests due
// meanwhile are late.
import type { Reactor } from '../io/reactor.js';

export class LoadClock {
  /** The time when `refresh` was called, for requests sent in this turn. A cell, because V8 allocates a number with a fraction when it is passed on. */
  readonly fresh = new Float64Array(1);
  /** The ring's clock of the last turn; and the zero of the reactor's `wakeMs`. */
  private readonly page: Float64Array;
  private readonly origin: number;
  private began = 0;

  constructor(
    reactor: Reactor,
    /** Reads the ring's clock. */
    private readonly micros: () => number = microsOfNode(),
  ) {
    this.page = new Float64Array(reactor.memory.page);
    this.origin = Math.round((reactor.clock() - reactor.since(0)) * 1000);
  }

  /** Starts the load at `at`, on the ring's clock. */
  begin(at: number): void {
    this.began = at;
  }

  /** The time of this turn. */
  get now(): number {
    return this.page[0] - this.began;
  }

  refresh(): void {
    this.fresh[0] = Math.max(this.now, this.micros() - this.began);
  }

  /** The same moment on the ring's clock. */
  absolute(at: number): number {
    return this.began + at;
  }

  /** The same moment for `Reactor.wakeMs`. */
  wakeMs(at: number): number {
    return (at + this.began - this.origin) / 1000;
  }
}

function microsOfNode(): () => number {
  const ahead = clockOffset();
  return () => performance.now() * 1000 + ahead;
}

/** Lag of Node's clock behind the ring's, µs: the largest difference, because a delay between the two readings makes it smaller. */
function clockOffset(): number {
  let most = 0;
  for (let i = 0; i < 100; i++)
    most = Math.max(most, Number(process.hrtime.bigint()) / 1000 - performance.now() * 1000);
  return most;
}
