// Edits a YAML or JSON text only where its value should change: comments, order, quotes and line ends stay as they are.
import {
  type Alias,
  type Document,
  isAlias,
  isNode,
  isPair,
  isScalar,
  isSeq,
  isMap as isYamlMap,
  type Node,
  type Pair,
  type ParsedNode,
  visit,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import { lastMerge } from './merges.js';
import { isMap, type PlainMap } from './plain.js';
import { isFlow, NotEditable, type Parent, Places, rangeOf, TOP } from './text-places.js';
import { block, flow, json, MAX_ALIASES, type Style, scalarText } from './yaml-text.js';

export interface Splice {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

const isEmpty = (value: unknown): boolean =>
  Array.isArray(value) ? value.length === 0 : isMap(value) && Object.keys(value).length === 0;
const isCollection = (value: unknown): boolean => (Array.isArray(value) || isMap(value)) && !isEmpty(value);

/** The key as in objects; null for `<<`, which stands for other keys. */
function keyOf({ key }: Pair): string | null {
  const value = isScalar(key) ? key.value : key;
  if (value === '<<' || typeof value === 'symbol') return null;
  return value === null ? '' : String(value);
}

/** The changes of one document. */
export class TextEdits {
  readonly splices: Splice[] = [];
  readonly #places: Places;
  readonly #touched = new Set<unknown>();

  constructor(
    text: string,
    private readonly document: Document.Parsed<ParsedNode>,
    private readonly style: Style,
  ) {
    this.#places = new Places(text);
  }

  /** `before`: the document's value; parts shared with `after` stay unchanged. */
  change(before: unknown, after: unknown): void {
    this.#edit(this.document.contents, before, after, TOP);
    this.#keepOthers();
  }

  #splice(start: number, end: number, text: string): void {
    this.splices.push({ start, end, text });
  }

  /** Inserts whole lines at `offset`, the start of a line or the end of the text. */
  #lines(offset: number, text: string): void {
    const { newline } = this.style;
    const open = offset > 0 && this.#places.text[offset - 1] !== '\n';
    this.#splice(offset, offset, open ? newline + text : text + newline);
  }

  #edit(node: unknown, before: unknown, after: unknown, hold: Parent): void {
    if (Object.is(before, after)) return;
    if (isAlias(node)) {
      this.#replace(node, after, hold);
      return;
    }
    this.#touched.add(node);
    if (isYamlMap(node) && isMap(before) && isMap(after)) this.#editMap(node, before, after, hold);
    else if (isSeq(node) && Array.isArray(before) && Array.isArray(after)) this.#editList(node, before, after, hold);
    else this.#replace(node, after, hold);
  }

  /** Writes `value` in place of `node`; in block style if possible. */
  #replace(node: unknown, value: unknown, hold: Parent): void {
    const { text } = this.#places;
    const isBlock = (isYamlMap(node) || isSeq(node)) && !isFlow(node);
    const there = isNode(node) && rangeOf(node)[1] > rangeOf(node)[0];
    if (hold.after < 0) throw new NotEditable('the whole document');
    if (hold.flow || !isCollection(value)) {
      const written =
        hold.flow || isEmpty(value) ? flow(value) : scalarText(value, isScalar(node) ? text[rangeOf(node)[0]] : '');
      if (isBlock) this.#splice(hold.after, this.#places.end(node, hold), ` ${written}${this.style.newline}`);
      else if (there) {
        // A block text ends with its last newline.
        const [begin, end] = rangeOf(node);
        this.#splice(begin, end, text[end - 1] === '\n' ? written + this.style.newline : written);
      } else this.#splice(hold.after, hold.after, ` ${written}`);
      return;
    }
    const written = this.#held(value, hold);
    if (isBlock)
      this.#splice(hold.after, this.#places.end(node, hold), `${this.style.newline}${written}${this.style.newline}`);
    else if (there) this.#splice(hold.after, rangeOf(node)[1], this.style.newline + written);
    else this.#lines(this.#places.nextLine(hold.after), written);
  }

  /** In block style, below the key or the dash. */
  #held(value: unknown, { start }: Parent): string {
    const indent = this.#places.indent(start);
    const deeper = Array.isArray(value) && !this.style.indentsItems ? indent : `${indent}  `;
    return block(value, deeper, this.style);
  }

  #editMap(map: YAMLMap, before: PlainMap, after: PlainMap, hold: Parent): void {
    const written = new Map<string, Pair>();
    const removed: number[] = [];
    for (const [index, pair] of map.items.entries()) {
      const key = keyOf(pair);
      if (key === null) continue;
      written.set(key, pair);
      if (!Object.hasOwn(after, key)) removed.push(index);
    }
    const added: Record<string, unknown> = {};
    for (const [key, value] of Object.entries(after)) {
      const pair = written.get(key);
      // A key from `<<` that changes is written out: a map's own key overrides it.
      if (pair === undefined) {
        if (!Object.hasOwn(before, key) || before[key] !== value) added[key] = value;
      } else if (before[key] !== value) this.#edit(pair.value, before[key], value, this.#places.ofPair(map, pair));
    }
    const isLeft = removed.length < map.items.length;
    if (!isEmpty(added)) {
      if (isFlow(map)) this.#addToFlow(map, added, isLeft);
      else this.#addToBlock(map, added, hold);
    }
    if (removed.length === 0) return;
    if (isFlow(map))
      this.#removeFromFlow(
        map,
        removed,
        map.items.map((pair) => this.#pairRange(pair)),
      );
    else if (!isLeft && isEmpty(added)) this.#replace(map, {}, hold);
    else for (const index of removed) this.#removePair(map, index, removed);
  }

  /**
   * New keys come first, so that the end of existing content need not be known and comments stay above their keys. But they come after
   * `<<`, because in kubectl's YAML reader merged keys override those before them.
   */
  #addToBlock(map: YAMLMap, added: PlainMap, hold: Parent): void {
    const places = this.#places;
    const first = places.keyStart(map.items[0]);
    const indent = places.indent(first);
    const written = block(added, indent, this.style);
    const merge = lastMerge(map);
    if (merge !== null) {
      this.#lines(places.end(merge.value, places.ofPair(map, merge)), written);
      return;
    }
    const line = hold.after < 0 ? places.lineStart(first) : places.nextLine(hold.after);
    if (line <= first) this.#lines(line, written);
    else this.#splice(first, first, written.slice(indent.length) + this.style.newline + indent);
  }

  #flowValue(value: unknown, indent: string, isLong: boolean): string {
    if (isLong && this.style.unit !== '') return json(value, indent, this.style);
    return this.#isDense() ? JSON.stringify(value) : flow(value);
  }

  /** JSON without spaces. */
  #isDense(): boolean {
    const { contents } = this.document;
    return contents !== null && /^[{[]\S*$/.test(this.#places.text.slice(...rangeOf(contents)).slice(0, 80));
  }

  #addToFlow(map: YAMLMap, added: PlainMap, isLeft: boolean): void {
    const { newline, unit } = this.style;
    const [start] = rangeOf(map);
    const first = map.items.length > 0 ? this.#places.keyStart(map.items[0]) : start + 1;
    const between = this.#places.text.slice(start, first);
    const dense = this.#isDense();
    const isEmptyLong = map.items.length === 0 && unit !== '';
    const isLong = between.includes('\n') || isEmptyLong;
    const merge = lastMerge(map);
    const line = this.#places.text.slice(this.#places.lineStart(first)).match(/^[ \t]*/)?.[0] ?? '';
    const indent = isEmptyLong ? line + unit : isLong ? this.#places.indent(first) : '';
    const colon = dense ? ':' : ': ';
    const pairs = Object.entries(added).map(
      ([key, value]) => `${JSON.stringify(key)}${colon}${this.#flowValue(value, indent, isLong)}`,
    );
    const gap = isLong ? `,${newline}${indent}` : dense ? ',' : ', ';
    const written = pairs.join(gap);
    if (isEmptyLong) this.#splice(start, rangeOf(map)[1], `{${newline}${indent}${written}${newline}${line}}`);
    else if (merge === null) this.#splice(first, first, isLeft && map.items.length > 0 ? written + gap : written);
    else {
      const [, end] = this.#pairRange(merge);
      this.#splice(end, end, gap + written);
    }
  }

  #pairRange(pair: Pair): readonly [number, number] {
    const start = this.#places.keyStart(pair);
    return [start, isNode(pair.value) ? Math.max(rangeOf(pair.value)[1], start) : rangeOf(pair.key as Node)[1]];
  }

  /** Removes runs of neighbours with the comma after them, or else before them. */
  #removeFromFlow(
    node: YAMLMap | YAMLSeq,
    removed: readonly number[],
    ranges: readonly (readonly [number, number])[],
  ): void {
    for (let index = 0; index < removed.length; index++) {
      const first = removed[index];
      while (removed[index + 1] === removed[index] + 1) index++;
      const last = removed[index];
      if (last + 1 < ranges.length) this.#splice(ranges[first][0], ranges[last + 1][0], '');
      else if (first > 0) this.#splice(ranges[first - 1][1], ranges[last][1], '');
      else this.#splice(rangeOf(node)[0] + 1, rangeOf(node)[1] - 1, '');
    }
  }

  #removePair(map: YAMLMap, index: number, removed: readonly number[]): void {
    const places = this.#places;
    const pair = map.items[index];
    const start = places.keyStart(pair);
    if (places.isFirstOnLine(start)) {
      this.#splice(places.lineStart(start), places.end(pair.value, places.ofPair(map, pair)), '');
      return;
    }
    // The first key of an item, after its dash: the next one takes its place.
    if (index + 1 >= map.items.length || removed.includes(index + 1)) throw new NotEditable('keys behind a dash');
    this.#splice(start, places.keyStart(map.items[index + 1]), '');
  }

  #editList(list: YAMLSeq, before: readonly unknown[], after: readonly unknown[], hold: Parent): void {
    if (before.length === after.length) {
      for (const [index, value] of after.entries())
        this.#edit(list.items[index], before[index], value, this.#places.ofItem(list, index));
      return;
    }
    const kept = new Set(after);
    const removed = before.flatMap((item, index) => (kept.has(item) ? [] : [index]));
    const known = new Set(before);
    // New items, by the old one that they precede.
    const added = new Map<number, unknown[]>();
    let next = 0;
    for (const item of after) {
      if (known.has(item)) next = before.indexOf(item, next) + 1;
      else added.set(next, [...(added.get(next) ?? []), item]);
    }
    for (const [index, items] of added) this.#addItems(list, index, items, hold);
    if (removed.length === 0) return;
    if (isFlow(list))
      this.#removeFromFlow(
        list,
        removed,
        list.items.map((item) => rangeOf(item as Node)),
      );
    else for (const index of removed) this.#removeItem(list, index);
  }

  #addItems(list: YAMLSeq, index: number, items: readonly unknown[], hold: Parent): void {
    const places = this.#places;
    if (isFlow(list)) {
      this.#addFlowItems(list, index, items);
      return;
    }
    const { start } = places.ofItem(list, 0);
    const line =
      index === 0 ? places.nextLine(hold.after) : places.end(list.items[index - 1], places.ofItem(list, index - 1));
    if (index === 0 && line > start) throw new NotEditable('a list behind a dash');
    this.#lines(line, block(items, places.indent(start), this.style));
  }

  #addFlowItems(list: YAMLSeq, index: number, items: readonly unknown[]): void {
    const { newline, unit } = this.style;
    const [start, end] = rangeOf(list);
    const line = this.#places.text.slice(this.#places.lineStart(start)).match(/^[ \t]*/)?.[0] ?? '';
    if (list.items.length === 0) {
      const indent = line + unit;
      const written = items.map((item) => this.#flowValue(item, indent, true));
      if (unit === '') this.#splice(start + 1, end - 1, written.join(this.#isDense() ? ',' : ', '));
      else
        this.#splice(start + 1, end - 1, `${newline}${indent}${written.join(`,${newline}${indent}`)}${newline}${line}`);
      return;
    }
    const first = rangeOf(list.items[0] as Node)[0];
    const isLong = this.#places.text.slice(start, first).includes('\n');
    const indent = isLong ? this.#places.indent(first) : line;
    const gap = isLong ? `,${newline}${indent}` : this.#isDense() ? ',' : ', ';
    const written = items.map((item) => this.#flowValue(item, indent, isLong)).join(gap);
    if (index < list.items.length) {
      const here = rangeOf(list.items[index] as Node)[0];
      this.#splice(here, here, written + gap);
    } else {
      const here = rangeOf(list.items[index - 1] as Node)[1];
      this.#splice(here, here, gap + written);
    }
  }

  #removeItem(list: YAMLSeq, index: number): void {
    const hold = this.#places.ofItem(list, index);
    if (!this.#places.isFirstOnLine(hold.start)) throw new NotEditable('an item behind a dash');
    this.#splice(this.#places.lineStart(hold.start), this.#places.end(list.items[index], hold), '');
  }

  /** Aliases of changed anchors are written out with the old value, because their places must not change. */
  #keepOthers(): void {
    const replaced = this.splices.filter(({ start, end }) => end > start);
    const anchored = new Map<unknown, boolean>();
    const isTouched = (node: Node): boolean => {
      const known = anchored.get(node);
      if (known !== undefined) return known;
      let touched = false;
      visit(node, (_key, inner) => {
        if (this.#touched.has(inner)) touched = true;
        return touched ? visit.BREAK : undefined;
      });
      anchored.set(node, touched);
      return touched;
    };
    visit(this.document, {
      Alias: (_key, alias, path) => {
        const source = alias.resolve(this.document);
        const [start, end] = rangeOf(alias);
        if (source === undefined || replaced.some((splice) => splice.start <= start && splice.end >= end)) return;
        if (isTouched(source)) this.#writeOut(alias, source, path);
      },
    });
  }

  #writeOut(alias: Alias, source: Node, path: readonly unknown[]): void {
    const value: unknown = source.toJS(this.document, { maxAliasCount: MAX_ALIASES });
    const parent = path.at(-1);
    const above = path.at(-2);
    if (isPair(parent) && isYamlMap(above)) {
      if (keyOf(parent) === null) this.#splice(...rangeOf(alias), flow(value));
      else this.#replace(alias, value, this.#places.ofPair(above, parent));
    } else if (isSeq(parent)) {
      const hold = this.#places.ofItem(parent, parent.items.indexOf(alias));
      this.#splice(...rangeOf(alias), isCollection(value) && !hold.flow ? this.#item(value, hold) : flow(value));
    } else throw new NotEditable('an alias where none is expected');
  }

  #item(value: unknown, { start }: Parent): string {
    const indent = `${this.#places.indent(start)}  `;
    return block(value, indent, this.style).slice(indent.length);
  }
}

/** The text with all splices in it. */
export function spliced(text: string, splices: readonly Splice[]): string {
  const parts: string[] = [];
  let at = 0;
  for (const { start, end, text: written } of [...splices].sort((a, b) => a.start - b.start || a.end - b.end)) {
    if (start < at) throw new NotEditable('two changes of the same place');
    parts.push(text.slice(at, start), written);
    at = end;
  }
  return parts.join('') + text.slice(at);
}
