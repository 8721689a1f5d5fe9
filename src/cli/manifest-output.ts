// Writes manifests, and a report line for each of their objects.
import { stringify } from 'yaml';
import type { ObjectReport } from '../inject/inject-object.js';
import { jsonTexts } from '../inject/json-texts.js';
import { changed } from '../inject/lists.js';
import { type Manifest, rewritten } from '../inject/manifests.js';
import type { PlainMap } from '../inject/plain.js';
import { problemText } from '../inject/problem.js';
import { titleOf } from '../inject/workloads.js';

export const FORMATS = ['yaml', 'json'] as const;
/** Null: keep the input's format. */
export type Format = (typeof FORMATS)[number] | null;

interface Piece {
  readonly text: string;
  readonly isJson: boolean;
}

function anew(manifest: Manifest, format: 'yaml' | 'json', change: (object: PlainMap) => PlainMap): string {
  const objects = manifest.parts.flatMap(({ value }) => (value === null ? [] : [changed(value, change)]));
  if (format === 'json') return objects.map((object) => `${JSON.stringify(object, null, 2)}\n`).join('');
  const options = { version: '1.1', lineWidth: 0, indentSeq: false, aliasDuplicateObjects: false } as const;
  return objects.map((object) => stringify(object, options)).join('---\n');
}

/** JSON is also YAML, but not the other way round. */
function pieceOf(manifest: Manifest, format: Format, change: (object: PlainMap) => PlainMap): Piece {
  const isJson = manifest.json !== null;
  if (format === null || (format === 'json' && isJson)) return { text: rewritten(manifest, change), isJson };
  return { text: anew(manifest, format, change), isJson: format === 'json' };
}

/** Whether the text ends with a document separator. */
const isSeparated = (text: string): boolean => /(^|\n)---\s*$/.test(text.slice(-100));

/** JSON objects as YAML documents. */
function separated(text: string): string {
  const objects = jsonTexts(text) ?? [];
  return objects.length < 2 ? text : objects.map((object) => `${object.text.trim()}\n`).join('---\n');
}

/**
 * Joins several texts. kubectl treats a text that begins with a brace as JSON to its end, with nothing between objects. In YAML all objects
 * are separated, including those in JSON. Only the first text may have a byte order mark.
 */
function joined(pieces: readonly Piece[]): string {
  const [first, ...more] = pieces.filter(({ text }) => text.trim() !== '');
  if (first === undefined) return pieces.map(({ text }) => text).join('');
  if (more.length === 0) return first.text;
  const isJson = pieces.every((piece) => piece.isJson);
  const textOf = (piece: Piece): string => (piece.isJson && !isJson ? separated(piece.text) : piece.text);
  const texts = [isJson || !first.isJson ? first.text : `---\n${textOf(first)}`];
  let last = texts[0];
  for (const piece of more) {
    const text = textOf(piece).replace(/^\ufeff/, '');
    const newline = last.endsWith('\n') ? '' : '\n';
    const separator = isJson || /^---(\s|$)/.test(text) || isSeparated(last) ? '' : '---\n';
    texts.push(newline + separator, text);
    last = text;
  }
  return texts.join('');
}

/** All changed manifests as one text that kubectl accepts. */
export const written = (
  manifests: readonly Manifest[],
  format: Format,
  change: (object: PlainMap) => PlainMap,
): string => joined(manifests.map((manifest) => pieceOf(manifest, format, change)));

/** Lines about one object: what was done to it, and problems with its annotations. */
export function reportLines(object: PlainMap, report: ObjectReport, done: string): string[] {
  const { result, message, problems } = report;
  const said = result === 'injected' || result === 'annotated' ? done : `${result}: ${message}`;
  return [`${titleOf(object)} ${said}`, ...problems.map((problem) => `  ${problem.severity}: ${problemText(problem)}`)];
}
