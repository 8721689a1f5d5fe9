// Server names that TLS connections ask for and that are not ours, counted within a bound: anybody may make them up.

/** Names that are counted by themselves; all others count as OTHER. */
export const MOST_NAMES = 64;
const LONGEST = 253;
const NONE = 'none';
const OTHER = 'other';

export class ServerNames {
  private readonly counts = new Map<string, number>();

  /** `name` in lower case; empty: the client has named none. */
  note(name: string, count = 1): void {
    const known = name === '' ? NONE : /^[a-z0-9._-]+$/.test(name) && name.length <= LONGEST ? name : OTHER;
    const before = this.counts.get(known);
    const key = before === undefined && known !== NONE && this.counts.size >= MOST_NAMES ? OTHER : known;
    this.counts.set(key, (this.counts.get(key) ?? 0) + count);
  }

  get all(): readonly (readonly [name: string, count: number])[] {
    return [...this.counts];
  }

  /** What was counted since it was asked last. */
  take(): readonly (readonly [name: string, count: number])[] {
    if (this.counts.size === 0) return [];
    const all = this.all;
    this.counts.clear();
    return all;
  }
}
