// Members by key, where a key may have several. Most have one, which is stored without a set: that would take about 250 bytes.

class Several<T> extends Set<T> {}

const NOBODY: readonly never[] = [];

export class Groups<K, T extends object> {
  readonly #groups = new Map<K, T | Several<T>>();

  add(key: K, member: T): void {
    const group = this.#groups.get(key);
    if (group instanceof Several) group.add(member);
    else if (group === undefined || group === member) this.#groups.set(key, member);
    else this.#groups.set(key, new Several([group, member]));
  }

  delete(key: K, member: T): void {
    const group = this.#groups.get(key);
    if (group === member) this.#groups.delete(key);
    if (!(group instanceof Several)) return;
    group.delete(member);
    if (group.size === 1) for (const last of group) this.#groups.set(key, last);
  }

  /** In order of insertion; empty if the key has none. */
  of(key: K): Iterable<T> {
    const group = this.#groups.get(key);
    if (group === undefined) return NOBODY;
    return group instanceof Several ? group : [group];
  }
}
