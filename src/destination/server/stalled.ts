// Streams whose readers have stalled. They are ended after a while, or earlier if too much data waits for them: a client that was ended
// asks again, and gets the current state.
import type { Feed } from './feed.js';

export interface StalledLimits {
  /** When to end a stalled stream. */
  readonly stalledMs: number;
  /** Maximum bytes waiting for stalled readers. Shared data counts once. */
  readonly maxStalledBytes: number;
}

export class Stalled {
  /** In order of stalling, with the waiting data of each. */
  readonly #feeds = new Map<Feed, Buffer>();
  /** By waiting data: the number of streams. */
  readonly #waiting = new Map<Buffer, number>();
  #octets = 0;

  /** `ended` is called for each stream that is ended. */
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
