// Header blocks of requests (RFC 7541), encoded once. The first one on a connection puts the fields that all requests share into the peer's
// table; later ones take a byte for each of those.
import { putInteger } from '../hpack/integer.js';

export type Field = readonly [name: string, value: string];

/** Full entries of the static table, and the names that occur in requests. */
const WHOLE: Readonly<Record<string, number>> = {
  ':method GET': 2,
  ':method POST': 3,
  ':path /': 4,
  ':scheme http': 6,
  ':scheme https': 7,
};
const NAMES: Readonly<Record<string, number>> = {
  ':authority': 1,
  ':method': 2,
  ':path': 4,
  ':scheme': 6,
  accept: 19,
  authorization: 23,
  'content-length': 28,
  'content-type': 31,
  'user-agent': 58,
};
const INDEXED = 0x80;
const INCREMENTAL = 0x40;
const LITERAL = 0;
const NEVER = 0x10;
const SIZE_UPDATE = 0x20;
const FIRST_DYNAMIC = 62;
const OVERHEAD = 32;
/** The table size that every peer allows by default. */
export const TABLE_BYTES = 4096;
/** Fields that must not be stored on the way. */
const SECRET = new Set(['authorization', 'cookie', 'proxy-authorization']);

export interface HeaderBlocks {
  readonly first: Uint8Array;
  readonly next: Uint8Array;
  /** For a peer with a smaller table, or none. */
  readonly plain: Uint8Array;
}

class Writer {
  private readonly bytes = new Uint8Array(64 * 1024);
  private at = 0;

  integer(first: number, bits: number, value: number): void {
    this.at = putInteger(this.bytes, this.at, first, bits, value);
  }

  field([name, value]: Field, first: number, bits: number): void {
    const known = NAMES[name];
    this.integer(first, bits, known ?? 0);
    if (known === undefined) this.text(name);
    this.text(value);
  }

  private text(text: string): void {
    const octets = Buffer.from(text, 'latin1');
    this.integer(0, 7, octets.length);
    this.bytes.set(octets, this.at);
    this.at += octets.length;
  }

  get written(): Uint8Array {
    return this.bytes.slice(0, this.at);
  }
}

const same = ([name, value]: Field, [otherName, other]: Field): boolean => name === otherName && value === other;

/** Blocks for several lists of fields that are requested on the same connections. */
export function headerBlocks(lists: readonly (readonly Field[])[]): HeaderBlocks[] {
  let room = TABLE_BYTES;
  const indexed: Field[] = [];
  for (const field of lists[0]) {
    const [name, value] = field;
    if (WHOLE[`${name} ${value}`] !== undefined || SECRET.has(name)) continue;
    const size = name.length + value.length + OVERHEAD;
    if (size > room || !lists.every((list) => list.some((other) => same(field, other)))) continue;
    room -= size;
    indexed.push(field);
  }
  return lists.map((list) => ({
    first: write(list, indexed, 'first'),
    next: write(list, indexed, 'next'),
    plain: write(list, [], 'plain'),
  }));
}

function write(list: readonly Field[], indexed: readonly Field[], kind: keyof HeaderBlocks): Uint8Array {
  const writer = new Writer();
  if (kind === 'plain') writer.integer(SIZE_UPDATE, 5, 0);
  let inserted = 0;
  for (const field of list) {
    const [name, value] = field;
    const whole = WHOLE[`${name} ${value}`];
    const place = indexed.findIndex((other) => same(field, other));
    if (whole !== undefined) writer.integer(INDEXED, 7, whole);
    else if (place < 0) writer.field(field, SECRET.has(name) ? NEVER : LITERAL, 4);
    else if (kind === 'next') writer.integer(INDEXED, 7, FIRST_DYNAMIC + indexed.length - 1 - place);
    else if (place === inserted) {
      writer.field(field, INCREMENTAL, 6);
      inserted++;
    } else writer.integer(INDEXED, 7, FIRST_DYNAMIC + inserted - 1 - place);
  }
  return writer.written;
}
