// Writes frames at the end of a connection's output. The sender decides what may be sent, and when.

import type { FieldList } from '../hpack/field-list.js';
import { moveWords, WORDS_BYTES } from '../http/octets.js';
import { CONNECTION_STATE, type Connection, ROLE } from './connection.js';
import { H, h2Error } from './counters.js';
import { DEFAULT_WINDOW, FLAG, FRAME, FRAME_HEADER_BYTES, PREFACE, put32, putFrameHeader, SETTING } from './frame.js';
import { MAX_BLOCK_BYTES } from './limits.js';
import type { Core } from './shared-state.js';

const NONE = -1;
/** Payloads of at least this size are sent from where they were received; for smaller ones a copy is cheaper than another slice. */
const SLICE_BYTES = 2048;
const RESET_IDS = 1024;
const ENCODE_SLACK = 16;
/** Payload of the frames of a large header block, sized so that one fits in a buffer. */
const BLOCK_FRAME_BYTES = 15 * 1024;

/** Purpose of a PING: its first byte, which comes back in the answer. */
export const PING = { KEEPALIVE: 1, SHUTDOWN: 2 } as const;

export class FrameWriter {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;

  constructor(private readonly core: Core) {
    const { bytes } = core;
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Connection preface and SETTINGS (RFC 9113 section 3.4). */
  settings(connection: Connection): void {
    const { limits } = connection;
    const server = connection.role === ROLE.SERVER;
    const at = this.room(connection, 128);
    if (at < 0) return;
    const { bytes } = this;
    let p = at;
    if (!server) {
      bytes.set(PREFACE, p);
      p += PREFACE.length;
    }
    const frame = p;
    p += FRAME_HEADER_BYTES;
    if (server) {
      p = this.setting(p, SETTING.MAX_CONCURRENT_STREAMS, limits.maxStreams);
      p = this.setting(p, SETTING.ENABLE_CONNECT_PROTOCOL, 1);
    } else {
      // No pushes, and so no streams opened by the server at all.
      p = this.setting(p, SETTING.ENABLE_PUSH, 0);
      p = this.setting(p, SETTING.MAX_CONCURRENT_STREAMS, 0);
    }
    if (limits.streamWindow !== DEFAULT_WINDOW) p = this.setting(p, SETTING.INITIAL_WINDOW_SIZE, limits.streamWindow);
    // An endpoint that knows our limit enforces it by resetting its streams, which looks like any other error. So we only announce how
    // large a block we read to its end (a block is never larger than its list): what exceeds our limit fails here.
    p = this.setting(p, SETTING.MAX_HEADER_LIST_SIZE, server ? limits.maxHeaderBytes : MAX_BLOCK_BYTES);
    putFrameHeader(bytes, frame, p - frame - FRAME_HEADER_BYTES, FRAME.SETTINGS, 0, 0);
    this.core.output.wrote(connection, p);
  }

  /** A head, or trailers, on stream `id`. False if there is no room for it, which ends the connection. */
  headers(connection: Connection, id: number, list: FieldList, end: boolean): boolean {
    const most = FRAME_HEADER_BYTES + list.encodedBound + ENCODE_SLACK;
    if (most > this.core.slab.bufferBytes) return this.largeHeaders(connection, id, list, end);
    const at = this.room(connection, most);
    if (at < 0) return false;
    const to = connection.encoder.encode(list, at + FRAME_HEADER_BYTES);
    const length = to - at - FRAME_HEADER_BYTES;
    const flags = end ? FLAG.END_HEADERS | FLAG.END_STREAM : FLAG.END_HEADERS;
    putFrameHeader(this.bytes, at, length, FRAME.HEADERS, flags, id);
    this.core.output.wrote(connection, to);
    return true;
  }

  /** Like `headers`, for a block that may be larger than a frame. */
  private largeHeaders(connection: Connection, id: number, list: FieldList, end: boolean): boolean {
    const { bytes } = this;
    const { output, scratch } = this.core;
    if (connection.state === CONNECTION_STATE.FAILED) return false;
    let from = scratch.written;
    const to = connection.encoder.encode(list, from);
    let type: number = FRAME.HEADERS;
    let flags: number = end ? FLAG.END_STREAM : 0;
    do {
      const length = Math.min(to - from, BLOCK_FRAME_BYTES);
      const at = this.room(connection, FRAME_HEADER_BYTES + length);
      if (at < 0) return false;
      if (from + length === to) flags |= FLAG.END_HEADERS;
      putFrameHeader(bytes, at, length, type, flags, id);
      bytes.copyWithin(at + FRAME_HEADER_BYTES, from, from + length);
      output.wrote(connection, at + FRAME_HEADER_BYTES + length);
      from += length;
      type = FRAME.CONTINUATION;
      flags = 0;
    } while (from < to);
    return true;
  }

  /** DATA on stream `id`. `free`: the 9 bytes before it may be overwritten with its header. False as for `headers`. */
  data(c: Connection, id: number, at: number, length: number, end: boolean, free: boolean): boolean {
    const { output, slab } = this.core;
    const flags = end ? FLAG.END_STREAM : 0;
    if (length < SLICE_BYTES) {
      const to = this.room(c, FRAME_HEADER_BYTES + length);
      if (to < 0) return false;
      putFrameHeader(this.bytes, to, length, FRAME.DATA, flags, id);
      const payload = to + FRAME_HEADER_BYTES;
      if (length <= WORDS_BYTES) moveWords(this.bytes, this.view, at, at + length, payload);
      else this.bytes.copyWithin(payload, at, at + length);
      output.wrote(c, to + FRAME_HEADER_BYTES + length);
      // The first frame in a new buffer: with small frames, the socket is checked once per buffer.
      if (to === c.outStart && !c.congested) c.congested = this.core.sink.congested(c.socket, 0);
    } else {
      const bid = slab.bufferOf(at);
      slab.retain(bid);
      if (free) {
        putFrameHeader(this.bytes, at - FRAME_HEADER_BYTES, length, FRAME.DATA, flags, id);
        output.slice(c, at - FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + length, bid);
      } else {
        const to = this.room(c, FRAME_HEADER_BYTES);
        if (to < 0) {
          slab.release(bid);
          return false;
        }
        putFrameHeader(this.bytes, to, length, FRAME.DATA, flags, id);
        output.wrote(c, to + FRAME_HEADER_BYTES);
        output.slice(c, at, length, bid);
      }
      c.congested = this.core.sink.congested(c.socket, output.unsent(c));
    }
    return true;
  }

  /** RST_STREAM. Frames that still arrive for it are ignored (RFC 9113 section 5.1, closed). */
  reset(connection: Connection, id: number, code: number): void {
    connection.resetIds ??= new Int32Array(RESET_IDS);
    connection.resetsForgotten = Math.max(connection.resetsForgotten, connection.resetIds[connection.resetAt]);
    connection.resetIds[connection.resetAt] = id;
    connection.resetAt = (connection.resetAt + 1) & (RESET_IDS - 1);
    this.core.values[connection.meter + H.RESET_SENT + h2Error(code)]++;
    this.word(connection, FRAME.RST_STREAM, id, code);
  }

  windowUpdate(connection: Connection, id: number, count: number): void {
    this.word(connection, FRAME.WINDOW_UPDATE, id, count);
  }

  settingsAck(connection: Connection): void {
    const at = this.room(connection, FRAME_HEADER_BYTES);
    if (at < 0) return;
    putFrameHeader(this.bytes, at, 0, FRAME.SETTINGS, FLAG.ACK, 0);
    this.core.output.wrote(connection, at + FRAME_HEADER_BYTES);
  }

  /** PING; `kind` is one of PING. */
  ping(connection: Connection, kind: number): void {
    const at = this.room(connection, FRAME_HEADER_BYTES + 8);
    if (at < 0) return;
    putFrameHeader(this.bytes, at, 8, FRAME.PING, 0, 0);
    this.bytes.fill(0, at + FRAME_HEADER_BYTES, at + FRAME_HEADER_BYTES + 8);
    this.bytes[at + FRAME_HEADER_BYTES] = kind;
    this.core.output.wrote(connection, at + FRAME_HEADER_BYTES + 8);
    connection.pingSentAt = this.core.clock[0];
    this.core.values[connection.meter + H.PINGS_SENT]++;
  }

  /** Answers the PING whose 8 bytes are at `from`. */
  pong(connection: Connection, from: number): void {
    const at = this.room(connection, FRAME_HEADER_BYTES + 8);
    if (at < 0) return;
    putFrameHeader(this.bytes, at, 8, FRAME.PING, FLAG.ACK, 0);
    this.bytes.copyWithin(at + FRAME_HEADER_BYTES, from, from + 8);
    this.core.output.wrote(connection, at + FRAME_HEADER_BYTES + 8);
  }

  goaway(connection: Connection, last: number, code: number): void {
    const at = this.room(connection, FRAME_HEADER_BYTES + 8);
    if (at < 0) return;
    putFrameHeader(this.bytes, at, 8, FRAME.GOAWAY, 0, 0);
    put32(this.bytes, at + FRAME_HEADER_BYTES, last);
    put32(this.bytes, at + FRAME_HEADER_BYTES + 4, code);
    this.core.output.wrote(connection, at + FRAME_HEADER_BYTES + 8);
    this.core.values[connection.meter + H.GOAWAY_SENT + h2Error(code)]++;
  }

  /** A frame whose payload is one 32-bit word. */
  private word(connection: Connection, type: number, id: number, value: number): void {
    const at = this.room(connection, FRAME_HEADER_BYTES + 4);
    if (at < 0) return;
    putFrameHeader(this.bytes, at, 4, type, 0, id);
    put32(this.bytes, at + FRAME_HEADER_BYTES, value);
    this.core.output.wrote(connection, at + FRAME_HEADER_BYTES + 4);
  }

  private setting(at: number, id: number, value: number): number {
    this.bytes[at] = 0;
    this.bytes[at + 1] = id;
    put32(this.bytes, at + 2, value);
    return at + 6;
  }

  /** Room for output; without any, the connection loses step with its peer and is closed. */
  private room(connection: Connection, length: number): number {
    if (connection.state === CONNECTION_STATE.FAILED) return NONE;
    const at = this.core.output.room(connection, length);
    if (at < 0) this.core.failOutOfMemory(connection);
    return at;
  }
}
