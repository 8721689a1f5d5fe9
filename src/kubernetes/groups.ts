// Members by key, where a key may have several.

export class Groups<K, T> {
  readonly #groups = new Map<K, Set<T>>();

  add(key: K, member: T): void {
    const group = this.#groups.get(key);
    if (group === undefined) this.#groups.set(key, new Set([member]));
    else group.add(member);
  }

  delete(key: K, member: T): void {
    const group = this.#groups.get(key);
    if (group?.delete(member) && group.size === 0) this.#groups.delete(key);
  }

  /** Empty where the key has none. */
  of(key: K): ReadonlySet<T> {
    return this.#groups.get(key) ?? (NOBODY as ReadonlySet<T>);
  }

  has(key: K): boolean {
    return this.#groups.has(key);
  }

  keys(): IterableIterator<K> {
    return this.#groups.keys();
  }
}

const NOBODY: ReadonlySet<unknown> = new Set();
