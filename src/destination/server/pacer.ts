// Streams that must wait before sending: each is called when its time has come, with a single timer.

export interface Paced {
  /** Not before this time. */
  readonly dueMs: number;
  due(nowMs: number): void;
}

export class Pacer {
  readonly #waiting = new Set<Paced>();
  #timer: NodeJS.Timeout | null = null;

  constructor(
    readonly intervalMs: number,
    private readonly now: () => number = () => performance.now(),
  ) {}

  get waiting(): number {
    return this.#waiting.size;
  }

  add(paced: Paced): void {
    this.#waiting.add(paced);
    this.#timer ??= setTimeout(() => this.#tick(), this.intervalMs);
  }

  remove(paced: Paced): void {
    this.#waiting.delete(paced);
  }

  #tick(): void {
    this.#timer = null;
    const now = this.now();
    for (const paced of this.#waiting) {
      if (paced.dueMs > now) continue;
      this.#waiting.delete(paced);
      paced.due(now);
    }
    if (this.#waiting.size > 0) this.#timer ??= setTimeout(() => this.#tick(), this.intervalMs / 2);
  }
}
