// What connections ask for all at once is begun little by little, in each turn of the event loop some of each. What is written in one turn is
// one write of TLS, and the buffer that takes it (OpenSSL's, within Node) stays as large as long as the connection lasts: with 40 answers
// it was 64 KiB, for each of a thousand connections.

export class Turns<Key, Item> {
  readonly #waiting = new Map<Key, Item[]>();

  /** `most`: of one key in a turn. */
  constructor(
    private readonly most: number,
    private readonly begin: (item: Item) => void,
  ) {}

  add(key: Key, item: Item): void {
    if (this.#waiting.size === 0) setImmediate(() => this.#turn());
    const items = this.#waiting.get(key);
    if (items === undefined) this.#waiting.set(key, [item]);
    else items.push(item);
  }

  #turn(): void {
    for (const [key, items] of this.#waiting) {
      const now = items.splice(0, this.most);
      if (items.length === 0) this.#waiting.delete(key);
      for (const item of now) this.begin(item);
    }
    if (this.#waiting.size > 0) setImmediate(() => this.#turn());
  }
}
