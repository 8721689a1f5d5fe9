// Bodies of HTTP/1 messages (RFC 9112 sections 6 and 7): finds their end, removes and adds chunked framing.

import { column } from '../http/columns.js';
import { HEX, isValue, move } from '../http/octets.js';
import { MESSAGE_ERROR } from './errors.js';
import { FRAMING } from './head.js';
import { headEnd } from './head-parser.js';
import { compactTrailers, writeTrailers } from './trailer.js';

/** Result of `read`: more is to come, the message is over, or bytes from `consumed` on must be presented again with more. */
export const BODY = { MORE: 0, DONE: 1, INCOMPLETE: 2 } as const;

/** A chunk-size line with its extensions and CR. Extensions are ignored; no legitimate peer needs more. */
export const MAX_CHUNK_LINE = 256;
/** Default limit of a trailer section: it must be in one buffer when it is read. */
export const MAX_TRAILER_BYTES = 4096;

/**
 * States. SIZE expects the first digit, DIGITS more of them; GAP is whitespace before an extension (RFC 9112 section 7.1.1); *_LF have seen
 * the CR.
 */
const DONE = 0;
const LENGTH = 1;
const CLOSE = 2;
const SIZE = 3;
const DIGITS = 4;
const GAP = 5;
const EXTENSION = 6;
const SIZE_LF = 7;
const DATA = 8;
const DATA_CR = 9;
const DATA_LF = 10;
const TRAILER = 11;
const FAILED = 12;

const HT = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SP = 0x20;
const hex = HEX;
const SEMICOLON = 0x3b;

/**
 * Reads the bodies of many messages, one per slot. The results of `read` are in the fields below until the next `read`.
 */
export class BodyReader {
  /** Decoded data of the last read; empty if equal. Chunks of one read are moved together in place. */
  dataStart = 0;
  dataEnd = 0;
  /** Input was used up to here. What follows belongs to the next message (DONE) or must be presented again (INCOMPLETE). */
  consumed = 0;
  /** With DONE: field lines of the trailer section, validated, without those that are not allowed there. */
  trailerStart = 0;
  trailerEnd = 0;

  private readonly states: Uint8Array;
  private readonly framings: Uint8Array;
  /** LENGTH: remaining bytes. Chunked: remaining bytes of the chunk, or its size so far. FAILED: the MESSAGE_ERROR. */
  private readonly left: Float64Array;
  /** Bytes of the chunk-size line so far; in TRAILER, bytes already searched for its end. */
  private readonly line: Int32Array;
  /** 1: whitespace is allowed between a chunk's size and its CRLF. */
  private readonly padded: Uint8Array;

  /** `capacity`: number of slots; `maxTrailerBytes`: limit of a trailer section, which may change. */
  constructor(
    capacity: number,
    public maxTrailerBytes = MAX_TRAILER_BYTES,
  ) {
    this.states = column(Uint8Array, capacity);
    this.framings = column(Uint8Array, capacity);
    this.left = column(Float64Array, capacity);
    this.line = column(Int32Array, capacity);
    this.padded = column(Uint8Array, capacity);
  }

  /** Columns of which the cells of free slots may become 0. */
  columns(): readonly ArrayBufferView[] {
    return [this.states, this.framings, this.left, this.line, this.padded];
  }

  /**
   * Starts a body; `contentLength` counts for FRAMING.LENGTH only. `padded`: for responses, because some servers pad chunk sizes to a fixed
   * width. In requests, padding could make the next parser read the body differently.
   */
  begin(slot: number, framing: number, contentLength: number, padded = false): void {
    this.padded[slot] = padded ? 1 : 0;
    this.framings[slot] = framing;
    this.line[slot] = 0;
    this.left[slot] = 0;
    if (framing === FRAMING.CHUNKED) this.states[slot] = SIZE;
    else if (framing === FRAMING.CLOSE) this.states[slot] = CLOSE;
    else if (framing === FRAMING.LENGTH && contentLength > 0) {
      this.states[slot] = LENGTH;
      this.left[slot] = contentLength;
    } else this.states[slot] = DONE;
  }

  /** Reads [start, end). Returns BODY or -MESSAGE_ERROR; after an error every read returns it again. Never reads outside the range. */
  read(slot: number, bytes: Uint8Array, start: number, end: number): number {
    this.dataStart = start;
    this.trailerStart = start;
    this.trailerEnd = start;
    switch (this.states[slot]) {
      case LENGTH: {
        const left = this.left[slot] - (end - start);
        if (left > 0) {
          this.left[slot] = left;
          this.dataEnd = this.consumed = end;
          return BODY.MORE;
        }
        this.left[slot] = 0;
        this.states[slot] = DONE;
        // `| 0` keeps positions integers for the engine: a double in a field is an allocation.
        this.dataEnd = this.consumed = (end + left) | 0;
        return BODY.DONE;
      }
      case CLOSE:
        this.dataEnd = this.consumed = end;
        return BODY.MORE;
      case DONE:
        this.dataEnd = this.consumed = start;
        return BODY.DONE;
      case FAILED:
        this.dataEnd = this.consumed = start;
        return -this.left[slot];
      default:
        return this.readChunked(slot, bytes, start, end);
    }
  }

  /** Remaining bytes if the length is known, else -1. */
  remaining(slot: number): number {
    return this.framings[slot] === FRAMING.LENGTH && this.states[slot] !== FAILED ? this.left[slot] : -1;
  }

  /** Records that `bytes` of the body were moved without `read`; at most `remaining` if the length is known. */
  spliced(slot: number, bytes: number): void {
    if (this.states[slot] !== LENGTH) return;
    const left = this.left[slot] - bytes;
    this.left[slot] = Math.max(left, 0);
    if (left <= 0) this.states[slot] = DONE;
  }

  /** Whether the body is complete. */
  finished(slot: number): boolean {
    return this.states[slot] === DONE;
  }

  /** Records the end of the stream. True if it completes the body, false if the body is truncated. */
  eof(slot: number): boolean {
    if (this.states[slot] === CLOSE) this.states[slot] = DONE;
    return this.states[slot] === DONE;
  }

  private readChunked(slot: number, bytes: Uint8Array, start: number, end: number): number {
    let state = this.states[slot];
    let left = this.left[slot];
    let line = this.line[slot];
    let dataStart = start;
    let dataEnd = start;
    let error = 0;
    let p = start;
    while (p < end && state !== TRAILER) {
      if (state === DATA) {
        const to = end - p < left ? end : (p + left) | 0;
        if (dataEnd === dataStart) {
          dataStart = p;
          dataEnd = to;
        } else {
          move(bytes, p, to, dataEnd);
          dataEnd += to - p;
        }
        left -= to - p;
        p = to;
        if (left === 0) state = DATA_CR;
        continue;
      }
      const octet = bytes[p++];
      switch (state) {
        case SIZE:
        case DIGITS:
          if (hex[octet] < 16) {
            left = left * 16 + hex[octet];
            if (left > Number.MAX_SAFE_INTEGER) error = MESSAGE_ERROR.CHUNK_TOO_LARGE;
            state = DIGITS;
          } else if (state === SIZE) error = MESSAGE_ERROR.CHUNK_SIZE;
          else if (octet === CR) state = SIZE_LF;
          else if (octet === SEMICOLON) state = EXTENSION;
          else if (octet === SP || octet === HT) state = GAP;
          else error = octet === LF ? MESSAGE_ERROR.CHUNK_LINE_END : MESSAGE_ERROR.CHUNK_SIZE;
          line++;
          break;
        case GAP:
          if (octet === SEMICOLON) state = EXTENSION;
          else if (octet === CR && this.padded[slot] === 1) state = SIZE_LF;
          else if (octet !== SP && octet !== HT) error = MESSAGE_ERROR.CHUNK_SIZE;
          line++;
          break;
        case EXTENSION:
          if (octet === CR) state = SIZE_LF;
          else if (!isValue(octet)) error = MESSAGE_ERROR.CHUNK_LINE_END;
          line++;
          break;
        case SIZE_LF:
          if (octet !== LF) error = MESSAGE_ERROR.CHUNK_LINE_END;
          state = left === 0 ? TRAILER : DATA;
          line = 0;
          break;
        case DATA_CR:
          if (octet !== CR) error = MESSAGE_ERROR.CHUNK_DATA_END;
          state = DATA_LF;
          break;
        case DATA_LF:
          if (octet !== LF) error = MESSAGE_ERROR.CHUNK_DATA_END;
          state = SIZE;
          break;
      }
      if (error === 0 && line > MAX_CHUNK_LINE) error = MESSAGE_ERROR.CHUNK_LINE_TOO_LONG;
      if (error !== 0) break;
    }
    this.dataStart = dataStart;
    this.dataEnd = dataEnd;
    this.consumed = p;
    if (error !== 0) return this.fail(slot, error);
    this.states[slot] = state;
    this.left[slot] = left;
    this.line[slot] = line;
    return state === TRAILER ? this.readTrailer(slot, bytes, p, end) : BODY.MORE;
  }

  /** The section is read once it is complete; `line` remembers how far its end was searched. */
  private readTrailer(slot: number, bytes: Uint8Array, start: number, end: number): number {
    if (start === end) return BODY.MORE;
    if (bytes[start] === LF) return this.fail(slot, MESSAGE_ERROR.LINE_END);
    if (bytes[start] === CR) {
      if (start + 1 === end) return BODY.INCOMPLETE;
      if (bytes[start + 1] !== LF) return this.fail(slot, MESSAGE_ERROR.LINE_END);
      this.states[slot] = DONE;
      this.consumed = start + 2;
      return BODY.DONE;
    }
    const searched = this.line[slot] - 3;
    const after = headEnd(bytes, searched > 0 ? start + searched : start, end);
    if ((after === 0 ? end : after) - start > this.maxTrailerBytes)
      return this.fail(slot, MESSAGE_ERROR.TRAILER_TOO_LARGE);
    if (after === 0) {
      this.line[slot] = end - start;
      return BODY.INCOMPLETE;
    }
    // A valid section ends in CRLF CRLF; otherwise it shows as a line that does not end in CRLF.
    const bare = bytes[after - 2] !== CR;
    const to = compactTrailers(bytes, start, bare ? after : after - 2);
    if (to < 0) return this.fail(slot, -to);
    this.states[slot] = DONE;
    this.consumed = after;
    this.trailerStart = start;
    this.trailerEnd = to;
    return BODY.DONE;
  }

  private fail(slot: number, error: number): number {
    this.states[slot] = FAILED;
    this.left[slot] = error;
    return -error;
  }
}

/**
 * Frames [dataStart, dataEnd), not empty, as one chunk in place: the size line goes right before it (up to 10 bytes), CRLF right after it.
 * Those bytes must be free. They are for data that `read` decoded from CHUNKED or CLOSE, once the head before it has been sent; not for
 * LENGTH, where the next byte may belong to the next message. Returns the new start; the new end is dataEnd + 2.
 */
export function frameChunk(bytes: Uint8Array, dataStart: number, dataEnd: number): number {
  bytes[dataEnd] = CR;
  bytes[dataEnd + 1] = LF;
  return chunkSizeBefore(bytes, dataStart, dataEnd - dataStart);
}

/** Writes the size line of a chunk of `length` bytes (not 0), ending at `dataStart`. Returns its start. */
export function chunkSizeBefore(bytes: Uint8Array, dataStart: number, length: number): number {
  let at = dataStart;
  bytes[--at] = LF;
  bytes[--at] = CR;
  let size = length;
  do {
    const digit = size & 15;
    bytes[--at] = digit < 10 ? 0x30 + digit : 0x57 + digit;
    size >>>= 4;
  } while (size !== 0);
  return at;
}

/**
 * Writes the last chunk, the trailers that `read` found (none if the span is empty) and the final blank line at `at`, which must not
 * overlap them from behind. Returns the position after it, -1 if it would pass `limit`.
 */
export function writeLastChunk(
  bytes: Uint8Array,
  at: number,
  trailerStart: number,
  trailerEnd: number,
  limit: number,
): number {
  if (at + 5 > limit) return -1;
  bytes[at] = 0x30;
  bytes[at + 1] = CR;
  bytes[at + 2] = LF;
  const end = writeTrailers(bytes, trailerStart, trailerEnd, at + 3, limit - 2);
  if (end < 0) return -1;
  bytes[end] = CR;
  bytes[end + 1] = LF;
  return end + 2;
}
