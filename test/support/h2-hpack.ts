// HPACK (RFC 7541) as plainly as it can be written, for tests: it shares no code with the codec under test. Encoding is by the
// representation, so that a test can say any block, right or wrong; decoding is complete and strict.

export type Field = readonly [name: string, value: string];

/** How a field came: a test asks that what was never indexed stays so (section 6.2.3). */
export type Representation = 'indexed' | 'incremental' | 'plain' | 'never';

export interface DecodedField {
  readonly name: string;
  readonly value: string;
  readonly as: Representation;
}

/** What a peer may not send; the connection would end with COMPRESSION_ERROR. */
export class HpackError extends Error {}

/** Appendix A. */
export const STATIC_TABLE: readonly Field[] =
  ':authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https|:status 200|:status 204|:status 206|:status 304|:status 400|:status 404|:status 500|accept-charset|accept-encoding gzip, deflate|accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|authorization|cache-control|content-disposition|content-encoding|content-language|content-length|content-location|content-range|content-type|cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate'
    .split('|')
    .map((entry) => [/^\S+/.exec(entry)?.[0] ?? '', /^\S+ (.*)$/.exec(entry)?.[1] ?? '']);

/**
 * Appendix B: the length of every symbol's code, 'a' for 5 bits, symbol 256 being EOS. The code is canonical: codes of one length
 * are consecutive, in the order of their symbols.
 */
const HUFFMAN_LENGTHS =
  'isxxxxxxxtzxxzxxxxxxxxzxxxxxxxxxbffhibdgffdgdbbbaaabbbbbbbcdkbhfibccccccccccccccccccccccdcdioijbkabababbbaccbbbabcbaabccccckgjixprpprrrsrssssststtrstssssqrsrsstrqprrssqsrrtqrssqqrqsrssprrrsrrsvvporsruvvvwwvtuoqvwwvwtqqvvxwwwptpqrqqsrruuttvsvwvvwwwwwxwwwwwvz';
const EOS = 256;

const codeOf: string[] = [];
const symbolOf = new Map<string, number>();
{
  const symbols = Array.from(HUFFMAN_LENGTHS, (letter, symbol) => ({ symbol, bits: letter.charCodeAt(0) - 92 }));
  let next = 0;
  let bits = 5;
  for (const entry of symbols.sort((a, b) => a.bits - b.bits || a.symbol - b.symbol)) {
    next *= 2 ** (entry.bits - bits);
    bits = entry.bits;
    const code = (next++).toString(2).padStart(bits, '0');
    codeOf[entry.symbol] = code;
    symbolOf.set(code, entry.symbol);
  }
}

/** Octets of a string of bits. */
export const bitsToOctets = (bits: string): Buffer =>
  Buffer.from((bits.match(/.{8}/g) ?? []).map((octet) => Number.parseInt(octet, 2)));

/** The code of one symbol, as bits; EOS is 256. */
export const huffmanBits = (symbol: number): string => codeOf[symbol] ?? '';

export function huffmanEncode(text: string): Buffer {
  let bits = '';
  for (const octet of Buffer.from(text, 'latin1')) bits += huffmanBits(octet);
  return bitsToOctets(bits.padEnd(Math.ceil(bits.length / 8) * 8, '1'));
}

export function huffmanDecode(octets: Uint8Array): string {
  const out: number[] = [];
  let code = '';
  for (const octet of octets) {
    for (let mask = 0x80; mask > 0; mask >>= 1) {
      code += (octet & mask) === 0 ? '0' : '1';
      const symbol = symbolOf.get(code);
      if (symbol === undefined) continue;
      if (symbol === EOS) throw new HpackError('EOS in a string');
      out.push(symbol);
      code = '';
    }
  }
  if (code.length > 7 || code.includes('0')) throw new HpackError(`padding ${code}`);
  return Buffer.from(out).toString('latin1');
}

/** Section 5.1: `value` behind the bits of `first`, with a prefix of `prefix` bits. */
export function integer(value: number, prefix: number, first = 0): Buffer {
  const most = 2 ** prefix - 1;
  if (value < most) return Buffer.from([first | value]);
  const octets = [first | most];
  let rest = value - most;
  for (; rest >= 128; rest = Math.floor(rest / 128)) octets.push((rest % 128) | 0x80);
  octets.push(rest);
  return Buffer.from(octets);
}

/** Section 5.2. */
export function string(text: string, huffman = false): Buffer {
  const octets = huffman ? huffmanEncode(text) : Buffer.from(text, 'latin1');
  return Buffer.concat([integer(octets.length, 7, huffman ? 0x80 : 0), octets]);
}

/** Section 6.1. */
export const indexed = (index: number): Buffer => integer(index, 7, 0x80);

/** Section 6.3. */
export const sizeUpdate = (bytes: number): Buffer => integer(bytes, 5, 0x20);

/** Section 6.2; `name` is an index or text. */
export function literal(
  name: number | string,
  value: string,
  as: Exclude<Representation, 'indexed'> = 'plain',
  huffman = false,
): Buffer {
  const [prefix, first] = as === 'incremental' ? [6, 0x40] : [4, as === 'never' ? 0x10 : 0];
  const start = typeof name === 'number' ? integer(name, prefix, first) : integer(0, prefix, first);
  return Buffer.concat(
    [start, typeof name === 'number' ? '' : string(name, huffman), string(value, huffman)].map(Buffer.from),
  );
}

/** The simplest block that says `fields`: what the static table has whole is indexed, the rest are literals. */
export function encodeBlock(fields: readonly Field[]): Buffer {
  return Buffer.concat(
    fields.map(([name, value]) => {
      const index = STATIC_TABLE.findIndex(([key, text]) => key === name && text === value && text !== '');
      return index >= 0 ? indexed(index + 1) : literal(name, value);
    }),
  );
}

const entrySize = ({ name, value }: { name: string; value: string }): number => name.length + value.length + 32;

export class HpackDecoder {
  /** Newest first. */
  readonly table: { name: string; value: string }[] = [];
  private size = 0;
  private capacity: number;
  /** A lower limit than the encoder uses has been acknowledged: the next block must begin with an update (section 4.2). */
  private owed = Number.POSITIVE_INFINITY;

  /** `limit` is what SETTINGS_HEADER_TABLE_SIZE announces. */
  constructor(private limit = 4096) {
    this.capacity = limit;
  }

  /** The peer has acknowledged this SETTINGS_HEADER_TABLE_SIZE. */
  announce(limit: number): void {
    this.limit = limit;
    if (limit < this.capacity) this.owed = Math.min(this.owed, limit);
  }

  decode(block: Uint8Array): DecodedField[] {
    const fields: DecodedField[] = [];
    let at = 0;
    const octet = (): number => {
      if (at >= block.length) throw new HpackError('the block ends early');
      return block[at++] ?? 0;
    };
    const readInteger = (first: number, prefix: number): number => {
      const most = 2 ** prefix - 1;
      let value = first & most;
      if (value < most) return value;
      for (let scale = 1; ; scale *= 128) {
        if (scale > 2 ** 28) throw new HpackError('an integer beyond every limit');
        const next = octet();
        value += (next & 0x7f) * scale;
        if (next < 0x80) return value;
      }
    };
    const readString = (): string => {
      const first = octet();
      const length = readInteger(first, 7);
      if (at + length > block.length) throw new HpackError('a string beyond the block');
      const octets = Buffer.from(block.subarray(at, at + length));
      at += length;
      return first & 0x80 ? huffmanDecode(octets) : octets.toString('latin1');
    };
    const entry = (index: number): { name: string; value: string } => {
      const fixed = STATIC_TABLE[index - 1];
      if (fixed !== undefined) return { name: fixed[0], value: fixed[1] };
      const found = this.table[index - STATIC_TABLE.length - 1];
      if (index === 0 || found === undefined) throw new HpackError(`no entry ${index}`);
      return found;
    };
    while (at < block.length) {
      const first = octet();
      if ((first & 0xe0) === 0x20) {
        if (fields.length > 0) throw new HpackError('a size update behind a field');
        const capacity = readInteger(first, 5);
        if (capacity > this.limit) throw new HpackError(`size update to ${capacity}, allowed are ${this.limit}`);
        if (capacity <= this.owed) this.owed = Number.POSITIVE_INFINITY;
        this.capacity = capacity;
        this.evict(0);
        continue;
      }
      if (this.owed !== Number.POSITIVE_INFINITY) throw new HpackError(`a size update to ${this.owed} is missing`);
      if (first & 0x80) {
        fields.push({ ...entry(readInteger(first, 7)), as: 'indexed' });
        continue;
      }
      const incremental = (first & 0x40) !== 0;
      const index = readInteger(first, incremental ? 6 : 4);
      const name = index === 0 ? readString() : entry(index).name;
      const field = { name, value: readString() };
      fields.push({ ...field, as: incremental ? 'incremental' : first & 0x10 ? 'never' : 'plain' });
      if (incremental) this.insert(field);
    }
    return fields;
  }

  private insert(field: { name: string; value: string }): void {
    const size = entrySize(field);
    this.evict(size);
    if (size > this.capacity) return;
    this.table.unshift(field);
    this.size += size;
  }

  private evict(room: number): void {
    while (this.size + room > this.capacity) {
      const oldest = this.table.pop();
      if (oldest === undefined) return;
      this.size -= entrySize(oldest);
    }
  }
}
