// Tells what goes on: once, over an interval that somebody asks for, or every second to all who listen. As long as nobody does, nothing is
// read and no timer runs. What is told every second is made once for all.
import type { LiveConfig } from '../config/model.js';
import type { MetricsReader } from '../metrics/reader.js';
import { assemble, encode, LIVE_LIMITS, type LiveFacts, type LiveLimits } from './assemble.js';
import { type Moment, momentOf } from './moment.js';
import type { LiveState } from './state.js';

/** Between two events, ms. */
export const TICK_MS = 1000;
/** Where there is so much to tell that it takes long, events come less often: it is to cost no more than this share of a core, but no later than this, ms. */
const MAX_CPU_SHARE = 0.02;
const LATEST_TICK_MS = 3000;
/** The first one comes sooner: a page has something to show then. */
const FIRST_MS = 200;
/** Who listens at a time, who waits for the end of an interval, and what a listener may miss until it is left. */
export type FeedBounds = Pick<LiveConfig, 'listeners' | 'waiting' | 'missed'>;

/** Where events go. */
export interface EventSink {
  /** What was written before is gone. */
  readonly ready: boolean;
  write(text: string): void;
  end(): void;
}

export interface FeedClock {
  now(): number;
  later(run: () => void, ms: number): () => void;
}

const systemClock: FeedClock = {
  now: () => performance.now(),
  later: (run, ms) => {
    const timer = setTimeout(run, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

interface Listener {
  readonly sink: EventSink;
  readonly trusted: boolean;
  missed: number;
}

export class LiveFeed {
  readonly #listeners = new Set<Listener>();
  #before: Moment | null = null;
  #cancel: (() => void) | null = null;
  #waiting = 0;

  constructor(
    private readonly reader: MetricsReader,
    private readonly facts: LiveFacts,
    /** A reload may change them. */
    private readonly bounds: () => FeedBounds,
    private readonly clock: FeedClock = systemClock,
  ) {}

  get listeners(): number {
    return this.#listeners.size;
  }

  /** What went on in the next `ms`; with 0, since the start. Null where too many wait already. */
  async over(ms: number, limits: LiveLimits = LIVE_LIMITS): Promise<LiveState | null> {
    if (ms === 0) return assemble(null, this.#moment(null), limits, this.facts);
    if (this.#waiting >= this.bounds().waiting) {
      this.reader.limits['live-waiting']++;
      return null;
    }
    this.#waiting++;
    try {
      const before = this.#moment(null);
      await new Promise<void>((resolve) => this.clock.later(resolve, ms));
      return assemble(before, this.#moment(before), limits, this.facts);
    } finally {
      this.#waiting--;
    }
  }

  /** Whether as many listen as may: who has asked is turned away, which is counted. */
  isFull(): boolean {
    if (this.#listeners.size < this.bounds().listeners) return false;
    this.reader.limits['live-listeners']++;
    return true;
  }

  /** Tells `sink` every second from now on, until the function that comes back is called. False where too many listen already. */
  listen(sink: EventSink, trusted: boolean): (() => void) | false {
    if (this.isFull()) return false;
    const listener = { sink, trusted, missed: 0 };
    this.#listeners.add(listener);
    // So long the browser waits before it connects again.
    sink.write(`retry: ${TICK_MS}\n\n`);
    if (this.#cancel === null) {
      this.#before = this.#moment(null);
      this.#cancel = this.clock.later(() => this.#tick(), FIRST_MS);
    }
    return () => this.#leave(listener);
  }

  #leave(listener: Listener): void {
    this.#listeners.delete(listener);
    if (this.#listeners.size > 0) return;
    this.#cancel?.();
    this.#cancel = null;
    this.#before = null;
  }

  #tick(): void {
    const begun = this.clock.now();
    const now = this.#moment(this.#before);
    this.#tell(assemble(this.#before, now, LIVE_LIMITS, this.facts));
    if (this.#listeners.size === 0) return;
    this.#before = now;
    const worth = (this.clock.now() - begun) / MAX_CPU_SHARE;
    this.#cancel = this.clock.later(() => this.#tick(), Math.min(Math.max(TICK_MS, worth), LATEST_TICK_MS));
  }

  #tell(state: LiveState): void {
    const texts: [stranger: string | null, trusted: string | null] = [null, null];
    for (const listener of [...this.#listeners]) {
      if (!listener.sink.ready) {
        if (++listener.missed < this.bounds().missed) continue;
        this.reader.limits['live-missed']++;
        this.#leave(listener);
        listener.sink.end();
        continue;
      }
      listener.missed = 0;
      const which = listener.trusted ? 1 : 0;
      texts[which] ??= `data: ${encode(state, listener.trusted)}\n\n`;
      listener.sink.write(texts[which]);
    }
  }

  #moment(before: Moment | null): Moment {
    return momentOf(this.reader, this.clock.now(), before);
  }
}
