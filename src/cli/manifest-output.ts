// Manifests as they go out, and what is said of each object in them.
import { stringify } from 'yaml';
import type { ObjectReport } from '../inject/inject-object.js';
import { changed, type Manifest, rewritten } from '../inject/manifests.js';
import type { PlainMap } from '../inject/plain.js';
import { problemText } from '../inject/problem.js';
import { titleOf } from '../inject/workloads.js';

export const FORMATS = ['yaml', 'json'] as const;
/** Null: as it came. */
export type Format = (typeof FORMATS)[number] | null;

const isJson = (text: string): boolean => /^\s*[{[]/.test(text);

function anew(manifest: Manifest, format: 'yaml' | 'json', change: (object: PlainMap) => PlainMap): string {
  const objects = manifest.parts.flatMap(({ value }) => (value === null ? [] : [changed(value, change)]));
  if (format === 'json') return objects.map((object) => `${JSON.stringify(object, null, 2)}\n`).join('');
  const options = { version: '1.1', lineWidth: 0, indentSeq: false, aliasDuplicateObjects: false } as const;
  return objects.map((object) => stringify(object, options)).join('---\n');
}

/** All manifests, changed, as one text that kubectl takes. */
export function written(
  manifests: readonly Manifest[],
  format: Format,
  change: (object: PlainMap) => PlainMap,
): string {
  const texts = manifests.map((manifest) => {
    // JSON is YAML, but not the other way.
    if (format === null || (format === 'json' && isJson(manifest.text) && manifests.length === 1))
      return rewritten(manifest, change);
    return anew(manifest, format, change);
  });
  if (format === 'json') return texts.join('');
  let whole = '';
  for (const text of texts) {
    if (text === '') continue;
    const isOpen = whole !== '' && !whole.endsWith('\n');
    const separator = whole === '' || /^---(\s|$)/.test(text) || /(^|\n)---\s*$/.test(whole) ? '' : '---\n';
    whole += (isOpen ? '\n' : '') + separator + text;
  }
  return whole;
}

/** Lines about one object: what became of it, and what is wrong with its annotations. */
export function reportLines(object: PlainMap, report: ObjectReport, done: string): string[] {
  const { result, message, problems } = report;
  const said = result === 'injected' || result === 'annotated' ? done : `${result}: ${message}`;
  return [`${titleOf(object)} ${said}`, ...problems.map((problem) => `  ${problem.severity}: ${problemText(problem)}`)];
}
