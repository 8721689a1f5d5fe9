// Header compression (RFC 7541) written for clarity and nothing else: strings, arrays, one bit at a time. An independent
// reference for property tests.
import { HUFFMAN_CODES } from './huffman-codes.js';

export interface Field {
  name: string;
  value: string;
  never?: boolean;
}

// biome-ignore format: as in appendix A.
const STATIC: readonly string[] = [
  ':authority', ':method GET', ':method POST', ':path /', ':path /index.html', ':scheme http', ':scheme https', ':status 200',
  ':status 204', ':status 206', ':status 304', ':status 400', ':status 404', ':status 500', 'accept-charset',
  'accept-encoding gzip, deflate', 'accept-language', 'accept-ranges', 'accept', 'access-control-allow-origin', 'age', 'allow',
  'authorization', 'cache-control', 'content-disposition', 'content-encoding', 'content-language', 'content-length',
  'content-location', 'content-range', 'content-type', 'cookie', 'date', 'etag', 'expect', 'expires', 'from', 'host', 'if-match',
  'if-modified-since', 'if-none-match', 'if-range', 'if-unmodified-since', 'last-modified', 'link', 'location', 'max-forwards',
  'proxy-authenticate', 'proxy-authorization', 'range', 'referer', 'refresh', 'retry-after', 'server', 'set-cookie',
  'strict-transport-security', 'transfer-encoding', 'user-agent', 'vary', 'via', 'www-authenticate',
];
const staticField = (index: number): Field => {
  const [name, ...rest] = STATIC[index - 1].split(' ');
  return { name, value: rest.join(' ') };
};

const sizeOf = (field: Field): number => 32 + field.name.length + field.value.length;

/** What a connection error would be. */
export class NaiveError extends Error {}

class Table {
  /** Newest first. */
  entries: Field[] = [];
  max = 4096;

  get size(): number {
    return this.entries.reduce((sum, entry) => sum + sizeOf(entry), 0);
  }

  resize(max: number): void {
    this.max = max;
    while (this.size > max) this.entries.pop();
  }

  insert(field: Field): void {
    while (this.entries.length > 0 && this.size + sizeOf(field) > this.max) this.entries.pop();
    if (sizeOf(field) <= this.max) this.entries.unshift({ name: field.name, value: field.value });
  }

  at(index: number): Field {
    if (index >= 1 && index <= 61) return staticField(index);
    const entry = this.entries[index - 62];
    if (index < 1 || entry === undefined) throw new NaiveError(`index ${index}`);
    return entry;
  }
}

const codeOf = (symbol: number): string => HUFFMAN_CODES[symbol];
const symbols = new Map(HUFFMAN_CODES.map((code, symbol) => [code, symbol]));

export function naiveHuffman(text: string): number[] {
  let bits = '';
  for (const char of text) bits += codeOf(char.charCodeAt(0));
  while (bits.length % 8 !== 0) bits += '1';
  return (bits.match(/.{8}/g) ?? []).map((octet) => Number.parseInt(octet, 2));
}

export function naiveUnhuffman(octets: readonly number[]): string {
  let text = '';
  let code = '';
  for (const octet of octets) {
    for (const bit of octet.toString(2).padStart(8, '0')) {
      code += bit;
      const symbol = symbols.get(code);
      if (symbol === undefined) continue;
      if (symbol === 256) throw new NaiveError('EOS');
      text += String.fromCharCode(symbol);
      code = '';
    }
  }
  if (code.length > 7 || code.includes('0')) throw new NaiveError('padding');
  return text;
}

function naiveInteger(value: number, bits: number, first: number): number[] {
  const full = 2 ** bits - 1;
  if (value < full) return [first | value];
  const octets = [first | full];
  let rest = value - full;
  for (; rest >= 128; rest = Math.floor(rest / 128)) octets.push((rest % 128) + 128);
  octets.push(rest);
  return octets;
}

const naiveString = (text: string, huffman: boolean): number[] => {
  const octets = huffman ? naiveHuffman(text) : [...text].map((char) => char.charCodeAt(0));
  return [...naiveInteger(octets.length, 7, huffman ? 0x80 : 0), ...octets];
};

export class NaiveDecoder {
  readonly table = new Table();
  limit = 4096;

  decode(octets: readonly number[]): Field[] {
    const fields: Field[] = [];
    let p = 0;
    const integer = (bits: number): number => {
      if (p >= octets.length) throw new NaiveError('end');
      const full = 2 ** bits - 1;
      let value = octets[p++] & full;
      if (value < full) return value;
      for (let shift = 0; ; shift += 7) {
        if (p >= octets.length) throw new NaiveError('end');
        if (shift >= 35) throw new NaiveError('long integer');
        const octet = octets[p++];
        value += (octet & 127) * 2 ** shift;
        if (value > 2 ** 31 - 1) throw new NaiveError('large integer');
        if (octet < 128) return value;
      }
    };
    const string = (): string => {
      if (p >= octets.length) throw new NaiveError('end');
      const huffman = octets[p] >= 128;
      const length = integer(7);
      if (p + length > octets.length) throw new NaiveError('end');
      const text = octets.slice(p, p + length);
      p += length;
      return huffman ? naiveUnhuffman(text) : String.fromCharCode(...text);
    };
    let updates = 0;
    while (p < octets.length) {
      const first = octets[p];
      if (first >= 0x80) {
        const entry = this.table.at(integer(7));
        fields.push({ name: entry.name, value: entry.value, never: false });
      } else if ((first & 0xe0) === 0x20) {
        const size = integer(5);
        if (fields.length > 0 || size > this.limit || ++updates > 2) throw new NaiveError('size update');
        this.table.resize(size);
      } else {
        const index = integer(first >= 0x40 ? 6 : 4);
        const name = index === 0 ? string() : this.table.at(index).name;
        const field = { name, value: string(), never: (first & 0xf0) === 0x10 };
        if (first >= 0x40) this.table.insert(field);
        fields.push(field);
      }
    }
    return fields;
  }
}

/** How a field is to be encoded; all numbers are fractions, so that any choice is valid. */
export interface Choice {
  /** 0 literal without, 1 incremental, 2 never; whatever it says, an indexed field may be taken with `indexed`. */
  kind: number;
  indexed: boolean;
  namedByIndex: boolean;
  huffmanName: boolean;
  huffmanValue: boolean;
}

export class NaiveEncoder {
  readonly table = new Table();

  resize(size: number): number[] {
    this.table.resize(size);
    return naiveInteger(size, 5, 0x20);
  }

  encode(field: Field, choice: Choice): number[] {
    const all = [...STATIC.keys()].map((i) => ({ ...staticField(i + 1), index: i + 1 }));
    this.table.entries.forEach((entry, i) => {
      all.push({ ...entry, index: 62 + i });
    });
    const kind = field.never ? 2 : choice.kind;
    const same = all.filter((entry) => entry.name === field.name);
    const exact = same.find((entry) => entry.value === field.value);
    if (exact && choice.indexed && kind !== 2) return naiveInteger(exact.index, 7, 0x80);
    const index = choice.namedByIndex && same.length > 0 ? same[same.length - 1].index : 0;
    const octets = kind === 1 ? naiveInteger(index, 6, 0x40) : naiveInteger(index, 4, kind === 2 ? 0x10 : 0);
    if (index === 0) octets.push(...naiveString(field.name, choice.huffmanName));
    octets.push(...naiveString(field.value, choice.huffmanValue));
    if (kind === 1) this.table.insert(field);
    return octets;
  }
}
