// Reports the state: once, over a requested interval, or every second to all listeners. Without listeners, nothing is read and no timer runs.
// The state of each second is made once for all listeners. It is made in pieces, so that the main thread can do other work in between.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { LiveConfig } from '../config/telemetry-model.js';
import type { MetricsReader } from '../metrics/reader.js';
import { inPieces, type Steps } from '../metrics/steps.js';
import { assembling, encoding, LIVE_LIMITS, type LiveFacts, type LiveLimits } from './assemble.js';
import { type MetricsSample, takeSample } from './metrics-sample.js';
import type { LiveState } from './state.js';

/** Interval between events, ms. */
export const TICK_MS = 1000;
/** If making an event takes long, events come less often: they may take this share of a core at most, but come at least this often, ms. */
const MAX_CPU_SHARE = 0.02;
const LATEST_TICK_MS = 3000;
/** The first event comes sooner, so that a page has something to show. */
const FIRST_MS = 200;
/** Maximum number of listeners and of requests that wait for an interval, and how many events a listener may miss before it is dropped. */
export type FeedBounds = Pick<LiveConfig, 'listeners' | 'waiting' | 'missed'>;

/** The receiver of events. */
export interface EventSink {
  /** Whether everything written earlier has been sent. */
  readonly ready: boolean;
  write(text: string): void;
  end(): void;
}

export interface FeedClock {
  now(): number;
  later(run: () => void, ms: number): () => void;
  /** Lets the event loop turn. */
  turn(): Promise<unknown>;
}

const systemClock: FeedClock = {
  now: () => performance.now(),
  later: (run, ms) => {
    const timer = setTimeout(run, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
  turn: () => nextTurn(),
};

/** How long the main thread was busy with something. */
interface Cost {
  ms: number;
}

interface Listener {
  readonly sink: EventSink;
  readonly trusted: boolean;
  missed: number;
}

export class LiveFeed {
  readonly #listeners = new Set<Listener>();
  /** Identifies the current listeners: replaced by another object once all of them have left and others have come. */
  #watch: object | null = null;
  #cancel: (() => void) | null = null;
  #waiting = 0;

  constructor(
    private readonly reader: MetricsReader,
    private readonly facts: LiveFacts,
    /** A reload may change these. */
    private readonly bounds: () => FeedBounds,
    private readonly clock: FeedClock = systemClock,
  ) {}

  get listeners(): number {
    return this.#listeners.size;
  }

  /** The state over the next `ms`; with 0, since the start. Null if too many requests are waiting already. */
  async over(ms: number, limits: LiveLimits = LIVE_LIMITS): Promise<LiveState | null> {
    if (this.#waiting >= this.bounds().waiting) {
      this.reader.limits['live-waiting']++;
      return null;
    }
    this.#waiting++;
    try {
      let before: MetricsSample | null = null;
      if (ms > 0) {
        before = await this.#held(() => this.#made(this.#sample(null)));
        await new Promise<void>((resolve) => this.clock.later(resolve, ms));
      }
      return await this.#held(async () => {
        const now = await this.#made(this.#sample(before));
        return this.#made(assembling(before, now, limits, this.facts));
      });
    } finally {
      this.#waiting--;
    }
  }

  /** The state as JSON. */
  text(state: LiveState, trusted: boolean): Promise<string> {
    return this.#made(encoding(state, trusted));
  }

  /** Whether the maximum number of listeners is reached. If so, the caller is turned away, which is counted. */
  isFull(): boolean {
    if (this.#listeners.size < this.bounds().listeners) return false;
    this.reader.limits['live-listeners']++;
    return true;
  }

  /** Sends the state to `sink` every second, until the returned function is called. False if there are too many listeners already. */
  listen(sink: EventSink, trusted: boolean): (() => void) | false {
    if (this.isFull()) return false;
    const listener = { sink, trusted, missed: 0 };
    this.#listeners.add(listener);
    // How long the browser waits before it reconnects.
    sink.write(`retry: ${TICK_MS}\n\n`);
    if (this.#watch === null) {
      this.#watch = {};
      void this.#follow(this.#watch);
    }
    return () => this.#leave(listener);
  }

  #leave(listener: Listener): void {
    this.#listeners.delete(listener);
    if (this.#listeners.size > 0) return;
    this.#cancel?.();
    this.#cancel = null;
    this.#watch = null;
  }

  /** Reports the state for as long as these listeners exist. */
  async #follow(watch: object): Promise<void> {
    let before = await this.#held(() => this.#made(this.#sample(null)));
    let waitMs = FIRST_MS;
    while (this.#watch === watch) {
      await new Promise<void>((resolve) => {
        this.#cancel = this.clock.later(resolve, waitMs);
      });
      const cost = { ms: 0 };
      before = await this.#held(async () => {
        const now = await this.#made(this.#sample(before), cost);
        const state = await this.#made(assembling(before, now, LIVE_LIMITS, this.facts), cost);
        if (this.#watch === watch) await this.#publish(state, cost);
        return now;
      });
      waitMs = Math.min(Math.max(TICK_MS, cost.ms / MAX_CPU_SHARE), LATEST_TICK_MS);
    }
  }

  async #publish(state: LiveState, cost: Cost): Promise<void> {
    const texts: [stranger: string | null, trusted: string | null] = [null, null];
    for (const which of [0, 1])
      if ([...this.#listeners].some(({ trusted, sink }) => trusted === (which === 1) && sink.ready))
        texts[which] = `data: ${await this.#made(encoding(state, which === 1), cost)}\n\n`;
    for (const listener of [...this.#listeners]) {
      const text = texts[listener.trusted ? 1 : 0];
      if (!listener.sink.ready) {
        if (++listener.missed < this.bounds().missed) continue;
        this.reader.limits['live-missed']++;
        this.#leave(listener);
        listener.sink.end();
        continue;
      }
      // It has come while this was made, or can take something only now: the next one is for it.
      if (text === null) continue;
      listener.missed = 0;
      listener.sink.write(text);
    }
  }

  #sample(before: MetricsSample | null): Steps<MetricsSample> {
    return takeSample(this.reader, this.clock.now(), before);
  }

  /** While snapshots are held. */
  async #held<Result>(make: () => Promise<Result>): Promise<Result> {
    const release = this.reader.hold();
    try {
      return await make();
    } finally {
      release();
    }
  }

  /** Runs `steps` in pieces, and adds their time to `cost`. */
  async #made<Result>(steps: Steps<Result>, cost: Cost = { ms: 0 }): Promise<Result> {
    let begun = this.clock.now();
    const made = await inPieces(steps, async () => {
      cost.ms += this.clock.now() - begun;
      await this.clock.turn();
      begun = this.clock.now();
    });
    cost.ms += this.clock.now() - begun;
    return made;
  }
}
