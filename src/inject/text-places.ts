// Positions in a YAML text: keys, items, and the ends of their content.
import { isAlias, isMap, isPair, isScalar, isSeq, type Node, type Pair, type YAMLMap, type YAMLSeq } from 'yaml';

/** A text that can't be edited in place. */
export class NotEditable extends Error {}

interface Token {
  readonly type: string;
  readonly offset: number;
  readonly source: string;
}

interface Item {
  readonly start: readonly Token[];
  readonly sep?: readonly Token[];
}

/** Tokens before a node that belong to it. */
const PROPERTIES = new Set(['anchor', 'tag', 'explicit-key-ind']);

const sourceOf = (node: unknown): { readonly type?: string; readonly items?: readonly Item[] } =>
  ((node as { srcToken?: object } | null)?.srcToken ?? {}) as { type?: string; items?: readonly Item[] };

const itemOf = (pair: Pair): Item => (pair as unknown as { srcToken?: Item }).srcToken ?? { start: [] };

export const rangeOf = (node: Node): readonly [number, number] => {
  const { range } = node;
  if (range === undefined || range === null) throw new NotEditable('a node without a place');
  return [range[0], range[1]];
};

export const isFlow = (node: YAMLMap | YAMLSeq): boolean => node.flow === true;

/** What holds a node: a key, or the dash of an item. */
export interface Parent {
  /** Where `:` or `-` ends, or the anchor or tag behind it; -1 at the top of a document. */
  readonly after: number;
  /** Start of the key or the dash. */
  readonly start: number;
  readonly flow: boolean;
}

export const TOP: Parent = { after: -1, start: 0, flow: false };

export class Places {
  constructor(readonly text: string) {}

  lineStart(offset: number): number {
    return this.text.lastIndexOf('\n', offset - 1) + 1;
  }

  /** After the newline that ends this line; the end of the text if there is none. */
  nextLine(offset: number): number {
    const newline = this.text.indexOf('\n', offset);
    return newline < 0 ? this.text.length : newline + 1;
  }

  /** What precedes `offset` on its line, if it is white space; else as many spaces. */
  indent(offset: number): string {
    const before = this.text.slice(this.lineStart(offset), offset);
    return /^[ \t]*$/.test(before) ? before : ' '.repeat(before.length);
  }

  isFirstOnLine(offset: number): boolean {
    return /^[ \t]*$/.test(this.text.slice(this.lineStart(offset), offset));
  }

  keyStart(pair: Pair): number {
    const property = itemOf(pair).start.find(({ type }) => PROPERTIES.has(type));
    return property?.offset ?? rangeOf(pair.key as Node)[0];
  }

  ofPair(map: YAMLMap, pair: Pair): Parent {
    const start = this.keyStart(pair);
    const behind = (itemOf(pair).sep ?? []).filter(({ type }) => type === 'map-value-ind' || PROPERTIES.has(type));
    const last = behind.at(-1);
    if (last === undefined) throw new NotEditable('a key without a colon');
    return { after: last.offset + last.source.length, start, flow: isFlow(map) };
  }

  ofItem(list: YAMLSeq, index: number): Parent {
    const tokens = sourceOf(list).items?.[index]?.start ?? [];
    const dash = tokens.find(({ type }) => type === 'seq-item-ind');
    const last = tokens.filter(({ type }) => type === 'seq-item-ind' || PROPERTIES.has(type)).at(-1);
    if (isFlow(list) || dash === undefined || last === undefined) {
      const [start] = rangeOf(list.items[index] as Node);
      return { after: last === undefined ? start : last.offset + last.source.length, start, flow: true };
    }
    return { after: last.offset + last.source.length, start: dash.offset, flow: false };
  }

  /** The end of the last line of what `hold` holds. */
  end(node: unknown, hold: Parent): number {
    if (isMap(node) && !isFlow(node)) {
      const last = node.items.at(-1);
      if (isPair(last)) return this.end(last.value, this.ofPair(node, last));
    }
    if (isSeq(node) && !isFlow(node) && node.items.length > 0)
      return this.end(node.items.at(-1), this.ofItem(node, node.items.length - 1));
    if (sourceOf(node).type === 'block-scalar') return rangeOf(node as Node)[1];
    const there = isScalar(node) || isAlias(node) || isMap(node) || isSeq(node);
    return this.nextLine(there ? Math.max(rangeOf(node)[1], hold.after) : hold.after);
  }
}
