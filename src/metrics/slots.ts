// Assigns the slots of a bounded table to keys. Slot 0 is shared by all keys that find no room: among series, the overflow.

export interface SlotTableOptions {
  /** Clock, ms. */
  readonly now?: () => number;
  /** How long a released key keeps its slot, ms. */
  readonly retainMs?: number;
  /** After its release, when a slot may be reassigned if the table is full, ms. */
  readonly reuseMs?: number;
  /** Whether nobody counts into `slot` any more; a slot that is not quiet is never reused. */
  readonly isQuiet?: (slot: number) => boolean;
  /** Called before a slot becomes free: zero its totals. */
  readonly clear?: (slot: number) => void;
}

/** Default of `retainMs`: Linkerd drops idle series after the same time. */
export const DEFAULT_RETAIN_MS = 600_000;
const DEFAULT_REUSE_MS = 10_000;

interface Released {
  readonly key: string;
  /** When, ms. */
  readonly at: number;
}

export class SlotTable {
  /** Acquisitions that got slot 0. */
  overflows = 0;
  readonly #slots = new Map<string, number>();
  /** Slots whose keys were released, oldest first: only these are searched, never the whole table. */
  readonly #released = new Map<number, Released>();
  /** Keys that found no room and have not been released. */
  readonly #unassigned = new Set<string>();
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

  /** Keys that are held without a slot of their own. */
  get unassigned(): number {
    return this.#unassigned.size;
  }

  /** The key's slot; 0 if the table is full. A key that is held, or whose slot is still kept, gets the same slot. */
  acquire(key: string): number {
    const kept = this.#slots.get(key);
    if (kept !== undefined) {
      this.#released.delete(kept);
      return kept;
    }
    const slot = this.#takeFree() || this.#evict();
    if (slot === 0) {
      return this.decline(key);
    }
    this.#unassigned.delete(key);
    this.#slots.set(key, slot);
    return slot;
  }

  /** Gives the key slot 0 until it is released. */
  decline(key: string): number {
    this.overflows++;
    this.#unassigned.add(key);
    return 0;
  }

  /** The slot that the key holds, or that is kept for it; 0 if there is none. */
  find(key: string): number {
    return this.#slots.get(key) ?? 0;
  }

  /** Releases the key. Its slot stays reserved for `retainMs` and as long as it is not quiet. */
  release(key: string): void {
    this.#unassigned.delete(key);
    const slot = this.#slots.get(key);
    if (slot === undefined || this.#released.has(slot)) return;
    this.#released.set(slot, { key, at: this.#options.now() });
  }

  /** Frees expired slots. */
  sweep(): void {
    const before = this.#options.now() - this.#options.retainMs;
    for (const [slot, { key, at }] of this.#released) {
      if (at > before) return;
      if (this.#options.isQuiet(slot)) this.#free.push(this.#drop(key, slot));
    }
  }

  /** Whether the key of `slot` was released and the slot is only kept for it. */
  isReleased(slot: number): boolean {
    return this.#released.has(slot);
  }

  #takeFree(): number {
    return this.#free.pop() ?? (this.#next < this.#capacity ? this.#next++ : 0);
  }

  /** Takes the slot that was released longest ago; 0 if there is none. */
  #evict(): number {
    const before = this.#options.now() - this.#options.reuseMs;
    for (const [slot, { key, at }] of this.#released) {
      if (at > before) return 0;
      if (this.#options.isQuiet(slot)) return this.#drop(key, slot);
    }
    return 0;
  }

  #drop(key: string, slot: number): number {
    this.#slots.delete(key);
    this.#released.delete(slot);
    this.#options.clear(slot);
    return slot;
  }
}
