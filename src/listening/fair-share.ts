// A shared limit by user: nobody ever gets more than half of the rest, so that one who takes without end leaves room for others.

/** Whether who has `own` of `all` gets one more: of what is left never more than half, but one where anything is free. */
export function fits(own: number, all: number, limit: number): boolean {
  const free = limit - all;
  return free > 0 && (own === 0 || own < free);
}

export class FairShare {
  /** Of those who have some. */
  readonly #own = new Map<string, number>();
  #taken = 0;

  constructor(private readonly limit: number) {}

  get taken(): number {
    return this.#taken;
  }

  /** false: no room for one more of theirs. Each success must be returned once. */
  take(who: string): boolean {
    const own = this.#own.get(who) ?? 0;
    if (!fits(own, this.#taken, this.limit)) return false;
    this.#own.set(who, own + 1);
    this.#taken += 1;
    return true;
  }

  give(who: string): void {
    const left = (this.#own.get(who) ?? 1) - 1;
    if (left === 0) this.#own.delete(who);
    else this.#own.set(who, left);
    this.#taken -= 1;
  }
}
