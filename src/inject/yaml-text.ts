// Reads YAML as kubectl does, and writes values as YAML and JSON.
import { Composer, type Document, isScalar, LineCounter, type ParsedNode, Parser, stringify, visit } from 'yaml';

/** Limit on uses of an anchor times uses within it: more is an attack. */
export const MAX_ALIASES = 1000;

/** kubectl's reader is YAML 1.1: `yes` is true, 0644 is octal, and `<<` merges. But times and base-60 numbers are text. */
const READ = {
  version: '1.1',
  merge: true,
  keepSourceTokens: true,
  prettyErrors: false,
  // The library compares each key with all before it. See `duplicateKey`.
  uniqueKeys: false,
  customTags: (tags: unknown[]) =>
    tags.filter((tag) => {
      const { tag: name, format } = tag as { tag?: string; format?: string };
      return name !== 'tag:yaml.org,2002:timestamp' && format !== 'TIME';
    }),
} as const;

export type YamlDocument = Document.Parsed<ParsedNode>;

/** One document at a time, because each takes two hundred times its text in memory. `lines` counts lines along the way. */
export function documentsOf(text: string, lines = new LineCounter()): Iterable<YamlDocument> {
  const composer = new Composer<ParsedNode, true>(READ as unknown as ConstructorParameters<typeof Composer>[0]);
  return composer.compose(new Parser(lines.addNewLine).parse(text)) as Iterable<YamlDocument>;
}

/** Offset of a key that its map has twice, which is not YAML; null if there is none. */
export function duplicateKey(document: YamlDocument): number | null {
  let found: number | null = null;
  visit(document, {
    Map: (_key, { items }) => {
      const seen = new Set<unknown>();
      for (const { key } of items) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value)) {
          found = key.range?.[0] ?? 0;
          return visit.BREAK;
        }
        seen.add(key.value);
      }
      return undefined;
    },
  });
  return found;
}

/** Style of the current file. */
export interface Style {
  readonly newline: '\n' | '\r\n';
  /** Whether list items are indented relative to their key. */
  readonly indentsItems: boolean;
  /** Indentation of JSON; empty if everything is on one line. */
  readonly unit: string;
}

/** Lines without the last newline. */
function lines(value: unknown, { indentsItems }: Style): string[] {
  // Quotes what YAML 1.1 would read as something else.
  const text = stringify(value, {
    version: '1.1',
    lineWidth: 0,
    indentSeq: indentsItems,
    aliasDuplicateObjects: false,
  });
  return text.replace(/\n$/, '').split('\n');
}

/** In block style, each line after `indent`; without a newline at the end. */
export const block = (value: unknown, indent: string, style: Style): string =>
  lines(value, style)
    .map((line) => (line === '' ? '' : indent + line))
    .join(style.newline);

/** A text or number in natural form, with the quotes of `like`. */
export function scalarText(value: unknown, like: string): string {
  if (typeof value === 'string' && /[\n\r]/.test(value)) return JSON.stringify(value);
  if (like === '"' && typeof value === 'string') return JSON.stringify(value);
  if (like === "'" && typeof value === 'string') return `'${value.replaceAll("'", "''")}'`;
  return stringify(value, { version: '1.1', lineWidth: 0 }).replace(/\n$/, '');
}

/** On one line, as JSON that is YAML too. */
export function flow(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flow).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const pairs = Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${flow(item)}`);
  return `{${pairs.join(', ')}}`;
}

/** JSON on lines of its own, of which the first has no indent. */
export const json = (value: unknown, indent: string, { unit, newline }: Style): string =>
  (JSON.stringify(value, null, unit) ?? 'null').replaceAll('\n', newline + indent);
