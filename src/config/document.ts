// Reads YAML text: its plain value, its syntax errors, and the line and column of every key.
import type { Document, Node, Pair, YAMLError, YAMLMap } from 'yaml';
import { isAlias, isMap, isNode, isSeq, LineCounter, parseDocument, visit } from 'yaml';
import type { KeyPath } from './problem.js';
import { formatPath } from './problem.js';

export interface Place {
  readonly line: number;
  readonly column: number;
}

export interface TextProblem extends Place {
  readonly path: string;
  readonly message: string;
}

/** A parsed text. */
export interface ReadText {
  /** Plain maps, lists and scalars; null for an empty text. */
  readonly value: unknown;
  readonly problems: readonly TextProblem[];
  /** False if the text is too broken for `value` to be meaningful. */
  readonly readable: boolean;
  /** Place of the value at `path`, or of its key; of the nearest parent if there is none. */
  locate(path: KeyPath, at: 'key' | 'value'): Place;
}

const ADVICE: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'a tab indents this line; indent with spaces',
  MULTIPLE_DOCS: 'a second document begins here; keep one document per file',
  RESOURCE_EXHAUSTION: 'aliases expand to too much text; write the values out',
};

const LOOKS_LIKE_IPV6 = /(?<!["'])\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:\/\d+)?\]:\d/;

function advice(error: YAMLError, line: string): string {
  if (ADVICE[error.code] !== undefined) return ADVICE[error.code];
  if (LOOKS_LIKE_IPV6.test(line))
    return 'brackets begin a list in YAML; put the IPv6 address in quotes, such as "[::1]:8080"';
  if (error.code === 'TAG_RESOLVE_FAILED') return `${error.message}; remove the tag`;
  return `is not valid YAML: ${error.message}; correct the syntax`;
}

/** Resolves aliases. */
function resolve(node: unknown, document: Document): Node | undefined {
  const target = isAlias(node) ? node.resolve(document) : node;
  return isNode(target) ? target : undefined;
}

function keyText(pair: Pair): string {
  const key: unknown = isNode(pair.key) ? pair.key.toJSON() : pair.key;
  return key === null ? '' : String(key);
}

interface DuplicateKey {
  readonly path: string;
  /** Offsets of the repeated key, and of the first one. */
  readonly offset: number;
  readonly first: number;
}

/** All repeated keys of maps. (The parser's own check compares each key with every other one.) */
function duplicateKeys(document: Document): DuplicateKey[] {
  const found: DuplicateKey[] = [];
  const path: (string | number)[] = [];
  const walk = (node: unknown): void => {
    if (isSeq(node)) {
      for (const [index, item] of node.items.entries()) {
        path.push(index);
        walk(item);
        path.pop();
      }
    }
    if (!isMap(node)) return;
    const seen = new Map<string, number>();
    for (const pair of node.items) {
      const key = keyText(pair);
      const offset = isNode(pair.key) ? (pair.key.range?.[0] ?? 0) : 0;
      const first = seen.get(key);
      path.push(key);
      if (first !== undefined) found.push({ path: formatPath(path), offset, first });
      else seen.set(key, offset);
      walk(pair.value);
      path.pop();
    }
  };
  walk(document.contents);
  return found;
}

/** Aliases that refer to no earlier anchor, or to an anchor that contains them. */
function badAliases(document: Document): { offset: number; message: string }[] {
  const bad: { offset: number; message: string }[] = [];
  let count = 0;
  visit(document, {
    Alias(_key, alias, parents) {
      // Each lookup starts from the beginning.
      if (++count > MAX_ALIASES) {
        bad.push({ offset: alias.range?.[0] ?? 0, message: `is alias ${count}; write the values out` });
        return visit.BREAK;
      }
      const target = alias.resolve(document);
      const offset = alias.range?.[0] ?? 0;
      if (target === undefined)
        bad.push({ offset, message: `*${alias.source} names no anchor above; define &${alias.source} first` });
      else if (parents.includes(target))
        bad.push({ offset, message: `*${alias.source} contains itself; write the value out` });
      return undefined;
    },
  });
  return bad;
}

const MAX_ALIASES = 1000;
/** Nested brackets, and columns before the first word of a line: each may be a level. */
const MAX_BRACKETS = 100;
const MAX_INDENT = 200;

/**
 * The line from which on a text is nested too deeply; 0 if it is not. The parser recurses for each level, and when the stack is full V8 may
 * end the process instead of throwing (in the compiler of regular expressions).
 */
function deepLine(text: string): number {
  let line = 1;
  let brackets = 0;
  let indent = 0;
  let leading = true;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '\n') {
      line++;
      indent = 0;
      leading = true;
      continue;
    }
    if (character === '[' || character === '{') brackets++;
    else if (character === ']' || character === '}') brackets--;
    leading &&= ' \t-?:'.includes(character);
    if (leading) indent++;
    if (brackets > MAX_BRACKETS || indent > MAX_INDENT) return line;
  }
  return 0;
}

export function readYaml(text: string): ReadText {
  const deep = deepLine(text);
  if (deep > 0) {
    const place = { line: deep, column: 1 };
    const problem = { ...place, path: '', message: 'is nested too deeply; use fewer levels' };
    return { value: null, problems: [problem], readable: false, locate: () => place };
  }
  const lines = new LineCounter();
  const document: Document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false });
  const place = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };

  const problems: TextProblem[] = [];
  let readable = true;
  for (const { path, offset, first } of duplicateKeys(document)) {
    problems.push({
      ...place(offset),
      path,
      message: `is written twice, first on line ${place(first).line}; keep one`,
    });
  }
  const upset = new Set(problems.map(({ line }) => line));
  for (const error of [...document.errors, ...document.warnings]) {
    readable = false;
    const at = place(error.pos[0]);
    // One error often causes several messages for its line.
    if (upset.has(at.line)) continue;
    upset.add(at.line);
    const lineEnd = text.indexOf('\n', lines.lineStarts[at.line - 1]);
    const line = text.slice(lines.lineStarts[at.line - 1], lineEnd < 0 ? undefined : lineEnd);
    problems.push({ ...at, path: '', message: advice(error, line) });
  }
  for (const { offset, message } of badAliases(document)) {
    readable = false;
    problems.push({ ...place(offset), path: '', message });
  }

  let value: unknown = null;
  if (readable) {
    try {
      value = document.toJS();
    } catch (error) {
      readable = false;
      const message = error instanceof Error ? error.message : String(error);
      problems.push({
        line: 1,
        column: 1,
        path: '',
        message: `cannot be read as YAML: ${message}; write the values out`,
      });
    }
  }

  // By key, so that a thousand problems in a map of a thousand keys do not take a million steps.
  const pairs = new Map<YAMLMap, Map<string, Pair>>();
  const pairOf = (map: YAMLMap, key: string): Pair | undefined => {
    let byKey = pairs.get(map);
    if (byKey === undefined) {
      byKey = new Map(map.items.map((item) => [keyText(item), item]));
      pairs.set(map, byKey);
    }
    return byKey.get(key);
  };
  const locate = (path: KeyPath, at: 'key' | 'value'): Place => {
    let node = resolve(document.contents, document);
    let offset = node?.range?.[0] ?? 0;
    for (const [depth, part] of path.entries()) {
      let key: unknown;
      let child: unknown;
      if (isMap(node)) {
        const pair = pairOf(node, String(part));
        key = pair?.key;
        child = pair?.value;
      } else if (isSeq(node) && typeof part === 'number') {
        child = node.items[part];
      }
      const wantsKey = at === 'key' && depth === path.length - 1;
      const target = isNode(child) && !(wantsKey && isNode(key)) ? child : key;
      if (!isNode(target)) break;
      offset = target.range?.[0] ?? offset;
      node = resolve(child, document);
    }
    return place(offset);
  };

  return { value, problems, readable, locate };
}
