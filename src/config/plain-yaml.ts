// The few lines of YAML that long lists are written in, read forty times as fast as YAML itself:
//
//   - "10.0.0.1:80"            name:
//   - "10.0.0.2:80"      or      - "10.0.0.1:80"
//                              other: []
//
// Whatever else a text has makes it YAML for the real reader, so that both never differ.
import type { Place, ReadText } from './document.js';
import type { KeyPath } from './problem.js';

const NOTHING = /^ *(?:#.*)?$/;
/** Double quotes without escapes, single quotes, or an IPv4 address with a port, which needs none. */
const ITEM = /^( *)- +(?:"([^"\\\t]*)"|'([^'\t]*)'|(\d+\.\d+\.\d+\.\d+:\d+)) *(?: #.*)?$/;
const KEY = /^(?:([A-Za-z_][\w./-]*)|"([^"\\\t]+)"|'([^'\t]+)'): *(\[\])? *(?: #.*)?$/;
/** Words that YAML takes for something else than text (core schema, YAML 1.2 section 10.3.2). */
const NO_TEXT = /^(?:null|true|false)$/i;

interface Line {
  /** 0-based. */
  readonly number: number;
  readonly text: string;
}

function* lines(text: string): Generator<Line> {
  let at = 0;
  for (let number = 0; at < text.length; number++) {
    const end = text.indexOf('\n', at);
    const stop = end < 0 ? text.length : end;
    yield { number, text: text.slice(at, text[stop - 1] === '\r' && stop > at ? stop - 1 : stop) };
    at = stop + 1;
  }
}

type Value = string[] | Map<string, string[]>;

/** Calls `visit` with each key and item; null where a line is none of ours. */
function scan(text: string, visit: (path: KeyPath, line: Line) => void): Value | null {
  const map = new Map<string, string[]>();
  let list: string[] | null = null;
  let name: string | null = null;
  let indent = -1;
  /** The list was written as `[]`, or its key has no item yet. */
  let state: 'open' | 'closed' | 'wanting' = 'open';
  for (const line of lines(text)) {
    if (NOTHING.test(line.text)) continue;
    const item = ITEM.exec(line.text);
    if (item !== null) {
      list ??= [];
      if (indent < 0) indent = item[1].length;
      if (state === 'closed' || item[1].length !== indent) return null;
      state = 'open';
      visit(name === null ? [list.length] : [name, list.length], line);
      list.push(item[2] ?? item[3] ?? item[4]);
      continue;
    }
    const key = KEY.exec(line.text);
    if (key === null || state === 'wanting' || (list !== null && name === null)) return null;
    name = key[1] ?? key[2] ?? key[3];
    // Numbers and the like as keys are YAML's to read; and `__proto__` nobody's.
    if (map.has(name) || NO_TEXT.test(name) || name === '__proto__') return null;
    list = [];
    indent = -1;
    state = key[4] === undefined ? 'wanting' : 'closed';
    visit([name], line);
    map.set(name, list);
  }
  if (state === 'wanting' || list === null) return null;
  return name === null ? list : map;
}

function locate(text: string, wanted: KeyPath, at: 'key' | 'value'): Place {
  let place: Place = { line: 1, column: 1 };
  scan(text, (path, line) => {
    if (path.some((part, index) => part !== wanted[index])) return;
    const isItem = typeof path[path.length - 1] === 'number';
    const value = line.text.search(/[^ ]/) + (isItem ? (/- +/.exec(line.text)?.[0].length ?? 0) : 0);
    // The value of a key is its first item; the key is near enough, and easier to see.
    place = { line: line.number + 1, column: (at === 'key' && !isItem ? 0 : value) + 1 };
  });
  return place;
}

/** Null where the text is more than plain lists. */
export function readPlainYaml(text: string): ReadText | null {
  const found = scan(text, () => undefined);
  if (found === null) return null;
  const value = found instanceof Map ? Object.fromEntries(found) : found;
  return { value, problems: [], readable: true, locate: (path, at) => locate(text, path, at) };
}
