// HPACK (RFC 7541) as plainly as it can be written: strings, arrays, one bit at a time. It shares no code with the codec under
// test. Raw peers speak through it, and properties are tested against it. Encoding is by the representation, so that a test can
// say any block, right or wrong; decoding is complete and strict.
import { HUFFMAN_CODES } from './huffman-codes.js';

export interface Field {
  name: string;
  value: string;
  never?: boolean;
}

/** A field as tests write lists of them. */
export type Pair = readonly [name: string, value: string];

/** How a field came: a test asks that what was never indexed stays so (section 6.2.3). */
export type Representation = 'indexed' | 'incremental' | 'plain' | 'never';

export interface DecodedField {
  readonly name: string;
  readonly value: string;
  readonly as: Representation;
  /** `as` is `never`. */
  readonly never: boolean;
}

/** What a peer may not send; the connection would end with COMPRESSION_ERROR. */
export class NaiveError extends Error {}

// biome-ignore format: as in appendix A.
const STATIC_TABLE: readonly Field[] = [
  ':authority', ':method GET', ':method POST', ':path /', ':path /index.html', ':scheme http', ':scheme https', ':status 200',
  ':status 204', ':status 206', ':status 304', ':status 400', ':status 404', ':status 500', 'accept-charset',
  'accept-encoding gzip, deflate', 'accept-language', 'accept-ranges', 'accept', 'access-control-allow-origin', 'age', 'allow',
  'authorization', 'cache-control', 'content-disposition', 'content-encoding', 'content-language', 'content-length',
  'content-location', 'content-range', 'content-type', 'cookie', 'date', 'etag', 'expect', 'expires', 'from', 'host', 'if-match',
  'if-modified-since', 'if-none-match', 'if-range', 'if-unmodified-since', 'last-modified', 'link', 'location', 'max-forwards',
  'proxy-authenticate', 'proxy-authorization', 'range', 'referer', 'refresh', 'retry-after', 'server', 'set-cookie',
  'strict-transport-security', 'transfer-encoding', 'user-agent', 'vary', 'via', 'www-authenticate',
].map((entry) => {
  const [name, ...rest] = entry.split(' ');
  return { name, value: rest.join(' ') };
});

// Primitives (section 5)

/** The code of one symbol, as bits; EOS is 256. */
export const huffmanBits = (symbol: number): string => HUFFMAN_CODES[symbol];
const EOS = 256;
const symbolOf = new Map(HUFFMAN_CODES.map((code, symbol) => [code, symbol]));

/** Octets of a string of bits. */
export const bitsToOctets = (bits: string): Buffer =>
  Buffer.from((bits.match(/.{8}/g) ?? []).map((octet) => Number.parseInt(octet, 2)));

export function naiveHuffman(text: string): number[] {
  let bits = '';
  for (const octet of Buffer.from(text, 'latin1')) bits += huffmanBits(octet);
  return [...bitsToOctets(bits.padEnd(Math.ceil(bits.length / 8) * 8, '1'))];
}

export function naiveUnhuffman(octets: Iterable<number>): string {
  const text: number[] = [];
  let code = '';
  for (const octet of octets) {
    for (const bit of octet.toString(2).padStart(8, '0')) {
      code += bit;
      const symbol = symbolOf.get(code);
      if (symbol === undefined) continue;
      if (symbol === EOS) throw new NaiveError('EOS in a string');
      text.push(symbol);
      code = '';
    }
  }
  if (code.length > 7 || code.includes('0')) throw new NaiveError(`padding ${code}`);
  return Buffer.from(text).toString('latin1');
}

/** Section 5.1: `value` behind the bits of `first`, with a prefix of `prefix` bits. */
export function integer(value: number, prefix: number, first = 0): Buffer {
  const full = 2 ** prefix - 1;
  if (value < full) return Buffer.from([first | value]);
  const octets = [first | full];
  let rest = value - full;
  for (; rest >= 128; rest = Math.floor(rest / 128)) octets.push((rest % 128) + 128);
  octets.push(rest);
  return Buffer.from(octets);
}

/** Section 5.2. */
export function string(text: string, huffman = false): Buffer {
  const octets = huffman ? Buffer.from(naiveHuffman(text)) : Buffer.from(text, 'latin1');
  return Buffer.concat([integer(octets.length, 7, huffman ? 0x80 : 0), octets]);
}

// Representations (section 6)

/** Section 6.1. */
export const indexed = (index: number): Buffer => integer(index, 7, 0x80);

/** Section 6.3. */
export const sizeUpdate = (bytes: number): Buffer => integer(bytes, 5, 0x20);

/** Section 6.2; `name` is an index or text. */
export function literal(
  name: number | string,
  value: string,
  as: Exclude<Representation, 'indexed'> = 'plain',
  huffmanValue = false,
  huffmanName = huffmanValue,
): Buffer {
  const [prefix, first] = as === 'incremental' ? [6, 0x40] : [4, as === 'never' ? 0x10 : 0];
  const start =
    typeof name === 'number' ? [integer(name, prefix, first)] : [integer(0, prefix, first), string(name, huffmanName)];
  return Buffer.concat([...start, string(value, huffmanValue)]);
}

/** The simplest block that says `fields`: what the static table has whole is indexed, the rest are literals. */
export function encodeBlock(fields: readonly Pair[]): Buffer {
  return Buffer.concat(
    fields.map(([name, value]) => {
      const index = STATIC_TABLE.findIndex((entry) => entry.name === name && entry.value === value && value !== '');
      return index >= 0 ? indexed(index + 1) : literal(name, value);
    }),
  );
}

// Both directions of a connection (sections 2 to 4)

const sizeOf = ({ name, value }: Field): number => 32 + name.length + value.length;

class Table {
  /** Newest first. */
  readonly entries: Field[] = [];
  max: number;

  constructor(max: number) {
    this.max = max;
  }

  get size(): number {
    return this.entries.reduce((sum, entry) => sum + sizeOf(entry), 0);
  }

  resize(max: number): void {
    this.max = max;
    while (this.size > max) this.entries.pop();
  }

  insert({ name, value }: Field): void {
    const field = { name, value };
    while (this.entries.length > 0 && this.size + sizeOf(field) > this.max) this.entries.pop();
    if (sizeOf(field) <= this.max) this.entries.unshift(field);
  }

  at(index: number): Field {
    const entry = STATIC_TABLE[index - 1] ?? this.entries[index - 1 - STATIC_TABLE.length];
    if (entry === undefined) throw new NaiveError(`no entry ${index}`);
    return entry;
  }

  /** All entries with their indices. */
  all(): (Field & { readonly index: number })[] {
    return [...STATIC_TABLE, ...this.entries].map((entry, i) => ({ ...entry, index: i + 1 }));
  }
}

/** The octets of one block, read from the front. */
class Block {
  private at = 0;

  constructor(private readonly octets: ArrayLike<number>) {}

  get over(): boolean {
    return this.at >= this.octets.length;
  }

  /** The next octet, which stays. */
  peek(): number {
    if (this.over) throw new NaiveError('the block ends early');
    return this.octets[this.at];
  }

  integer(prefix: number): number {
    const full = 2 ** prefix - 1;
    let value = this.next() & full;
    if (value < full) return value;
    for (let scale = 1; ; scale *= 128) {
      if (scale > 2 ** 28) throw new NaiveError('an integer of too many octets');
      const octet = this.next();
      value += (octet & 127) * scale;
      if (value > 2 ** 31 - 1) throw new NaiveError('an integer beyond every limit');
      if (octet < 128) return value;
    }
  }

  string(): string {
    const huffman = this.peek() >= 128;
    const length = this.integer(7);
    if (this.at + length > this.octets.length) throw new NaiveError('a string beyond the block');
    const octets = Array.from({ length }, () => this.next());
    return huffman ? naiveUnhuffman(octets) : Buffer.from(octets).toString('latin1');
  }

  private next(): number {
    const octet = this.peek();
    this.at++;
    return octet;
  }
}

export class NaiveDecoder {
  readonly table: Table;
  /** A lower limit than the encoder uses has been acknowledged: the next block must begin with an update (section 4.2). */
  private owed = Number.POSITIVE_INFINITY;

  /** `limit` is what SETTINGS_HEADER_TABLE_SIZE announces. */
  constructor(public limit = 4096) {
    this.table = new Table(limit);
  }

  /** The peer has acknowledged this SETTINGS_HEADER_TABLE_SIZE. */
  announce(limit: number): void {
    this.limit = limit;
    if (limit < this.table.max) this.owed = Math.min(this.owed, limit);
  }

  decode(octets: ArrayLike<number>): DecodedField[] {
    const fields: DecodedField[] = [];
    const block = new Block(octets);
    for (let updates = 0; !block.over; ) {
      const first = block.peek();
      if ((first & 0xe0) === 0x20) {
        if (fields.length > 0) throw new NaiveError('a size update behind a field');
        if (++updates > 2) throw new NaiveError('a third size update');
        this.resize(block.integer(5));
        continue;
      }
      if (this.owed !== Number.POSITIVE_INFINITY) throw new NaiveError(`a size update to ${this.owed} is missing`);
      fields.push(this.field(block, first));
    }
    return fields;
  }

  private resize(size: number): void {
    if (size > this.limit) throw new NaiveError(`size update to ${size}, allowed are ${this.limit}`);
    if (size <= this.owed) this.owed = Number.POSITIVE_INFINITY;
    this.table.resize(size);
  }

  private field(block: Block, first: number): DecodedField {
    if (first >= 0x80) {
      const { name, value } = this.table.at(block.integer(7));
      return { name, value, as: 'indexed', never: false };
    }
    const as = first >= 0x40 ? 'incremental' : first >= 0x10 ? 'never' : 'plain';
    const index = block.integer(as === 'incremental' ? 6 : 4);
    const name = index === 0 ? block.string() : this.table.at(index).name;
    const value = block.string();
    if (as === 'incremental') this.table.insert({ name, value });
    return { name, value, as, never: as === 'never' };
  }
}

/** How a field is to be encoded: any choice is valid. */
export interface Choice {
  /** 0 literal without, 1 incremental, 2 never; whatever it says, an indexed field may be taken with `indexed`. */
  kind: number;
  indexed: boolean;
  namedByIndex: boolean;
  huffmanName: boolean;
  huffmanValue: boolean;
}

const KINDS = ['plain', 'incremental', 'never'] as const;

export class NaiveEncoder {
  readonly table = new Table(4096);

  resize(size: number): number[] {
    this.table.resize(size);
    return [...sizeUpdate(size)];
  }

  encode(field: Field, choice: Choice): number[] {
    const as = field.never ? 'never' : KINDS[choice.kind];
    const same = this.table.all().filter(({ name }) => name === field.name);
    const exact = same.find(({ value }) => value === field.value);
    if (exact && choice.indexed && as !== 'never') return [...indexed(exact.index)];
    const name = choice.namedByIndex ? (same.at(-1)?.index ?? field.name) : field.name;
    if (as === 'incremental') this.table.insert(field);
    return [...literal(name, field.value, as, choice.huffmanValue, choice.huffmanName)];
  }
}
