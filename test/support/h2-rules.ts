// What a sender may not do (RFC 9113), checked on everything that a test's peer hears: so that each test, whatever it is about,
// is one of these rules as well.
import { ACK, END_HEADERS, END_STREAM, type FrameType, PADDED, PRIORITY, SETTINGS } from './h2-frames.js';
import { type DecodedField, NaiveDecoder, NaiveError } from './naive-hpack.js';

const MAX_WINDOW = 2 ** 31 - 1;
const TOKEN = /^:?[!#$%&'*+\-.^_`|~0-9a-z]+$/;
const CONNECTION_FIELDS = ['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'];
const REQUEST_PSEUDO = [':method', ':scheme', ':authority', ':path', ':protocol'];

/** Defined flags of each type; the others must be left unset (section 4.1). */
const FLAGS: Readonly<Record<FrameType, number>> = {
  DATA: END_STREAM | PADDED,
  HEADERS: END_STREAM | END_HEADERS | PADDED | PRIORITY,
  PRIORITY: 0,
  RST_STREAM: 0,
  SETTINGS: ACK,
  PUSH_PROMISE: END_HEADERS | PADDED,
  PING: ACK,
  GOAWAY: 0,
  WINDOW_UPDATE: 0,
  CONTINUATION: END_HEADERS,
};

const LENGTHS: Readonly<Partial<Record<FrameType, number>>> = { PRIORITY: 5, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4 };
const ON_CONNECTION: readonly FrameType[] = ['SETTINGS', 'PING', 'GOAWAY'];
const ON_STREAM: readonly FrameType[] = ['DATA', 'HEADERS', 'PRIORITY', 'RST_STREAM', 'CONTINUATION'];

interface Sending {
  /** A request's or response's fields have come, 1xx aside. */
  head: boolean;
  ended: boolean;
  reset: boolean;
  contentLength: number;
  received: number;
  /** Octets credited less octets received. */
  balance: number;
}

/** One direction of one connection. `role` is the listening peer's. */
export class Rules {
  readonly violations: string[] = [];
  private readonly decoder = new NaiveDecoder();
  private readonly streams = new Map<number, Sending>();
  private first = true;
  private lastOpened = 0;
  private farewell = MAX_WINDOW;
  private connection = 65_535;
  private maxFrame = 16_384;
  /** Initial windows that the sender may go by: the acknowledged one first, then those under way. */
  private readonly initial: number[] = [65_535];

  constructor(private readonly role: 'client' | 'server') {}

  broken(what: string): void {
    this.violations.push(what);
  }

  /** We have sent these settings; what is returned is to be called at their acknowledgement. */
  announce(values: ReadonlyMap<number, number>): () => void {
    const window = values.get(SETTINGS.INITIAL_WINDOW_SIZE);
    const table = values.get(SETTINGS.HEADER_TABLE_SIZE);
    this.maxFrame = Math.max(this.maxFrame, values.get(SETTINGS.MAX_FRAME_SIZE) ?? 0);
    if (window !== undefined) this.initial.push(window);
    return () => {
      if (window !== undefined) this.initial.shift();
      if (table !== undefined) this.decoder.announce(table);
    };
  }

  credit(stream: number, octets: number): void {
    if (stream === 0) this.connection += octets;
    else this.stream(stream).balance += octets;
  }

  /** False where the frame cannot be understood. */
  frame(type: string, flags: number, rawStream: number, payload: Buffer, continuing: number): boolean {
    const stream = rawStream & MAX_WINDOW;
    const { violations } = this;
    const before = violations.length;
    if (rawStream !== stream >>> 0) this.broken(`the reserved bit is set (4.1)`);
    if (payload.length > this.maxFrame) this.broken(`${type} of ${payload.length} octets (4.2)`);
    if (this.first && (type !== 'SETTINGS' || flags & ACK)) this.broken(`${type} before SETTINGS (3.4)`);
    this.first = false;
    if (continuing !== 0 && (type !== 'CONTINUATION' || stream !== continuing)) {
      this.broken(`${type} on stream ${stream} inside a header block of stream ${continuing} (4.3)`);
    }
    if (continuing === 0 && type === 'CONTINUATION') this.broken('CONTINUATION without a header block (6.10)');
    const known = type as FrameType;
    if (FLAGS[known] === undefined) return violations.length === before;
    if (flags & ~FLAGS[known]) this.broken(`${type} with flags 0x${flags.toString(16)} (4.1)`);
    const length = LENGTHS[known];
    if (length !== undefined && payload.length !== length) this.broken(`${type} of ${payload.length} octets (6)`);
    if (ON_CONNECTION.includes(known) && stream !== 0) this.broken(`${type} on stream ${stream} (6)`);
    if (ON_STREAM.includes(known) && stream === 0) this.broken(`${type} on stream 0 (6)`);
    const state = stream === 0 ? undefined : this.stream(stream);
    if (state?.reset && !['PRIORITY', 'RST_STREAM'].includes(type))
      this.broken(`${type} on ${stream} after RST_STREAM (5.1)`);
    switch (known) {
      case 'DATA':
        if (state !== undefined) {
          const octets = this.content(type, flags, payload).length;
          this.data(stream, state, payload.length, octets, (flags & END_STREAM) !== 0);
        }
        break;
      case 'HEADERS':
        if (state?.ended) this.broken(`HEADERS on ${stream} after END_STREAM (5.1)`);
        this.opened(stream);
        break;
      case 'RST_STREAM':
        if (this.role === 'server' && stream > this.lastOpened)
          this.broken(`RST_STREAM on idle stream ${stream} (6.4)`);
        if (state !== undefined) state.reset = true;
        break;
      case 'SETTINGS':
        this.settings(flags, payload);
        break;
      case 'GOAWAY':
        if (payload.length < 8) {
          this.broken(`GOAWAY of ${payload.length} octets (6.8)`);
          break;
        }
        if (payload.readUInt32BE(0) > this.farewell) this.broken('GOAWAY with a higher last stream than before (6.8)');
        this.farewell = payload.readUInt32BE(0);
        break;
      case 'WINDOW_UPDATE':
        if (payload.length === 4 && payload.readUInt32BE(0) === 0) this.broken('WINDOW_UPDATE of 0 (6.9)');
        break;
      case 'PUSH_PROMISE':
        this.broken('PUSH_PROMISE (6.6)');
        break;
      default:
    }
    return violations.length === before;
  }

  /** The data of DATA, or the fragment of HEADERS. */
  content(type: string, flags: number, payload: Buffer): Buffer {
    let [from, to] = [0, payload.length];
    if (flags & PADDED) {
      from = 1;
      to -= payload[0] ?? 0;
    }
    if (type === 'HEADERS' && flags & PRIORITY) from += 5;
    if (from > to) {
      this.broken(`${type} with more padding than payload (6.1)`);
      return Buffer.alloc(0);
    }
    return payload.subarray(from, to);
  }

  headerBlock(stream: number, block: Buffer, endStream: boolean): DecodedField[] {
    let fields: DecodedField[] = [];
    try {
      fields = this.decoder.decode(block);
    } catch (error) {
      if (!(error instanceof NaiveError)) throw error;
      this.broken(`header block of stream ${stream}: ${error.message} (RFC 7541)`);
    }
    const state = this.stream(stream);
    this.fields(fields, state.head);
    const status = fields.find(({ name }) => name === ':status')?.value;
    if (status !== undefined && /^1/.test(status)) {
      if (endStream) this.broken(`${status} with END_STREAM (8.1)`);
      return fields;
    }
    if (state.head && !endStream) this.broken(`trailers on ${stream} without END_STREAM (8.1)`);
    if (!state.head) {
      const length = fields.find(({ name }) => name === 'content-length');
      // What a response's length means depends on the request; that of a request is always its content's.
      if (length !== undefined && this.role === 'server') state.contentLength = Number(length.value);
    }
    state.head = true;
    if (endStream) this.ended(stream, state);
    return fields;
  }

  private data(stream: number, state: Sending, octets: number, content: number, endStream: boolean): void {
    if (!state.head) this.broken(`DATA on ${stream} before HEADERS (8.1)`);
    if (state.ended) this.broken(`DATA on ${stream} after END_STREAM (5.1)`);
    state.received += content;
    state.balance -= octets;
    this.connection -= octets;
    if (octets > 0 && this.connection < 0)
      this.broken(`${-this.connection} octets beyond the connection's window (6.9)`);
    const room = Math.max(...this.initial) + state.balance;
    if (octets > 0 && room < 0) this.broken(`${-room} octets beyond the window of stream ${stream} (6.9)`);
    if (endStream) this.ended(stream, state);
  }

  private ended(stream: number, state: Sending): void {
    state.ended = true;
    if (state.contentLength >= 0 && state.contentLength !== state.received) {
      this.broken(`${state.received} octets on ${stream}, content-length ${state.contentLength} (8.1.1)`);
    }
  }

  private opened(stream: number): void {
    if (this.role === 'client' || stream <= this.lastOpened) return;
    if (stream % 2 === 0) this.broken(`a client opened stream ${stream} (5.1.1)`);
    this.lastOpened = stream;
  }

  private settings(flags: number, payload: Buffer): void {
    if (flags & ACK && payload.length > 0) this.broken('SETTINGS with ACK and values (6.5)');
    if (payload.length % 6 !== 0) this.broken(`SETTINGS of ${payload.length} octets (6.5)`);
    for (let at = 0; at + 6 <= payload.length; at += 6) {
      const id = payload.readUInt16BE(at);
      const value = payload.readUInt32BE(at + 2);
      const wrong =
        (id === SETTINGS.ENABLE_PUSH && (value > 1 || (value === 1 && this.role === 'client'))) ||
        (id === SETTINGS.INITIAL_WINDOW_SIZE && value > MAX_WINDOW) ||
        (id === SETTINGS.MAX_FRAME_SIZE && (value < 16_384 || value > 2 ** 24 - 1)) ||
        (id === SETTINGS.ENABLE_CONNECT_PROTOCOL && value > 1);
      if (wrong) this.broken(`setting ${id} with ${value} (6.5.2)`);
    }
  }

  private fields(fields: readonly DecodedField[], trailers: boolean): void {
    const names = fields.map(({ name }) => name);
    const pseudo = names.filter((name) => name.startsWith(':'));
    if (names.slice(0, pseudo.length).some((name) => !name.startsWith(':'))) this.broken('a pseudo-header last (8.3)');
    if (new Set(pseudo).size !== pseudo.length) this.broken(`pseudo-headers ${pseudo.join(' ')} (8.3)`);
    const allowed = trailers ? [] : this.role === 'client' ? [':status'] : REQUEST_PSEUDO;
    for (const name of pseudo) if (!allowed.includes(name)) this.broken(`pseudo-header ${name} (8.3)`);
    if (!trailers) {
      const connect = fields.some(({ name, value }) => name === ':method' && value === 'CONNECT');
      const extended = names.includes(':protocol');
      const needed =
        this.role === 'client'
          ? [':status']
          : connect && !extended
            ? [':method', ':authority']
            : [':method', ':scheme', ':path'];
      for (const name of needed) if (!names.includes(name)) this.broken(`no ${name} (8.3)`);
      if (connect && !extended && (names.includes(':path') || names.includes(':scheme'))) this.broken('CONNECT (8.5)');
    }
    for (const { name, value } of fields) {
      if (!TOKEN.test(name)) this.broken(`field name ${JSON.stringify(name)} (8.2.1)`);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
      if (/[\x00\r\n]|^[ \t]|[ \t]$/.test(value)) this.broken(`value of ${name} ${JSON.stringify(value)} (8.2.1)`);
      if (CONNECTION_FIELDS.includes(name)) this.broken(`field ${name} (8.2.2)`);
      if (name === 'te' && value.toLowerCase() !== 'trailers') this.broken(`te: ${value} (8.2.2)`);
      if (name === ':status' && !/^[1-5]\d\d$/.test(value)) this.broken(`:status ${value} (8.3.2)`);
      if (name === ':status' && value === '101') this.broken(':status 101 (8.6)');
      if (name === ':path' && !/^(\/|\*$)/.test(value)) this.broken(`:path ${value} (8.3.1)`);
    }
  }

  private stream(stream: number): Sending {
    let state = this.streams.get(stream);
    if (state === undefined) {
      state = { head: false, ended: false, reset: false, contentLength: -1, received: 0, balance: 0 };
      this.streams.set(stream, state);
    }
    return state;
  }
}
