// The endpoints of a service as a stream of differences tells of them. A stream that was opened anew begins with all of them: they replace
// what the one before had said, and what both have is never gone in between.
import type { Address } from '../../config/model.js';
import type { Endpoint } from '../../discovery/endpoint.js';

const keyOf = ({ host, port }: Address): string => `${host} ${port}`;

export class KnownEndpoints {
  #known = new Map<string, Endpoint>();
  /** What the new stream has said so far; null once that is all there is. */
  #fresh: Map<string, Endpoint> | null = null;

  constructor(private readonly max: number) {}

  /** A new stream begins. */
  begin(): void {
    this.#fresh = new Map();
  }

  /** Whether a stream has begun and not been taken for complete yet. */
  get beginning(): boolean {
    return this.#fresh !== null;
  }

  /** It has ended before it was complete: what was known stays. */
  giveUp(): void {
    this.#fresh = null;
  }

  /** Its first messages are all here: what it has not named is gone. */
  settle(): void {
    if (this.#fresh !== null) this.#known = this.#fresh;
    this.#fresh = null;
  }

  /** How many found no room. */
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
