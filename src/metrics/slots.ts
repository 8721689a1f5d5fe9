// Which key holds which slot of a bounded table. Slot 0 is the overflow series: it takes every key that finds no room.

export interface SlotTableOptions {
  /** Clock, ms. */
  readonly now?: () => number;
  /** How long the series of a released key is kept, ms. */
  readonly retainMs?: number;
  /** How long after its release a slot may be taken for another key if the table is full, ms. */
  readonly reuseMs?: number;
  /** Whether nobody counts into `slot` any more; a slot that is not quiet is never reused. */
  readonly isQuiet?: (slot: number) => boolean;
  /** Called before a slot becomes free: zero its totals. */
  readonly clear?: (slot: number) => void;
}

/** Default of `retainMs`: Linkerd drops idle series after the same time. */
export const DEFAULT_RETAIN_MS = 600_000;
const DEFAULT_REUSE_MS = 10_000;

interface Holder {
  readonly slot: number;
  /** When it was released, ms; -1 while held. */
  releasedAt: number;
}

export class SlotTable {
  /** Acquisitions that got slot 0. */
  overflows = 0;
  readonly #holders = new Map<string, Holder>();
  readonly #released = new Set<number>();
  readonly #free: number[] = [];
  readonly #capacity: number;
  readonly #options: Required<SlotTableOptions>;
  #next = 1;

  /** `capacity` counts slot 0: a table of 64 has room for 63 keys. */
  constructor(capacity: number, options: SlotTableOptions = {}) {
    this.#capacity = capacity;
    this.#options = {
      now: options.now ?? (() => performance.now()),
      retainMs: options.retainMs ?? DEFAULT_RETAIN_MS,
      reuseMs: options.reuseMs ?? DEFAULT_REUSE_MS,
      isQuiet: options.isQuiet ?? (() => true),
      clear: options.clear ?? (() => undefined),
    };
  }

  /** The key's slot; 0 if the table is full. A key that is held, or whose series is still kept, gets the slot it had. */
  acquire(key: string): number {
    let holder = this.#holders.get(key);
    if (holder === undefined) {
      const slot = this.#takeFree() || this.#evict();
      if (slot === 0) {
        this.overflows++;
        return 0;
      }
      holder = { slot, releasedAt: -1 };
      this.#holders.set(key, holder);
    }
    holder.releasedAt = -1;
    this.#released.delete(holder.slot);
    return holder.slot;
  }

  /** Lets the key go. Its series stays for `retainMs` and as long as its slot is not quiet. */
  release(key: string): void {
    const holder = this.#holders.get(key);
    if (holder === undefined || holder.releasedAt >= 0) return;
    holder.releasedAt = this.#options.now();
    this.#released.add(holder.slot);
  }

  /** Frees the slots whose time is over. */
  sweep(): void {
    const before = this.#options.now() - this.#options.retainMs;
    for (const [key, holder] of this.#holders) {
      if (holder.releasedAt >= 0 && holder.releasedAt <= before && this.#options.isQuiet(holder.slot)) {
        this.#free.push(this.#drop(key, holder));
      }
    }
  }

  /** Whether the key of `slot` was released and only its series is kept. */
  isReleased(slot: number): boolean {
    return this.#released.has(slot);
  }

  #takeFree(): number {
    return this.#free.pop() ?? (this.#next < this.#capacity ? this.#next++ : 0);
  }

  /** Takes the slot of the key that was released the longest ago; 0 if there is none to take. */
  #evict(): number {
    const before = this.#options.now() - this.#options.reuseMs;
    let oldest: [string, Holder] | undefined;
    for (const entry of this.#holders) {
      const { releasedAt, slot } = entry[1];
      if (releasedAt < 0 || releasedAt > before || !this.#options.isQuiet(slot)) continue;
      if (oldest === undefined || releasedAt < oldest[1].releasedAt) oldest = entry;
    }
    return oldest === undefined ? 0 : this.#drop(...oldest);
  }

  #drop(key: string, holder: Holder): number {
    this.#holders.delete(key);
    this.#released.delete(holder.slot);
    this.#options.clear(holder.slot);
    return holder.slot;
  }
}
