// The few forms of YAML that long lists of endpoints are written in, read some forty times as fast as by YAML's own reader:
//
//   - "10.0.0.1:80"                           name:
//   - { address: "10.0.0.2:80", weight: 2 }     - "10.0.0.1:80"
//   - address: "10.0.0.3:80"                  other: []
//     weight: 2
//
// A text with anything else in it is left to the real reader, so that both never differ.
import type { Place, ReadText } from './document.js';
import type { KeyPath } from './problem.js';

/** Double quotes without escapes, single quotes, an IPv4 address with a port, an integer, or a word. */
const SCALAR = String.raw`"[^"\\\t]*"|'[^'\t]*'|\d+\.\d+\.\d+\.\d+:\d+|0|[1-9]\d{0,8}|[A-Za-z][\w.-]*`;
const PAIR = String.raw`[A-Za-z]\w*: +(?:${SCALAR})`;
const END = ' *(?: #.*)?$';
const NOTHING = /^ *(?:#.*)?$/;
const KEY = new RegExp(String.raw`^([A-Za-z_][\w./-]*|"[^"\\\t]+"|'[^'\t]+'):(?: +(\[\]))?${END}`);
const ITEM = new RegExp(String.raw`^( *)(- +)(?:(${SCALAR})|\{ *(${PAIR}(?: *, *${PAIR})*) *\}|(${PAIR}))${END}`);
const MORE = new RegExp(`^( *)(${PAIR})${END}`);
const PAIRS = new RegExp(String.raw`([A-Za-z]\w*): +(${SCALAR})`, 'g');
/** Words that YAML does not read as text (core schema, YAML 1.2 section 10.3.2). */
const NO_TEXT = /^(?:null|true|false)$/i;

type Scalar = string | number;
type Item = Scalar | Record<string, Scalar>;
type Value = Item[] | Map<string, Item[]>;

/** Thrown if the text has another form. */
class NotPlain extends Error {}

function scalar(text: string): Scalar {
  const first = text[0];
  if (first === '"' || first === "'") return text.slice(1, -1);
  if (NO_TEXT.test(text)) throw new NotPlain();
  return /^\d+$/.test(text) ? Number(text) : text;
}

function addPairs(item: Record<string, Scalar>, text: string): void {
  for (const [, key, value] of text.matchAll(PAIRS)) {
    if (NO_TEXT.test(key) || Object.hasOwn(item, key)) throw new NotPlain();
    item[key] = scalar(value);
  }
}

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

/** Reads line by line. Calls `visit` with the path of each key and item, and of each key in an item with several lines. */
class Reader {
  readonly #map = new Map<string, Item[]>();
  #list: Item[] | null = null;
  #name: string | null = null;
  /** Spaces before the items of the list; -1 before the first. */
  #indent = -1;
  /** The item whose keys may follow on their own lines, and their indentation. */
  #item: Record<string, Scalar> | null = null;
  #itemIndent = 0;
  /** Whether the list may have items: it was not written as `[]`. */
  #open = true;

  constructor(private readonly visit: (path: KeyPath, line: Line, column: number) => void) {}

  read(text: string): Value {
    for (const line of lines(text)) {
      if (NOTHING.test(line.text)) continue;
      if (!this.#readItem(line) && !this.#readMore(line) && !this.#readKey(line)) throw new NotPlain();
    }
    this.#endList();
    if (this.#list === null) throw new NotPlain();
    return this.#name === null ? this.#list : this.#map;
  }

  #readItem(line: Line): boolean {
    const found = ITEM.exec(line.text);
    if (found === null) return false;
    const [, spaces, dash, plain, flow, pair] = found;
    if (this.#indent < 0) this.#indent = spaces.length;
    if (!this.#open || spaces.length !== this.#indent) return false;
    this.#list ??= [];
    this.visit(this.#path(), line, spaces.length + dash.length);
    this.#item = null;
    if (plain !== undefined) {
      this.#list.push(scalar(plain));
      return true;
    }
    const item = {};
    addPairs(item, flow ?? pair);
    this.#list.push(item);
    if (pair !== undefined) {
      this.#item = item;
      this.#itemIndent = spaces.length + dash.length;
    }
    return true;
  }

  #readMore(line: Line): boolean {
    const found = this.#item === null ? null : MORE.exec(line.text);
    if (found === null || this.#item === null || found[1].length !== this.#itemIndent) return false;
    addPairs(this.#item, found[2]);
    this.visit([...this.#path(-1), found[2].slice(0, found[2].indexOf(':'))], line, this.#itemIndent);
    return true;
  }

  #readKey(line: Line): boolean {
    const found = KEY.exec(line.text);
    if (found === null) return false;
    const name = String(scalar(found[1]));
    this.#endList();
    if ((this.#name === null && this.#list !== null) || this.#map.has(name) || name === '__proto__') return false;
    this.#name = name;
    this.#list = [];
    this.#item = null;
    this.#indent = -1;
    this.#open = found[2] === undefined;
    this.visit([name], line, 0);
    this.#map.set(name, this.#list);
    return true;
  }

  /** A key with nothing below it has the value null, not a list. */
  #endList(): void {
    if (this.#name !== null && this.#open && this.#list?.length === 0) throw new NotPlain();
  }

  #path(offset = 0): (string | number)[] {
    const index = (this.#list?.length ?? 0) + offset;
    return this.#name === null ? [index] : [this.#name, index];
  }
}

function scan(text: string, visit: (path: KeyPath, line: Line, column: number) => void): Value | null {
  try {
    return new Reader(visit).read(text);
  } catch (error) {
    if (error instanceof NotPlain) return null;
    throw error;
  }
}

/** The place of the longest prefix of `wanted` that has one. */
function locate(text: string, wanted: KeyPath): Place {
  let place: Place = { line: 1, column: 1 };
  let depth = 0;
  scan(text, (path, line, column) => {
    if (path.length < depth || path.some((part, index) => part !== wanted[index])) return;
    depth = path.length;
    place = { line: line.number + 1, column: column + 1 };
  });
  return place;
}

/** Null if the text is more than plain lists. */
export function readPlainYaml(text: string): ReadText | null {
  const found = scan(text, () => undefined);
  if (found === null) return null;
  const value = found instanceof Map ? Object.fromEntries(found) : found;
  return { value, problems: [], readable: true, locate: (path) => locate(text, path) };
}
