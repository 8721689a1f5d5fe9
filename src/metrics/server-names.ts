// Requested server names that are not ours, counted up to a limit because anybody may make them up.

/** Names counted separately; all others count as OTHER. */
export const MAX_NAMES = 64;
const LONGEST = 253;
const NONE = 'none';
const OTHER = 'other';

export class ServerNames {
  private readonly counts = new Map<string, number>();

  /** `name` in lower case; empty: the client sent none. */
  note(name: string, count = 1): void {
    const known = name === '' ? NONE : /^[a-z0-9._-]+$/.test(name) && name.length <= LONGEST ? name : OTHER;
    const before = this.counts.get(known);
    const key = before === undefined && known !== NONE && this.counts.size >= MAX_NAMES ? OTHER : known;
    this.counts.set(key, (this.counts.get(key) ?? 0) + count);
  }

  get all(): readonly (readonly [name: string, count: number])[] {
    return [...this.counts];
  }

  /** Counts since the last call. */
  take(): readonly (readonly [name: string, count: number])[] {
    if (this.counts.size === 0) return [];
    const all = this.all;
    this.counts.clear();
    return all;
  }
}
