// The main thread's side of taps: tells workers which taps are open, and passes their records on. A slow reader loses records, and is told how
// many. Nothing waits for it.
import type { TapConfig } from '../config/telemetry-model.js';
import type { TapCounts } from './counts.js';
import { MAX_TAPS, type TapRecords, type TapRequest } from './request.js';
import { TokenBucket } from './token-bucket.js';

/** Interval between status records, if the status has changed, ms. */
const REPORT_MS = 1000;
/** After this many intervals a status record is sent anyway, so that a reader that is gone is noticed. */
const HEARTBEAT = 5;

/** The receiver of a tap's records. */
export interface TapReader {
  /** Writes lines. False: earlier lines have not been read yet, so these are lost. */
  write(lines: string): boolean;
}

export interface TapDeps {
  readonly counts: TapCounts;
  readonly config: () => TapConfig;
  /** Sends the open taps to all workers; resolves when they have them. */
  readonly tell: (taps: readonly TapRequest[]) => Promise<void>;
}

class Tap {
  shown = 0;
  leftOut = 0;
  dropped = 0;
  /** The number of left-out records in the last status record, and intervals since then. */
  told = 0;
  quiet = 0;
  readonly bucket: TokenBucket;
  readonly timer: NodeJS.Timeout;

  constructor(
    readonly request: TapRequest,
    readonly reader: TapReader,
    look: (tap: Tap) => void,
  ) {
    // Each worker stays within the rate, and so do all of them together.
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

  /** Whether another tap may open. */
  nextId(): number {
    return ++this.#ids;
  }

  /** Maximum rate of a tap, records per second. */
  get maxRps(): number {
    return this.#deps.config().maxRps;
  }

  /** Maximum data waiting for a slow reader, bytes. */
  get maxBuffered(): number {
    return this.#deps.config().maxBuffered;
  }

  /** Opens a tap. Returns a function that closes it, or null if the maximum number is open. */
  open(request: TapRequest, reader: TapReader): (() => void) | null {
    const { counts } = this.#deps;
    if (this.#taps.size >= Math.min(MAX_TAPS, this.#deps.config().listeners)) {
      counts.refused++;
      return null;
    }
    const tap = new Tap(request, reader, (own) => this.#poll(own));
    this.#taps.set(request.id, tap);
    // The first record is sent only now: from then on nothing is missed.
    void this.#changed().then(() => this.#report(tap));
    return () => {
      clearInterval(tap.timer);
      if (this.#taps.delete(request.id)) void this.#changed();
    };
  }

  /** The open taps, for a new worker. */
  get requests(): readonly TapRequest[] {
    return [...this.#taps.values()].map(({ request }) => request);
  }

  /** A worker has records for one tap. */
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

  /** Writes a status record: how many records were shown and how many were not. */
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
