// No two `match` entries may contain the same address and port: the service must not depend on their order.
import type { Finding } from './finding.js';
import { parseMatch } from './match.js';
import type { MatchRange } from './model.js';
import type { KeyPath } from './problem.js';
import { formatPath } from './problem.js';
import { attempt } from './values.js';

/** Further overlaps are counted, not listed. */
const MAX_FINDINGS = 20;

interface Entry {
  readonly service: string;
  readonly index: number;
  /** Position in the file. */
  readonly order: number;
  readonly range: MatchRange;
}

const pathOf = ({ service, index }: Entry): KeyPath => ['services', service, 'match', index];

function describeOverlap(entry: Entry, other: Entry, line: (path: KeyPath) => number): string {
  const where = `${formatPath(pathOf(other))} (${JSON.stringify(other.range.text)}, line ${line(pathOf(other))})`;
  const text = JSON.stringify(entry.range.text);
  const same = entry.range.first === other.range.first && entry.range.last === other.range.last;
  if (!same) return `${text} overlaps ${where}; each address and port may be matched only once`;
  return entry.service === other.service
    ? `${text} is listed twice, first as ${where}; remove one`
    : `${text} is taken by ${where}; keep one of the two`;
}

/**
 * Entries that overlap another one. Ranges are either disjoint or nested, so in sorted order an entry overlaps an earlier one only if it
 * overlaps the one that reaches furthest: O(n log n).
 */
export function overlappingMatches(
  matches: Iterable<readonly [service: string, match: readonly unknown[]]>,
  line: (path: KeyPath) => number,
): Finding[] {
  const entries: Entry[] = [];
  for (const [service, match] of matches) {
    for (const [index, text] of match.entries()) {
      const range = attempt(() => parseMatch(text));
      if (range !== undefined) entries.push({ service, index, order: entries.length, range });
    }
  }
  entries.sort((a, b) => (a.range.first < b.range.first ? -1 : a.range.first > b.range.first ? 1 : a.order - b.order));
  const findings: Finding[] = [];
  let furthest: Entry | undefined;
  let more = 0;
  for (const entry of entries) {
    if (furthest !== undefined && entry.range.first <= furthest.range.last) {
      // The later one in the file is reported.
      const [kept, late] = furthest.order < entry.order ? [furthest, entry] : [entry, furthest];
      if (findings.length < MAX_FINDINGS) {
        findings.push({ path: pathOf(late), message: describeOverlap(late, kept, line), at: 'value' });
      } else more++;
    }
    if (furthest === undefined || entry.range.last > furthest.range.last) furthest = entry;
  }
  if (more > 0) findings.push({ path: ['services'], message: `${more} more entries of match overlap`, at: 'key' });
  return findings;
}
