// Assigns cores to the subject, and to the load and the servers. Pure functions.

export interface Placement {
  /** In the syntax of `taskset -c`. */
  readonly subject: string;
  readonly load: string;
  readonly upstream: string;
  /** What shares a core, in words; null: nothing does. */
  readonly shared: string | null;
}

/** `0-3,8` as numbers. */
export function coreList(text: string): number[] {
  return text
    .trim()
    .split(',')
    .filter((part) => part !== '')
    .flatMap((part) => {
      const [from, to = from] = part.split('-').map(Number);
      return Array.from({ length: to - from + 1 }, (_, at) => from + at);
    });
}

/**
 * The subject gets the last `workers` cores, one per worker; the load gets the first one, and the upstream the next if there are more than
 * two left. Further cores go to the load's threads.
 */
export function place(cores: readonly number[], workers: number): Placement {
  if (cores.length <= workers) {
    const all = cores.join(',');
    return { subject: all, load: all, upstream: all, shared: 'subject, load and upstream share all cores' };
  }
  const subject = cores.slice(-workers).join(',');
  const rest = cores.slice(0, -workers);
  if (rest.length === 1) {
    const one = String(rest[0]);
    return { subject, load: one, upstream: one, shared: `load and upstream share core ${one}` };
  }
  const forLoad = Math.ceil(rest.length / 2);
  const of = (some: readonly number[]): string => some.join(',');
  return { subject, load: of(rest.slice(0, forLoad)), upstream: of(rest.slice(forLoad)), shared: null };
}
