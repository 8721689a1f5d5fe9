// Interns texts shared by many objects (names of namespaces, nodes, zones, accounts), and small objects within them.

const MAX_TEXTS = 50_000;

export class InternPool {
  readonly #known = new Map<string, string>();
  readonly #objects = new Map<string, object>();

  /** Returns the same text for all that are equal. */
  one(text: string): string {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    // Existing users keep their text; later ones get another copy.
    if (this.#known.size >= MAX_TEXTS) this.#known.clear();
    this.#known.set(text, text);
    return text;
  }

  /** Returns the same object for all that are equal; `kind` is its type. */
  same<T extends object>(kind: string, object: T): T {
    const key = `${kind} ${JSON.stringify(object)}`;
    const known = this.#objects.get(key);
    // Objects of a kind are of one type.
    if (known !== undefined) return known as T;
    if (this.#objects.size >= MAX_TEXTS) this.#objects.clear();
    this.#objects.set(key, object);
    return object;
  }
}
