// Opaque ports in annotations: a list replaces what would apply without it; one with a leading `+` adds to that. A Service or pod comes
// before its namespace, and that before the default list.
import { type PortSpan, parsePortList } from '../redirect/port-list.js';

export interface PortAnnotation {
  /** Lower levels apply as well. */
  readonly adds: boolean;
  readonly spans: readonly PortSpan[];
  readonly names: readonly string[];
  /** Invalid entries; the others count. */
  readonly problems: readonly string[];
}

export const spansOf = (ports: Iterable<number>): PortSpan[] => [...ports].map((port) => ({ first: port, last: port }));

/** Many objects have the same text. */
const known = new Map<string, PortAnnotation>();
const MAX_KNOWN = 1000;

export function readPortAnnotation(text: string): PortAnnotation {
  const found = known.get(text);
  if (found !== undefined) return found;
  const trimmed = text.trim();
  const adds = trimmed.startsWith('+');
  const read = { adds, ...parsePortList(adds ? trimmed.slice(1) : trimmed) };
  if (known.size >= MAX_KNOWN) known.clear();
  known.set(text, read);
  return read;
}

/** The numbers for a name. */
export type NamedPorts = (name: string) => readonly number[];

const lists = ({ spans, names }: PortAnnotation, port: number, named: NamedPorts): boolean =>
  spans.some(({ first, last }) => port >= first && port <= last) || names.some((name) => named(name).includes(port));

/** Whether a port is in the effective list of these texts, the most important first; `fallback` if none replaces it. */
export function isListed(
  port: number,
  texts: readonly (string | null)[],
  fallback: readonly PortSpan[],
  named: NamedPorts,
): boolean {
  for (const text of texts) {
    if (text === null) continue;
    const annotation = readPortAnnotation(text);
    if (lists(annotation, port, named)) return true;
    if (!annotation.adds) return false;
  }
  return fallback.some(({ first, last }) => port >= first && port <= last);
}
