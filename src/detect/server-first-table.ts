// Destinations whose server spoke first, so that the next connection to them is dialled at once. One table in shared memory, written by all
// workers and read by the main thread (to explain decisions). Losing an entry costs one race, and believing an expired one costs one early
// dial. So no lock is needed: every race between threads ends in one of these two.

const CAPACITY = 4096;
// Entries that may hold a key: a full scan of a short window needs no tombstones.
const WINDOW = 8;
const KEYS = 0;
const EXPIRY = CAPACITY;

/** A key for `ServerFirstTable`, from 1 to 2^31 - 1. Listener slots are below 32767, service slots below 65536. */
export function destinationKey(listenerSlot: number, serviceSlot: number): number {
  return ((listenerSlot + 1) << 16) | (serviceSlot & 0xffff);
}

/** Int32 words of an address: a sockaddr_in6, or a sockaddr_in and zeros. */
export const ADDRESS_WORDS = 7;

/**
 * A key for `ServerFirstTable` from an original destination, as the words of its sockaddr: a hash of 31 bits, above the keys of services.
 * Two addresses with the same hash share an entry, which costs an early dial.
 */
export function addressKey(listenerSlot: number, words: Int32Array): number {
  let hash = Math.imul(listenerSlot + 1, 0x9e3779b1);
  for (let i = 0; i < words.length; i++) {
    hash = Math.imul(hash ^ words[i], 0x85ebca6b);
    hash ^= hash >>> 15;
  }
  return (hash | 0x80000000) >>> 0;
}

export class ServerFirstTable {
  /** Memory for one table; entries of 0 are free. */
  static allocate(): SharedArrayBuffer {
    return new SharedArrayBuffer(2 * CAPACITY * Uint32Array.BYTES_PER_ELEMENT);
  }

  /** Unsigned, so that seconds since 1970 fit until 2106. */
  readonly #table: Uint32Array;

  constructor(memory: SharedArrayBuffer) {
    this.#table = new Uint32Array(memory, 0, 2 * CAPACITY);
  }

  /**
   * Remembers `key` (an integer from 1 to 2^32 - 1) until `nowSeconds + ttlSeconds`. All threads use the same clock. If the key's window is
   * full, the entry that would expire first makes room.
   */
  remember(key: number, nowSeconds: number, ttlSeconds: number): void {
    const table = this.#table;
    const now = Math.floor(nowSeconds);
    const expiry = now + Math.ceil(ttlSeconds);
    const first = home(key);
    let victim = -1;
    let victimExpiry = 0;
    for (let i = 0; i < WINDOW; i++) {
      const slot = (first + i) & (CAPACITY - 1);
      if (Atomics.load(table, KEYS + slot) === key) {
        Atomics.store(table, EXPIRY + slot, expiry);
        return;
      }
      const until = Atomics.load(table, EXPIRY + slot);
      if (victim < 0 || until < victimExpiry) {
        victim = slot;
        victimExpiry = until;
      }
    }
    // Clear the expiry first: nobody may see the new key with the old entry's expiry, or the reverse.
    Atomics.store(table, EXPIRY + victim, 0);
    Atomics.store(table, KEYS + victim, key);
    Atomics.store(table, EXPIRY + victim, expiry);
  }

  /** Whether there is an entry, possibly expired: without reading the clock, which would allocate. */
  knows(key: number): boolean {
    const table = this.#table;
    const first = home(key);
    for (let i = 0; i < WINDOW; i++) {
      if (Atomics.load(table, KEYS + ((first + i) & (CAPACITY - 1))) === key) return true;
    }
    return false;
  }

  has(key: number, nowSeconds: number): boolean {
    const table = this.#table;
    const first = home(key);
    for (let i = 0; i < WINDOW; i++) {
      const slot = (first + i) & (CAPACITY - 1);
      if (Atomics.load(table, KEYS + slot) === key && Atomics.load(table, EXPIRY + slot) > nowSeconds) return true;
    }
    return false;
  }

  /** Removes `key`, for example because its server did not speak first after all. */
  forget(key: number): void {
    const table = this.#table;
    const first = home(key);
    for (let i = 0; i < WINDOW; i++) {
      const slot = (first + i) & (CAPACITY - 1);
      if (Atomics.load(table, KEYS + slot) === key) Atomics.store(table, EXPIRY + slot, 0);
    }
  }

  /** Number of entries that have not expired. Scans the table: only for scrapes and people. */
  count(nowSeconds: number): number {
    let live = 0;
    for (let slot = 0; slot < CAPACITY; slot++) if (Atomics.load(this.#table, EXPIRY + slot) > nowSeconds) live++;
    return live;
  }
}

// Fibonacci hashing: neighbouring slots of listeners and services spread over the table.
function home(key: number): number {
  return Math.imul(key, 0x9e3779b1) >>> 20;
}
