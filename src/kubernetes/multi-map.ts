// Members by key, where a key may have several. Most have one, which is stored without a set: that would take about 250 bytes.

class Members<T> extends Set<T> {}

const NONE: readonly never[] = [];

export class MultiMap<K, T extends object> {
  readonly #groups = new Map<K, T | Members<T>>();

  add(key: K, member: T): void {
    const group = this.#groups.get(key);
    if (group instanceof Members) group.add(member);
    else if (group === undefined || group === member) this.#groups.set(key, member);
    else this.#groups.set(key, new Members([group, member]));
  }

  delete(key: K, member: T): void {
    const group = this.#groups.get(key);
    if (group === member) this.#groups.delete(key);
    if (!(group instanceof Members)) return;
    group.delete(member);
    if (group.size === 1) for (const last of group) this.#groups.set(key, last);
  }

  /** In order of insertion; empty if the key has none. */
  of(key: K): Iterable<T> {
    const group = this.#groups.get(key);
    if (group === undefined) return NONE;
    return group instanceof Members ? group : [group];
  }
}
