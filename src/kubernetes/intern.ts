// One copy of each text that many objects have: names of namespaces, nodes, zones, accounts.

const MOST = 50_000;

export class Texts {
  readonly #known = new Map<string, string>();

  /** The text, the same one for all that are equal. */
  one(text: string): string {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    // Those who have a text keep it; only what comes later gets another copy.
    if (this.#known.size >= MOST) this.#known.clear();
    this.#known.set(text, text);
    return text;
  }
}
