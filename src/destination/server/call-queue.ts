// Starts simultaneous requests of a connection gradually, a few per turn of the event loop. What is written in one turn is one TLS write,
// and its buffer (OpenSSL's, within Node) stays that large for the life of the connection: with 40 answers it was 64 KiB, for each of a
// thousand connections.

export class CallQueue<Key, Item> {
  readonly #waiting = new Map<Key, Item[]>();

  /** `most`: per key and turn. */
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
