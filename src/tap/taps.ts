// Those who tap, on the main thread: workers are told who listens, and what they say goes to whom it is for. Who reads slowly loses records,
// and is told how many; nothing waits for them.
import type { TapConfig } from '../config/model.js';
import type { TapCounts } from './counts.js';
import { MAX_TAPS, type TapRecords, type TapRequest } from './request.js';
import { TokenBucket } from './token-bucket.js';

/** How often somebody who taps is told how it stands, if that has changed, ms. */
const REPORT_MS = 1000;
/** Every so many times it is told anyway: who is gone is noticed by it. */
const HEARTBEAT = 5;

/** Somebody who taps. */
export interface TapReader {
  /** Gives them lines. False: they have not taken what came before, so that these are lost. */
  write(lines: string): boolean;
}

export interface TapDeps {
  readonly counts: TapCounts;
  readonly config: () => TapConfig;
  /** Tells all workers who listens; resolves when they know. */
  readonly tell: (taps: readonly TapRequest[]) => Promise<void>;
}

class Tap {
  shown = 0;
  leftOut = 0;
  dropped = 0;
  /** Left out as it was told last, and times since. */
  told = 0;
  quiet = 0;
  readonly bucket: TokenBucket;
  readonly timer: NodeJS.Timeout;

  constructor(
    readonly request: TapRequest,
    readonly reader: TapReader,
    look: (tap: Tap) => void,
  ) {
    // Each worker stays within the rate; so do all of them together.
    this.bucket = new TokenBucket(request.maxRps, performanceClock);
    this.timer = setInterval(() => look(this), REPORT_MS).unref();
  }
}

const performanceClock = {
  get now() {
    return performance.now();
  },
};

export class Taps {
  readonly #deps: TapDeps;
  readonly #taps = new Map<number, Tap>();
  #ids = 0;

  constructor(deps: TapDeps) {
    this.#deps = deps;
  }

  /** For one who wants to tap. */
  nextId(): number {
    return ++this.#ids;
  }

  /** Records a second that anybody may have. */
  get maxRps(): number {
    return this.#deps.config().maxRps;
  }

  /** What may wait for one that reads slowly, octets. */
  get maxBuffered(): number {
    return this.#deps.config().maxBuffered;
  }

  /** Begins; returns what ends it, or null where as many listen as may. */
  open(request: TapRequest, reader: TapReader): (() => void) | null {
    const { counts } = this.#deps;
    if (this.#taps.size >= Math.min(MAX_TAPS, this.#deps.config().listeners)) {
      counts.refused++;
      return null;
    }
    const tap = new Tap(request, reader, (own) => this.#poll(own));
    this.#taps.set(request.id, tap);
    // From what is said first on, everything is seen.
    void this.#changed().then(() => this.#report(tap));
    return () => {
      clearInterval(tap.timer);
      if (this.#taps.delete(request.id)) void this.#changed();
    };
  }

  /** Who listens, for a worker that begins. */
  get requests(): readonly TapRequest[] {
    return [...this.#taps.values()].map(({ request }) => request);
  }

  /** A worker has something for one of them. */
  received({ id, lines, leftOut }: TapRecords): void {
    const { counts } = this.#deps;
    const tap = this.#taps.get(id);
    if (tap === undefined) return;
    const admitted = lines.filter(() => tap.bucket.admits());
    const left = leftOut + lines.length - admitted.length;
    tap.bucket.takeRefused();
    tap.leftOut += left;
    counts.leftOut.rate += left;
    if (admitted.length === 0) return;
    if (tap.reader.write(admitted.map((line) => `{${line}}\n`).join(''))) {
      tap.shown += admitted.length;
      counts.records += admitted.length;
    } else {
      tap.dropped += admitted.length;
      counts.leftOut.reader += admitted.length;
    }
  }

  #poll(tap: Tap): void {
    if (tap.leftOut + tap.dropped > tap.told || ++tap.quiet >= HEARTBEAT) this.#report(tap);
  }

  /** How it stands: what was shown, and what was not. */
  #report(tap: Tap): void {
    const { reader, request, shown, leftOut, dropped } = tap;
    tap.quiet = 0;
    tap.told = leftOut + dropped;
    reader.write(
      `${JSON.stringify({ time: new Date(), message: 'tap', maxRps: request.maxRps, shown, leftOut, dropped })}\n`,
    );
  }

  #changed(): Promise<void> {
    this.#deps.counts.listeners = this.#taps.size;
    return this.#deps.tell(this.requests);
  }
}
