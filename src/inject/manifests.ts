// Files with objects of Kubernetes: one or more documents of YAML, or JSON. Read as objects; written back as the same text, in which only
// what has changed differs.
import { type Document, isCollection, isSeq, isMap as isYamlMap, type Node, type ParsedNode, visit } from 'yaml';
import { same } from './difference.js';
import { isMap, type PlainMap, textOf } from './plain.js';
import { type Splice, spliced, TextEdits } from './text-edits.js';
import { isFlow, Places, Unchangeable } from './text-places.js';
import { MOST_ALIASES, readYaml, type Style } from './yaml-text.js';

/** Of a file, and of all documents in it. */
export const MOST_BYTES = 16 << 20;
export const MOST_DOCUMENTS = 10_000;

/** A manifest that can't be used, with its place. */
export class ManifestProblem extends Error {
  override readonly name = 'ManifestProblem';

  constructor(
    readonly file: string,
    /** 1-based; 0 where it is the file as a whole. */
    readonly document: number,
    readonly line: number,
    readonly what: string,
  ) {
    super(`${file}${document === 0 ? '' : `: document ${document}, line ${line}`}: ${what}`);
  }
}

export interface ManifestObject {
  /** 1-based. */
  readonly document: number;
  readonly line: number;
  readonly value: PlainMap;
}

interface Part {
  readonly source: Document.Parsed<ParsedNode>;
  readonly number: number;
  readonly line: number;
  /** Null of a document with nothing in it. */
  readonly value: PlainMap | null;
}

export interface Manifest {
  readonly file: string;
  readonly text: string;
  readonly parts: readonly Part[];
}

const isList = ({ kind, items }: PlainMap): boolean => textOf(kind).endsWith('List') && Array.isArray(items);

function objectIn(
  source: Document.Parsed<ParsedNode>,
  wrong: (what: string, offset?: number) => ManifestProblem,
): PlainMap | null {
  const [error] = source.errors;
  if (error !== undefined) throw wrong(`is no YAML: ${error.message}`, error.pos[0]);
  let odd: Node | undefined;
  visit(source, {
    Pair: (_key, { key }) => {
      if (!isCollection(key)) return undefined;
      odd = key;
      return visit.BREAK;
    },
  });
  if (odd !== undefined) throw wrong('has a map for a key: a template that was not filled in?', odd.range?.[0]);
  let value: unknown;
  try {
    value = source.toJS({ maxAliasCount: MOST_ALIASES });
  } catch (problem) {
    throw wrong(problem instanceof ReferenceError ? 'has too many aliases' : String(problem));
  }
  if (value === null || value === undefined) return null;
  if (!isMap(value)) throw wrong('is no object of Kubernetes: it is no map');
  for (const key of ['apiVersion', 'kind'])
    if (textOf(value[key]) === '') throw wrong(`is no object of Kubernetes: it has no ${key}`);
  return value;
}

/** Throws a ManifestProblem where the text is none. */
export function readManifest(text: string, file: string): Manifest {
  if (text.length > MOST_BYTES) throw new ManifestProblem(file, 0, 0, `is larger than ${MOST_BYTES >> 20} MiB`);
  const { documents, lineOf } = readYaml(text);
  if (documents.length > MOST_DOCUMENTS)
    throw new ManifestProblem(file, 0, 0, `has more than ${MOST_DOCUMENTS} documents`);
  const parts = documents.map((source, index) => {
    const begin = source.contents?.range?.[0] ?? source.range[0];
    const number = index + 1;
    const wrong = (what: string, offset = begin): ManifestProblem =>
      new ManifestProblem(file, number, lineOf(offset), what);
    return { source, number, line: lineOf(begin), value: objectIn(source, wrong) };
  });
  return { file, text, parts };
}

/** All objects, those in lists included. */
export const objectsOf = ({ parts }: Manifest): ManifestObject[] =>
  parts.flatMap(({ value, number, line }) =>
    value === null ? [] : inside(value).map((object) => ({ document: number, line, value: object })),
  );

function inside(value: PlainMap): PlainMap[] {
  return isList(value) ? (value.items as unknown[]).filter(isMap).flatMap(inside) : [value];
}

/** An object with all in it changed; the same one where nothing changes. */
export function changed(value: PlainMap, change: (object: PlainMap) => PlainMap): PlainMap {
  if (!isList(value)) return change(value);
  const before = value.items as unknown[];
  const items = before.map((item) => (isMap(item) ? changed(item, change) : item));
  return items.every((item, index) => item === before[index]) ? value : { ...value, items };
}

function styleOf(text: string, { source }: Part): Style {
  const places = new Places(text);
  let indentsItems = false;
  let isFound = false;
  visit(source, {
    Pair: (_key, pair, path) => {
      const map = path.at(-1);
      if (!isSeq(pair.value) || isFlow(pair.value) || !isYamlMap(map) || isFlow(map)) return undefined;
      if (pair.value.items.length === 0) return undefined;
      isFound = true;
      const column = (offset: number): number => offset - places.lineStart(offset);
      indentsItems = column(places.ofItem(pair.value, 0).start) > column(places.keyStart(pair));
      return visit.BREAK;
    },
  });
  const { contents } = source;
  const first = isYamlMap(contents) && isFlow(contents) && contents.items.length > 0 ? contents.items[0] : null;
  const isLong = first !== null && text.slice(source.range[0], places.keyStart(first)).includes('\n');
  const newline = /\r?\n/.exec(text.slice(source.range[0]))?.[0] ?? /\r?\n/.exec(text)?.[0];
  return {
    newline: newline === '\r\n' ? '\r\n' : '\n',
    indentsItems: isFound && indentsItems,
    unit: first !== null && isLong ? places.indent(places.keyStart(first)) : '',
  };
}

/** The text with every object changed by `change`, which is called once for each, in the order of the file. */
export function rewritten(manifest: Manifest, change: (object: PlainMap) => PlainMap): string {
  const { file, text, parts } = manifest;
  const after = parts.map(({ value }) => (value === null ? null : changed(value, change)));
  const splices: Splice[] = [];
  const fail = ({ number, line }: Part): ManifestProblem =>
    new ManifestProblem(file, number, line, 'cannot be changed in place; -o yaml writes it anew, without its comments');
  for (const [index, part] of parts.entries()) {
    if (after[index] === part.value) continue;
    try {
      const edits = new TextEdits(text, part.source, styleOf(text, part));
      edits.change(part.value, after[index]);
      splices.push(...edits.splices);
    } catch (error) {
      if (error instanceof Unchangeable) throw fail(part);
      throw error;
    }
  }
  if (splices.length === 0) return text;
  const result = spliced(text, splices);
  // What was written is read again: it is what it should be, or it is not written.
  const { documents } = readYaml(result);
  for (const [index, part] of parts.entries()) {
    const again = documents.at(index);
    const right =
      again !== undefined &&
      again.errors.length === 0 &&
      same(again.toJS({ maxAliasCount: MOST_ALIASES }), after[index]);
    if (documents.length !== parts.length || !right) throw fail(part);
  }
  return result;
}
