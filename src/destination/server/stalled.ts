// Streams whose readers do not read. They are ended after a while, and sooner where what waits for them would be too much: who is ended
// asks again, and gets what there is then.
import type { Feed } from './feed.js';

export interface StalledLimits {
  /** A stream whose reader does not read is ended. */
  readonly stalledMs: number;
  /** Octets that may wait for such readers. What several wait for is there once. */
  readonly maxStalledBytes: number;
}

export class Stalled {
  /** In the order in which they came, with what waits for each. */
  readonly #feeds = new Map<Feed, Buffer>();
  /** By what waits: for how many. */
  readonly #waiting = new Map<Buffer, number>();
  #octets = 0;

  /** `ended` is told of each that is ended. */
  constructor(
    private readonly limits: StalledLimits,
    private readonly ended: () => void,
  ) {}

  get size(): number {
    return this.#feeds.size;
  }

  add(feed: Feed, octets: Buffer): void {
    this.#feeds.set(feed, octets);
    const readers = this.#waiting.get(octets) ?? 0;
    this.#waiting.set(octets, readers + 1);
    if (readers === 0) this.#octets += octets.length;
    for (const oldest of this.#feeds.keys()) {
      if (this.#octets <= this.limits.maxStalledBytes) break;
      this.#end(oldest);
    }
  }

  delete(feed: Feed): void {
    const octets = this.#feeds.get(feed);
    if (octets === undefined) return;
    this.#feeds.delete(feed);
    const readers = (this.#waiting.get(octets) ?? 1) - 1;
    if (readers > 0) this.#waiting.set(octets, readers);
    else if (this.#waiting.delete(octets)) this.#octets -= octets.length;
  }

  sweep(nowMs: number): void {
    for (const feed of this.#feeds.keys()) if (nowMs - feed.stalledMs >= this.limits.stalledMs) this.#end(feed);
  }

  #end(feed: Feed): void {
    this.delete(feed);
    this.ended();
    feed.cut();
  }
}
