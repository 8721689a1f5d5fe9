// Splits a peer's bytes into frames. DATA is passed on as it arrives, in whatever pieces; every other frame is handled once complete.
import { type Connection, PREFACE_BYTES, READ_STATE } from './connection.js';
import { FLAG, FRAME, FRAME_HEADER_BYTES, get31, H2_ERROR, MAX_FRAME_BYTES, PREFACE } from './frame.js';
import type { FrameHandler } from './frame-handlers.js';
import type { Sender } from './sender.js';
import type { Core } from './shared-state.js';

const NONE = -1;

export class Receiver {
  private readonly bytes: Uint8Array;

  constructor(
    private readonly core: Core,
    private readonly sender: Sender,
    private readonly frames: FrameHandler,
  ) {
    this.bytes = core.bytes;
  }

  /** Reads [start, end) of a buffer that the caller holds. What is needed later is copied or retained. */
  receive(c: Connection, start: number, end: number): void {
    let p = start;
    while (p < end) {
      switch (c.readState) {
        case READ_STATE.HEADER: {
          if (c.partialBytes === 0 && end - p >= FRAME_HEADER_BYTES) {
            const { bytes } = this;
            c.length = (bytes[p] << 16) | (bytes[p + 1] << 8) | bytes[p + 2];
            c.type = bytes[p + 3];
            c.flags = bytes[p + 4];
            c.stream = get31(bytes, p + 5);
            p += FRAME_HEADER_BYTES;
          } else {
            const { frameHeader } = c;
            while (c.partialBytes < FRAME_HEADER_BYTES && p < end) frameHeader[c.partialBytes++] = this.bytes[p++];
            if (c.partialBytes < FRAME_HEADER_BYTES) return;
            c.partialBytes = 0;
            c.length = (frameHeader[0] << 16) | (frameHeader[1] << 8) | frameHeader[2];
            c.type = frameHeader[3];
            c.flags = frameHeader[4];
            c.stream = get31(frameHeader, 5);
          }
          this.begin(c);
          // A frame without payload is already complete.
          if ((c.readState as number) === READ_STATE.PAYLOAD && c.length === 0) this.whole(c, p);
          break;
        }
        case READ_STATE.PAYLOAD: {
          const have = end - p;
          if (c.partialBytes === 0 && have >= c.length) {
            const at = p;
            p += c.length;
            this.whole(c, at);
          } else p = this.gather(c, p, end);
          break;
        }
        case READ_STATE.DATA: {
          const count = Math.min(c.remaining, end - p);
          const at = p;
          p += count;
          c.remaining -= count;
          const last = c.remaining === 0;
          if (last) this.skip(c, c.padding);
          this.frames.data(c, at, count, last);
          break;
        }
        case READ_STATE.PAD_LENGTH: {
          const padding = this.bytes[p++];
          // RFC 9113 section 6.1: padding as long as the payload or longer is a connection error.
          if (padding >= c.length) {
            this.sender.fail(c, H2_ERROR.PROTOCOL_ERROR);
            break;
          }
          c.padding = padding;
          c.remaining = c.length - 1 - padding;
          c.readState = READ_STATE.DATA;
          this.frames.dataBegins(c, c.remaining, padding + 1);
          if (c.remaining === 0) {
            this.skip(c, padding);
            this.frames.data(c, p, 0, true);
          }
          break;
        }
        case READ_STATE.SKIP: {
          const count = Math.min(c.remaining, end - p);
          p += count;
          c.remaining -= count;
          if (c.remaining === 0) c.readState = READ_STATE.HEADER;
          break;
        }
        case READ_STATE.PREFACE: {
          if (this.bytes[p++] !== PREFACE[c.partialBytes]) {
            this.sender.fail(c, H2_ERROR.PROTOCOL_ERROR);
            break;
          }
          if (++c.partialBytes === PREFACE_BYTES) {
            c.partialBytes = 0;
            c.readState = READ_STATE.HEADER;
          }
          break;
        }
        default:
          return;
      }
    }
  }

  /** The connection is over: releases what is held for incomplete frames. */
  drop(c: Connection): void {
    const { slab } = this.core;
    c.readState = READ_STATE.FAILED;
    if (c.partialBuffer !== NONE) slab.release(c.partialBuffer);
    if (c.blockBuffer !== NONE) slab.release(c.blockBuffer);
    c.partialBuffer = NONE;
    c.blockBuffer = NONE;
    c.discarding = undefined;
    for (let i = 0; i < c.blockMoreCount; i++) slab.release(c.blockMore?.[i] ?? NONE);
    c.blockMoreCount = 0;
  }

  /** After a frame header: decides where its payload goes. */
  private begin(c: Connection): void {
    const { type, length } = c;
    // RFC 9113 section 4.2: larger than we announced.
    if (length > MAX_FRAME_BYTES) {
      this.sender.fail(c, H2_ERROR.FRAME_SIZE_ERROR);
      return;
    }
    // Section 3.4: SETTINGS come first. Section 6.10: nothing may interrupt a header block.
    if (
      (!c.settingsSeen && (type !== FRAME.SETTINGS || (c.flags & FLAG.ACK) !== 0)) ||
      (c.blockStream !== 0 && type !== FRAME.CONTINUATION)
    ) {
      this.sender.fail(c, H2_ERROR.PROTOCOL_ERROR);
      return;
    }
    if (type === FRAME.DATA) {
      if (!this.frames.dataHeader(c)) return;
      if ((c.flags & FLAG.PADDED) !== 0) {
        if (length === 0) this.sender.fail(c, H2_ERROR.FRAME_SIZE_ERROR);
        else c.readState = READ_STATE.PAD_LENGTH;
        return;
      }
      c.remaining = length;
      c.padding = 0;
      c.readState = READ_STATE.DATA;
      this.frames.dataBegins(c, length, 0);
      if (length === 0) {
        this.skip(c, 0);
        this.frames.data(c, 0, 0, true);
      }
      return;
    }
    if (type > FRAME.CONTINUATION) {
      // Section 4.1: unknown frames are ignored.
      this.frames.unknown(c);
      this.skip(c, length);
      return;
    }
    if (this.frames.header(c) && (c.readState as number) !== READ_STATE.FAILED) c.readState = READ_STATE.PAYLOAD;
  }

  private whole(c: Connection, at: number): void {
    c.partialBytes = 0;
    c.readState = READ_STATE.HEADER;
    this.frames.frame(c, at);
  }

  /** Skips `count` bytes, to the next frame; a failed connection stays failed. */
  private skip(c: Connection, count: number): void {
    if (c.readState === READ_STATE.FAILED) return;
    c.remaining = count;
    c.readState = count === 0 ? READ_STATE.HEADER : READ_STATE.SKIP;
  }

  /** Assembles a fragmented payload. Returns how far bytes were used. */
  private gather(c: Connection, p: number, end: number): number {
    const { slab } = this.core;
    // MAX_FRAME_BYTES is more than a buffer's data capacity, but not more than the whole buffer.
    if (c.partialBuffer === NONE) {
      c.partialBuffer = slab.take();
      if (c.partialBuffer === NONE) {
        this.core.failOutOfMemory(c);
        return end;
      }
      // Held like an incomplete header block, and no longer than one.
      if (c.blockStream === 0) c.blockSince = this.core.clock[0];
    }
    const base = slab.bufferStart(c.partialBuffer);
    const count = Math.min(c.length - c.partialBytes, end - p);
    this.bytes.copyWithin(base + c.partialBytes, p, p + count);
    c.partialBytes += count;
    if (c.partialBytes === c.length) {
      const carry = c.partialBuffer;
      c.partialBuffer = NONE;
      this.whole(c, base);
      slab.release(carry);
    }
    return p + count;
  }
}
