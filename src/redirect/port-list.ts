// Lists of ports in annotations and in options of `sluice init`: `25,587`, `4000-4010`, `mysql`.

export interface PortSpan {
  readonly first: number;
  readonly last: number;
}

export interface PortList {
  /** Sorted, without overlaps, with neighbours joined. */
  readonly spans: readonly PortSpan[];
  /** Names of container ports, in the order of the list. */
  readonly names: readonly string[];
  /** Invalid entries, with the reason. The rest of the list counts. */
  readonly problems: readonly string[];
}

const LAST_PORT = 65_535;
/** Names of ports (RFC 6335, section 5.1): at most 15 letters, digits and hyphens, with at least one letter. */
const NAME = /^(?=.*[a-z])[a-z0-9](?:-?[a-z0-9])*$/i;
const MAX_NAME = 15;

function portOf(text: string): number | null {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  return port <= LAST_PORT ? port : null;
}

/** The range of `text`, its name, or its problem. */
function entry(text: string): PortSpan | { name: string } | string {
  const quoted = JSON.stringify(text);
  const range = /^(\d+)\s*-\s*(\d+)$/.exec(text);
  if (range === null) {
    const port = portOf(text);
    if (port !== null) return { first: port, last: port };
    if (/^-?\d+$/.test(text)) return `${quoted} is not a port: ports go from 0 to ${LAST_PORT}`;
    if (text.length <= MAX_NAME && NAME.test(text)) return { name: text };
    return `${quoted} is neither a port, a range such as 4000-4010, nor the name of a port`;
  }
  const first = portOf(range[1]);
  const last = portOf(range[2]);
  if (first === null || last === null) return `${quoted} is not a range of ports: they go from 0 to ${LAST_PORT}`;
  if (first > last) return `${quoted} ends before it begins; write ${last}-${first}`;
  return { first, last };
}

/** Sorted and joined: 1-3, 2-5 and 6 become 1-6. */
export function joinSpans(spans: readonly PortSpan[]): PortSpan[] {
  const joined: PortSpan[] = [];
  for (const span of [...spans].sort((a, b) => a.first - b.first)) {
    const before = joined.at(-1);
    if (before !== undefined && span.first <= before.last + 1)
      joined[joined.length - 1] = { first: before.first, last: Math.max(before.last, span.last) };
    else joined.push(span);
  }
  return joined;
}

/** Parses a comma-separated list. Spaces around entries and empty entries are ignored. */
export function parsePortList(text: string): PortList {
  const spans: PortSpan[] = [];
  const names: string[] = [];
  const problems: string[] = [];
  for (const part of text.split(',')) {
    const trimmed = part.trim();
    if (trimmed === '') continue;
    const read = entry(trimmed);
    if (typeof read === 'string') problems.push(read);
    else if ('name' in read) names.push(read.name);
    else spans.push(read);
  }
  return { spans: joinSpans(spans), names: [...new Set(names)], problems };
}

/** `25,4000-4010` */
export const formatSpans = (spans: readonly PortSpan[]): string =>
  spans.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)).join(',');
