// The endpoints of a service from a stream of differences. A reopened stream begins with the full state, which replaces the previous one;
// endpoints in both are never removed in between.
import type { Address } from '../../config/model.js';
import type { Endpoint } from '../../discovery/endpoint.js';

const keyOf = ({ host, port }: Address): string => `${host} ${port}`;

export class KnownEndpoints {
  #known = new Map<string, Endpoint>();
  /** The new stream's state so far; null once it is complete. */
  #fresh: Map<string, Endpoint> | null = null;

  constructor(private readonly max: number) {}

  /** A new stream begins. */
  begin(): void {
    this.#fresh = new Map();
  }

  /** Whether a stream has begun and is not complete yet. */
  get beginning(): boolean {
    return this.#fresh !== null;
  }

  /** It ended before it was complete: the previous state stays. */
  giveUp(): void {
    this.#fresh = null;
  }

  /** Its initial messages are complete: endpoints it has not named are removed. */
  settle(): void {
    if (this.#fresh !== null) this.#known = this.#fresh;
    this.#fresh = null;
  }

  /** Returns how many found no room. */
  add(endpoints: readonly Endpoint[]): number {
    const map = this.#fresh ?? this.#known;
    let refused = 0;
    for (const endpoint of endpoints) {
      const key = keyOf(endpoint.address);
      if (map.size >= this.max && !map.has(key)) refused++;
      else map.set(key, endpoint);
    }
    return refused;
  }

  remove(addresses: readonly Address[]): void {
    const map = this.#fresh ?? this.#known;
    for (const address of addresses) map.delete(keyOf(address));
  }

  clear(): void {
    (this.#fresh ?? this.#known).clear();
  }

  list(): readonly Endpoint[] {
    return [...this.#known.values()];
  }
}
