// Files with Kubernetes objects: one or more YAML documents, or JSON. Parsed to objects, and written back as the same text with only the
// changes applied.
import { isCollection, isSeq, isMap as isYamlMap, LineCounter, type Node, visit } from 'yaml';
import { same } from './difference.js';
import { jsonTexts } from './json-texts.js';
import { changed, inside, listShapeProblem } from './lists.js';
import { hiddenKey } from './merges.js';
import { isMap, type PlainMap, textOf } from './plain.js';
import { type Splice, spliced, TextEdits } from './text-edits.js';
import { isFlow, NotEditable, Places } from './text-places.js';
import { documentsOf, duplicateKey, MAX_ALIASES, type Style, type YamlDocument } from './yaml-text.js';

/** Maximum size of a file, and of all documents in it. */
export const MAX_BYTES = 8 << 20;
export const MAX_DOCUMENTS = 10_000;

/** A manifest that can't be used, with its place. */
export class ManifestProblem extends Error {
  override readonly name = 'ManifestProblem';

  constructor(
    readonly file: string,
    /** 1-based; 0 for the file as a whole. */
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
  readonly number: number;
  readonly line: number;
  /** Null for an empty document. */
  readonly value: PlainMap | null;
}

export interface Manifest {
  readonly file: string;
  readonly text: string;
  readonly parts: readonly Part[];
  /** The text of each part, if everything is JSON, which is parsed ten times as fast. Null: YAML. */
  readonly json: readonly string[] | null;
}

function checked(value: unknown, wrong: (what: string) => ManifestProblem): PlainMap | null {
  if (value === null || value === undefined) return null;
  if (!isMap(value)) throw wrong('is not a Kubernetes object: it is not a map');
  for (const key of ['apiVersion', 'kind'])
    if (textOf(value[key]) === '') throw wrong(`is not a Kubernetes object: it has no ${key}`);
  const misfit = listShapeProblem(value);
  if (misfit !== null) throw wrong(`is not a list of objects: ${misfit}`);
  return value;
}

const TEMPLATE = 'a template that was not filled in?';

function objectIn(
  source: YamlDocument,
  isTemplate: boolean,
  wrong: (what: string, offset?: number) => ManifestProblem,
): PlainMap | null {
  const [error] = source.errors;
  if (error !== undefined)
    throw wrong(`is not valid YAML: ${error.message}${isTemplate ? `; ${TEMPLATE}` : ''}`, error.pos[0]);
  const again = duplicateKey(source);
  if (again !== null)
    throw wrong(`is not valid YAML: a map has a key twice${isTemplate ? `; ${TEMPLATE}` : ''}`, again);
  let odd: Node | undefined;
  visit(source, {
    Pair: (_key, { key }) => {
      if (!isCollection(key)) return undefined;
      odd = key;
      return visit.BREAK;
    },
  });
  if (odd !== undefined) throw wrong(`has a map for a key: ${TEMPLATE}`, odd.range?.[0]);
  const hidden = hiddenKey(source);
  if (hidden !== null)
    throw wrong(
      `has ${JSON.stringify(hidden.key)} in front of <<, which brings it too, and wins: put << first`,
      hidden.offset,
    );
  let value: unknown;
  try {
    value = source.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (problem) {
    if (problem instanceof RangeError) throw problem;
    throw wrong(problem instanceof ReferenceError ? 'has too many aliases' : String(problem));
  }
  return checked(value, wrong);
}

/** Throws a ManifestProblem if the text is invalid. */
export function readManifest(text: string, file: string): Manifest {
  if (text.length > MAX_BYTES) throw new ManifestProblem(file, 0, 0, `is larger than ${MAX_BYTES >> 20} MiB`);
  const json = jsonTexts(text);
  if (json !== null) {
    const parts = json.map(({ line, value }, index) => {
      const number = index + 1;
      return { number, line, value: checked(value, (what) => new ManifestProblem(file, number, line, what)) };
    });
    return { file, text, parts, json: json.map((it) => it.text) };
  }
  try {
    return { file, text, parts: partsOf(text, file), json: null };
  } catch (error) {
    // The stack is full.
    if (error instanceof RangeError) throw new ManifestProblem(file, 0, 0, 'is nested too deeply');
    throw error;
  }
}

function partsOf(text: string, file: string): Part[] {
  const lines = new LineCounter();
  const parts: Part[] = [];
  const isTemplate = text.includes('{{') || text.includes('{%');
  for (const source of documentsOf(text, lines)) {
    if (parts.length === MAX_DOCUMENTS)
      throw new ManifestProblem(file, 0, 0, `has more than ${MAX_DOCUMENTS} documents`);
    const begin = source.contents?.range?.[0] ?? source.range[0];
    const number = parts.length + 1;
    const lineOf = (offset: number): number => Math.max(1, lines.linePos(offset).line);
    const wrong = (what: string, offset = begin): ManifestProblem =>
      new ManifestProblem(file, number, lineOf(offset), what);
    parts.push({ number, line: lineOf(begin), value: objectIn(source, isTemplate, wrong) });
  }
  return parts;
}

/** All objects, including those in lists. */
export const objectsOf = ({ parts }: Manifest): ManifestObject[] =>
  parts.flatMap(({ value, number, line }) =>
    value === null ? [] : inside(value).map((object) => ({ document: number, line, value: object })),
  );

function styleOf(text: string, source: YamlDocument): Style {
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

/** Null if the text can't be edited in place. */
function splicesOf(text: string, source: YamlDocument, before: PlainMap, after: PlainMap): readonly Splice[] | null {
  try {
    const edits = new TextEdits(text, source, styleOf(text, source));
    edits.change(before, after);
    return edits.splices;
  } catch (error) {
    if (error instanceof NotEditable) return null;
    throw error;
  }
}

type Values = readonly (PlainMap | null)[];

/** `text` with the edited documents; or the index of one that can't be edited in place. */
function edited(text: string, before: Values, after: Values): string | number {
  const splices: Splice[] = [];
  let index = 0;
  for (const source of documentsOf(text)) {
    const was = before[index];
    const wanted = after[index];
    index++;
    if (was === null || wanted === null || wanted === was) continue;
    const found = splicesOf(text, source, was, wanted);
    if (found === null) return index - 1;
    splices.push(...found);
  }
  return spliced(text, splices);
}

/** Whether a text parses to the expected values. */
function isRight(text: string, wanted: Values): boolean {
  let index = 0;
  for (const source of documentsOf(text)) {
    const value = wanted[index++];
    if (value === undefined || source.errors.length > 0 || duplicateKey(source) !== null) return false;
    if (!same(source.toJS({ maxAliasCount: MAX_ALIASES }) ?? null, value)) return false;
  }
  return index === wanted.length;
}

const isRightJson = (text: string, wanted: PlainMap | null): boolean => {
  const found = jsonTexts(text);
  return found?.length === 1 && same(found[0].value, wanted);
};

/** The text with every object changed by `change`, which is called once for each, in order. */
export function rewritten(manifest: Manifest, change: (object: PlainMap) => PlainMap): string {
  const { file, text, parts, json } = manifest;
  const before = parts.map(({ value }) => value);
  const after = before.map((value) => (value === null ? null : changed(value, change)));
  if (before.every((value, index) => value === after[index])) return text;
  const fail = ({ number, line }: Part): ManifestProblem => {
    const what = 'cannot be changed in place; -o yaml writes it anew, without its comments';
    return new ManifestProblem(file, number, line, what);
  };
  // The result is parsed again and only written if it is as expected.
  if (json !== null)
    return json
      .map((own, index) => {
        if (before[index] === after[index]) return own;
        const result = edited(own, [before[index]], [after[index]]);
        if (typeof result === 'number' || !isRightJson(result, after[index])) throw fail(parts[index]);
        return result;
      })
      .join('');
  const result = edited(text, before, after);
  if (typeof result === 'number') throw fail(parts[result]);
  if (!isRight(result, after)) throw fail(parts.find(({ value }, index) => value !== after[index]) ?? parts[0]);
  return result;
}
