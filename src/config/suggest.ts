// "Did you mean": the known word closest to a mistyped one.

/** Edit distance that counts swapping two neighbours as one edit (optimal string alignment). */
function distance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, beforeLast[j - 2] + 1);
      row.push(cost);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length];
}

// keep_alive, keep-alive and KeepAlive all mean keepAlive.
const plain = (word: string): string => word.toLowerCase().replaceAll(/[-_. ]/g, '');

/** The word of `known` closest to `word`, or undefined if none is close. */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  const wanted = plain(word.slice(0, 100));
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const d = distance(wanted, plain(candidate));
    if (d < bestDistance) {
      best = candidate;
      bestDistance = d;
    }
  }
  return bestDistance <= Math.max(1, Math.floor(wanted.length / 3)) ? best : undefined;
}

/** Maximum number of words in a message. */
const MAX_LISTED = 20;

function listed(known: readonly string[]): string {
  if (known.length <= 2 * MAX_LISTED) return known.join(', ');
  return `${known.slice(0, MAX_LISTED).join(', ')} and ${known.length - MAX_LISTED} more`;
}

/** `did you mean "x"?`, or else the known words, or else that there are none. */
export function suggest(word: string, known: readonly string[]): string {
  const near = nearest(word, known);
  if (near !== undefined) return `did you mean ${JSON.stringify(near)}?`;
  return known.length === 0 ? 'there are none' : `expected one of ${listed(known)}`;
}
