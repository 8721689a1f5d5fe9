// One copy of each text that many objects have (names of namespaces, nodes, zones, accounts), and of small objects within them.

const MOST = 50_000;

export class Texts {
  readonly #known = new Map<string, string>();
  readonly #objects = new Map<string, object>();

  /** The text, the same one for all that are equal. */
  one(text: string): string {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    // Those who have a text keep it; only what comes later gets another copy.
    if (this.#known.size >= MOST) this.#known.clear();
    this.#known.set(text, text);
    return text;
  }

  /** The object, the same one for all that are equal; `kind` says what it is. */
  same<T extends object>(kind: string, object: T): T {
    const key = `${kind} ${JSON.stringify(object)}`;
    const known = this.#objects.get(key);
    // Objects of a kind are of one type.
    if (known !== undefined) return known as T;
    if (this.#objects.size >= MOST) this.#objects.clear();
    this.#objects.set(key, object);
    return object;
  }
}
