// The server name in a ClientHello (RFC 8446 section 4.1.2, RFC 6066 section 3), parsed as its bytes arrive. A connection's state is a few
// integers, so the verdict can't depend on how the bytes were split, across segments or records. With ECH the outer hello counts; nobody
// here can read the inner one.
//
// Nothing is refused. Anything that does not look like a ClientHello, or is larger than any real one, has no name and is passed through.
import { column } from '../http/columns.js';

/** Result of parsing a hello. */
export const HELLO = {
  /** More bytes are needed. */
  MORE: 0,
  /** It has a server name. */
  NAMED: 1,
  /** It is well formed, as far as it was read, and has no name. */
  NAMELESS: 2,
  /** It is not a ClientHello that we understand. */
  UNREADABLE: 3,
} as const;

/** Maximum number of bytes to read, including record headers. The largest hellos in use have a tenth of it: two ML-KEM keys. */
export const MAX_HELLO_BYTES = 32 * 1024;
/** Longest name (RFC 1035 section 2.3.4). */
export const MAX_NAME_BYTES = 255;

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
/** RFC 8446 section 5.1; version 1.2 allowed a record 256 bytes more than its payload of 2^14. */
const MAX_RECORD = 16384 + 256;
const RECORD_HEADER = 5;
const VERSION_AND_RANDOM = 34;
const MAX_SESSION = 32;
const SERVER_NAME = 0;
const HOST_NAME = 0;

/** The next part of the message. */
const NEXT = {
  TYPE: 0,
  LENGTH: 1,
  VERSION: 2,
  SESSION_LENGTH: 3,
  SESSION: 4,
  CIPHERS_LENGTH: 5,
  CIPHERS: 6,
  COMPRESSIONS_LENGTH: 7,
  COMPRESSIONS: 8,
  EXTENSIONS_LENGTH: 9,
  EXTENSION_TYPE: 10,
  EXTENSION_LENGTH: 11,
  EXTENSION: 12,
  NAMES_LENGTH: 13,
  NAME_TYPE: 14,
  NAME_LENGTH: 15,
  NAME: 16,
} as const;

/** Size of each part that is a number; 0: the size comes from a number before it. */
const WIDTH = [1, 3, 0, 1, 0, 2, 0, 1, 0, 2, 2, 2, 0, 2, 1, 2, 0] as const;

// Positions of a connection's integers.
const VERDICT = 0;
/** Bytes read so far. */
const SEEN = 1;
/** Received bytes of the record's header; remaining bytes of its payload. */
const HEADER = 2;
const RECORD = 3;
/** A NEXT, and its remaining bytes. */
const PART = 4;
const LEFT = 5;
/** Value of the number so far. */
const VALUE = 6;
/** Remaining bytes of the message. */
const MESSAGE = 7;
/** Type of the extension; then, for server_name, its maximum length. */
const EXTENSION = 8;
const INTEGERS = 9;

export class ClientHellos {
  private readonly state: Int32Array;
  private readonly name = Buffer.alloc(MAX_NAME_BYTES);
  private nameLength = 0;

  /** Slots below `spare` are for connections. `spare` is for parsing a hello again in one go. */
  constructor(readonly spare: number) {
    this.state = column(Int32Array, (spare + 1) * INTEGERS);
  }

  /** A new connection, of which nothing has been read. */
  begin(slot: number): void {
    const base = slot * INTEGERS;
    this.state.fill(0, base, base + INTEGERS);
    this.state[base + LEFT] = WIDTH[NEXT.TYPE];
    this.nameLength = 0;
  }

  /** A HELLO. */
  verdict(slot: number): number {
    return this.state[slot * INTEGERS + VERDICT];
  }

  /** Reads the connection's next bytes; returns a HELLO. Nothing is read after a verdict. */
  read(slot: number, bytes: Uint8Array, start: number, end: number): number {
    const { state } = this;
    const base = slot * INTEGERS;
    let at = start;
    while (at < end && state[base + VERDICT] === HELLO.MORE) {
      const room = MAX_HELLO_BYTES - state[base + SEEN];
      if (room === 0) state[base + VERDICT] = HELLO.UNREADABLE;
      else if (state[base + HEADER] < RECORD_HEADER) this.header(base, bytes[at++]);
      else {
        const length = Math.min(end - at, room, state[base + RECORD], state[base + LEFT]);
        this.payload(base, bytes, at, length);
        at += length;
      }
    }
    return state[base + VERDICT];
  }

  /** The name in the hello read last, in lower case, if all of it was read in one go. */
  lastName(): string {
    return this.name.toString('latin1', 0, this.nameLength).toLowerCase();
  }

  private header(base: number, byte: number): void {
    const { state } = this;
    state[base + SEEN]++;
    let good: boolean;
    switch (state[base + HEADER]++) {
      case 0:
        good = byte === HANDSHAKE;
        break;
      case 1:
        good = byte === 3;
        break;
      case 2:
        good = byte <= 4;
        break;
      case 3:
        state[base + RECORD] = byte << 8;
        good = byte <= MAX_RECORD >> 8;
        break;
      default:
        state[base + RECORD] |= byte;
        // An empty handshake record is not allowed (RFC 8446 section 5.1).
        good = state[base + RECORD] > 0 && state[base + RECORD] <= MAX_RECORD;
    }
    if (!good) state[base + VERDICT] = HELLO.UNREADABLE;
  }

  /** Processes `length` bytes of the current part, which has at least that many left. */
  private payload(base: number, bytes: Uint8Array, at: number, length: number): void {
    const { state } = this;
    const part = state[base + PART];
    state[base + SEEN] += length;
    state[base + RECORD] -= length;
    if (state[base + RECORD] === 0) state[base + HEADER] = 0;
    if (part > NEXT.LENGTH) state[base + MESSAGE] -= length;
    if (WIDTH[part] > 0)
      for (let i = at; i < at + length; i++) state[base + VALUE] = (state[base + VALUE] << 8) | bytes[i];
    else if (part === NEXT.NAME)
      for (let i = at; i < at + length && this.nameLength < MAX_NAME_BYTES; i++)
        this.name[this.nameLength++] = bytes[i];
    state[base + LEFT] -= length;
    while (state[base + LEFT] === 0 && state[base + VERDICT] === HELLO.MORE) this.follow(base);
  }

  /** The current part is complete. */
  private follow(base: number): void {
    const { state } = this;
    const part = state[base + PART];
    const value = state[base + VALUE];
    switch (part) {
      case NEXT.TYPE:
        this.expect(base, value === CLIENT_HELLO, NEXT.LENGTH, 0);
        break;
      case NEXT.LENGTH:
        state[base + MESSAGE] = value;
        this.expect(base, true, NEXT.VERSION, VERSION_AND_RANDOM);
        break;
      case NEXT.SESSION_LENGTH:
        this.expect(base, value <= MAX_SESSION, NEXT.SESSION, value);
        break;
      case NEXT.COMPRESSIONS:
        // Before extensions existed, a hello ended here.
        if (state[base + MESSAGE] === 0) state[base + VERDICT] = HELLO.NAMELESS;
        else this.expect(base, true, NEXT.EXTENSIONS_LENGTH, 0);
        break;
      case NEXT.EXTENSIONS_LENGTH:
        if (value === 0 && state[base + MESSAGE] === 0) state[base + VERDICT] = HELLO.NAMELESS;
        else this.expect(base, value === state[base + MESSAGE], NEXT.EXTENSION_TYPE, 0);
        break;
      case NEXT.EXTENSION_TYPE:
        state[base + EXTENSION] = value;
        this.expect(base, true, NEXT.EXTENSION_LENGTH, 0);
        break;
      case NEXT.EXTENSION_LENGTH: {
        const named = state[base + EXTENSION] === SERVER_NAME;
        state[base + EXTENSION] = value;
        this.expect(base, value <= state[base + MESSAGE], named ? NEXT.NAMES_LENGTH : NEXT.EXTENSION, value);
        break;
      }
      case NEXT.EXTENSION:
        if (state[base + MESSAGE] === 0) state[base + VERDICT] = HELLO.NAMELESS;
        else this.expect(base, true, NEXT.EXTENSION_TYPE, 0);
        break;
      case NEXT.NAMES_LENGTH:
        this.expect(base, value === state[base + EXTENSION] - 2, NEXT.NAME_TYPE, 0);
        break;
      case NEXT.NAME_TYPE:
        this.expect(base, value === HOST_NAME, NEXT.NAME_LENGTH, 0);
        break;
      case NEXT.NAME_LENGTH: {
        // There is one name: lists of them were never used.
        const good = value === state[base + EXTENSION] - 5 && value > 0 && value <= MAX_NAME_BYTES;
        this.expect(base, good, NEXT.NAME, value);
        break;
      }
      case NEXT.NAME:
        state[base + VERDICT] = HELLO.NAMED;
        break;
      default:
        this.expect(base, true, part + 1, value);
    }
  }

  /**
   * Sets the next `part`, with `length` bytes if it is not a number; unless the last one was not `good`, or the message has no room for it.
   */
  private expect(base: number, good: boolean, part: number, length: number): void {
    const { state } = this;
    const bytes = WIDTH[part] > 0 ? WIDTH[part] : length;
    if (!good || (part > NEXT.LENGTH && bytes > state[base + MESSAGE])) {
      state[base + VERDICT] = HELLO.UNREADABLE;
      return;
    }
    state[base + PART] = part;
    state[base + LEFT] = bytes;
    state[base + VALUE] = 0;
  }
}
