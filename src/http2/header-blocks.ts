// Incoming header blocks (RFC 9113 sections 4.3, 5.1, 6.2, 6.10, 8.1): assembled, decoded, checked, passed on.

import { DECODE } from '../hpack/decoder.js';
import { DiscardingDecoder } from '../hpack/discarding-decoder.js';
import type { FieldList } from '../hpack/field-list.js';
import { NAME } from '../http/field-names.js';
import { checkRequest, checkResponse, checkTrailers } from '../http/message.js';
import { MAX_HEAD_BYTES } from '../http/scratch-buffers.js';
import type { Abuse } from './abuse.js';
import { CONNECTION_STATE, type Connection, ROLE } from './connection.js';
import { H } from './counters.js';
import { FLAG, get31, H2_ERROR, PRIORITY_BYTES } from './frame.js';
import { LIMIT, MAX_BLOCK_BYTES } from './limits.js';
import type { Sender } from './sender.js';
import type { Core, Http2Events } from './shared-state.js';
import { STREAM } from './streams.js';

const NONE = -1;
/** Next to the flags of a block: its priority depends on its own stream. */
const SELF_DEPENDENT = 0x100;
/** What may come in addition to the fields: updates of the table's size. */
const BLOCK_SLACK = 64;

/** Where a length has no meaning (RFC 9110 sections 6.5.1 and 8.6) other peers take it for an error. */
function dropLengths(list: FieldList): void {
  for (let i = list.find(NAME.CONTENT_LENGTH); i >= 0; i = list.find(NAME.CONTENT_LENGTH)) list.drop(i);
}

export class HeaderBlocks {
  constructor(
    private readonly core: Core,
    private readonly sender: Sender,
    private readonly abuse: Abuse,
    private readonly events: Http2Events,
  ) {}

  /** A HEADERS frame with its payload at `at`. */
  headers(c: Connection, at: number): void {
    const { bytes } = this.core;
    let start = at;
    let end = at + c.length;
    if ((c.flags & FLAG.PADDED) !== 0) {
      if (c.length === 0) {
        this.sender.fail(c, H2_ERROR.FRAME_SIZE_ERROR);
        return;
      }
      end -= bytes[start++];
    }
    let { flags } = c;
    // Priority is obsolete (section 5.3.2), but its bytes are still there.
    const priority = start;
    if ((flags & FLAG.PRIORITY) !== 0) start += PRIORITY_BYTES;
    if (start > end) {
      this.sender.fail(c, (flags & FLAG.PADDED) !== 0 ? H2_ERROR.PROTOCOL_ERROR : H2_ERROR.FRAME_SIZE_ERROR);
      return;
    }
    if (start > priority && get31(bytes, priority) === c.stream) flags |= SELF_DEPENDENT;
    c.blockOutOfMemory = false;
    if ((flags & FLAG.END_HEADERS) !== 0) {
      this.block(c, c.stream, flags, start, end);
      return;
    }
    c.blockStream = c.stream;
    c.blockFlags = flags;
    c.blockLength = 0;
    c.blockTotal = 0;
    c.continuations = 0;
    c.blockSince = this.core.clock[0];
    if (end === start) this.abuse.emptyFrame(c);
    this.gather(c, start, end);
  }

  /** A CONTINUATION frame of the current block. */
  continuation(c: Connection, at: number): void {
    if (++c.continuations > c.limits.maxContinuations) {
      this.abuse.enhanceYourCalm(c, LIMIT.CONTINUATIONS);
      return;
    }
    if (c.length === 0) this.abuse.emptyFrame(c);
    if (!this.gather(c, at, at + c.length) || (c.flags & FLAG.END_HEADERS) === 0) return;
    const { slab, scratch } = this.core;
    const id = c.blockStream;
    c.blockStream = 0;
    if (c.discarding === undefined && c.blockMoreCount > 0) {
      const end = this.join(c, scratch.received);
      this.block(c, id, c.blockFlags, scratch.received, end);
      return;
    }
    const buffer = c.blockBuffer;
    c.blockBuffer = NONE;
    if (c.discarding === undefined) {
      const start = slab.bufferStart(buffer);
      this.block(c, id, c.blockFlags, start, start + c.blockLength);
    } else this.discarded(c, c.discarding, id);
    slab.release(buffer);
  }

  /** The peer has violated a rule of a stream: resets it, and tells its owner. */
  streamError(c: Connection, slot: number, code: number): void {
    this.sender.reset(slot, code);
    this.events.streamFailed(c, slot, code);
    if (c.role === ROLE.SERVER) this.abuse.provokedReset(c);
  }

  /** Adds [start, end) to the current block. False if the connection has failed. */
  private gather(c: Connection, start: number, end: number): boolean {
    if ((c.state as number) === CONNECTION_STATE.FAILED) return false;
    c.blockTotal += end - start;
    if (c.blockTotal > MAX_BLOCK_BYTES) {
      this.abuse.enhanceYourCalm(c, LIMIT.CONTINUATIONS);
      return false;
    }
    let from = start;
    let { discarding } = c;
    if (discarding === undefined) {
      from = this.keep(c, start, end);
      if (from === end) return true;
      if (from < 0) return false;
      discarding = new DiscardingDecoder(c.decoder, this.core.list);
      c.discarding = discarding;
      if (!this.discardBuffered(c, discarding)) return false;
    }
    return this.discard(c, discarding, from, end);
  }

  /** Keeps [start, end). Returns how far there was room; -1 if the connection has failed. */
  private keep(c: Connection, start: number, end: number): number {
    const { slab, bytes } = this.core;
    const { bufferBytes } = slab;
    if (c.blockBuffer === NONE) {
      c.blockBuffer = slab.take();
      if (c.blockBuffer === NONE) {
        this.core.failOutOfMemory(c);
        return NONE;
      }
    }
    // An encoded block is no larger than its list, unless it was encoded to be large; whatever is in one buffer is decoded anyway.
    const room = Math.max(bufferBytes, c.limits.maxHeaderBytes + BLOCK_SLACK);
    for (let from = start; ; ) {
      const within = c.blockLength - c.blockMoreCount * bufferBytes;
      const buffer = c.blockMoreCount === 0 ? c.blockBuffer : (c.blockMore?.[c.blockMoreCount - 1] ?? NONE);
      const count = Math.min(end - from, bufferBytes - within);
      bytes.copyWithin(slab.bufferStart(buffer) + within, from, from + count);
      c.blockLength += count;
      from += count;
      if (from === end || c.blockLength + end - from > room || !this.extend(c)) return from;
    }
  }

  /** Takes another buffer for the block. False if none is available. */
  private extend(c: Connection): boolean {
    const { slab } = this.core;
    const buffer = slab.withinShare(c.blockMoreCount + 2) ? slab.take() : NONE;
    c.blockOutOfMemory = buffer === NONE;
    if (c.blockOutOfMemory) return false;
    c.blockMore ??= new Int32Array(Math.ceil((MAX_HEAD_BYTES + BLOCK_SLACK) / slab.bufferBytes));
    c.blockMore[c.blockMoreCount++] = buffer;
    return true;
  }

  /** Assembles the block at `to`, and releases its buffers. Returns its end. */
  private join(c: Connection, to: number): number {
    const { slab, bytes } = this.core;
    const end = to + c.blockLength;
    for (let i = -1, p = to; p < end; i++) {
      const buffer = i < 0 ? c.blockBuffer : (c.blockMore?.[i] ?? NONE);
      const at = slab.bufferStart(buffer);
      const count = Math.min(slab.bufferBytes, end - p);
      bytes.copyWithin(p, at, at + count);
      slab.release(buffer);
      p += count;
    }
    c.blockBuffer = NONE;
    c.blockMoreCount = 0;
    return end;
  }

  /** Reads what was kept of a block that turns out to be too large. False as for `gather`. */
  private discardBuffered(c: Connection, discarding: DiscardingDecoder): boolean {
    const { slab, list } = this.core;
    const { bufferBytes } = slab;
    let left = c.blockLength - bufferBytes;
    c.blockLength = Math.min(c.blockLength, bufferBytes);
    let sound = this.discardFirstBuffer(c, discarding);
    c.blockMethod = list.facts.method;
    for (let i = 0; i < c.blockMoreCount; i++, left -= bufferBytes) {
      const buffer = c.blockMore?.[i] ?? NONE;
      const at = slab.bufferStart(buffer);
      sound = sound && this.discard(c, discarding, at, at + Math.min(left, bufferBytes));
      slab.release(buffer);
    }
    c.blockMoreCount = 0;
    return sound;
  }

  /** Reads [start, end) of a block that is too large. False as for `gather`. */
  private discard(c: Connection, discarding: DiscardingDecoder, start: number, end: number): boolean {
    const { slab, bytes } = this.core;
    const base = slab.bufferStart(c.blockBuffer);
    for (let from = start; from < end; ) {
      const count = Math.min(end - from, slab.bufferBytes - c.blockLength);
      bytes.copyWithin(base + c.blockLength, from, from + count);
      c.blockLength += count;
      from += count;
      if (!this.discardFirstBuffer(c, discarding)) return false;
    }
    return true;
  }

  /** Reads the first buffer of such a block, and keeps there what can't be read yet. False as for `gather`. */
  private discardFirstBuffer(c: Connection, discarding: DiscardingDecoder): boolean {
    const { slab, bytes } = this.core;
    const base = slab.bufferStart(c.blockBuffer);
    const end = base + c.blockLength;
    const used = discarding.read(base, end);
    if (used < 0 || end - used === slab.bufferBytes) {
      this.sender.fail(c, H2_ERROR.COMPRESSION_ERROR);
      return false;
    }
    bytes.copyWithin(base, used, end);
    c.blockLength = end - used;
    return true;
  }

  /** A block that was too large has been read to its end. */
  private discarded(c: Connection, discarding: DiscardingDecoder, id: number): void {
    const { list, values } = this.core;
    c.discarding = undefined;
    values[c.meter + H.HEADER_BLOCKS]++;
    if (c.blockLength > 0 || !discarding.whole) {
      this.sender.fail(c, H2_ERROR.COMPRESSION_ERROR);
      return;
    }
    list.clear();
    list.facts.method = c.blockMethod;
    list.facts.grpc = discarding.grpc;
    this.decoded(c, id, c.blockFlags, DECODE.TOO_LARGE);
  }

  /** A complete block of stream `id`. Whatever happens to the stream, the decoder must see it (section 4.3). */
  private block(c: Connection, id: number, flags: number, start: number, end: number): void {
    const { list, values, memory } = this.core;
    const { limits } = c;
    const blockHits = memory.hits;
    const fields = memory.fieldHits + memory.fieldMisses;
    const fieldHits = memory.fieldHits;
    const result = c.decoder.decode(start, end, list, limits.maxHeaderBytes, limits.maxHeaders);
    const { meter } = c;
    values[meter + H.HEADER_BLOCKS]++;
    // If the block was found whole, no field was decoded.
    if (memory.hits !== blockHits) values[meter + H.HEADER_BLOCK_HITS]++;
    else {
      values[meter + H.HEADER_FIELDS] += memory.fieldHits + memory.fieldMisses - fields;
      values[meter + H.HEADER_FIELD_HITS] += memory.fieldHits - fieldHits;
    }
    if (result === DECODE.ERROR) {
      this.sender.fail(c, H2_ERROR.COMPRESSION_ERROR);
      return;
    }
    this.decoded(c, id, flags, result);
  }

  /** The decoder has processed the block, with this result (DECODE): its fields are in `core.list`. */
  private decoded(c: Connection, id: number, flags: number, result: number): void {
    const slot = this.core.streams.find(c, id);
    const ended = (flags & FLAG.END_STREAM) !== 0;
    // RFC 7540 section 5.3.1 made this a stream error, and a correct peer never sends it.
    const selfDependent = (flags & SELF_DEPENDENT) !== 0;
    if (slot === NONE) {
      if (c.role === ROLE.SERVER) this.openStream(c, id, ended, result, selfDependent);
      else this.unexpectedResponse(c, id);
    } else if (selfDependent) this.streamError(c, slot, H2_ERROR.PROTOCOL_ERROR);
    else this.laterBlock(c, slot, ended, result);
  }

  /** A head or trailers on an open stream. */
  private laterBlock(c: Connection, slot: number, ended: boolean, result: number): void {
    const { streams, list } = this.core;
    const { facts } = list;
    const state = streams.state[slot];
    if ((state & STREAM.REMOTE_END) !== 0) {
      this.streamError(c, slot, H2_ERROR.STREAM_CLOSED);
      return;
    }
    streams.active[slot] = this.core.clock[0];
    if (result === DECODE.TOO_LARGE) {
      this.abuse.limited(LIMIT.HEADER_BYTES);
      this.tooLarge(c, slot, ended);
      return;
    }
    if ((state & STREAM.HEAD_IN) !== 0) {
      // Section 8.1: a second block is the trailers, and ends the stream.
      if (!ended || checkTrailers(facts) !== 0 || streams.expected[slot] > 0) {
        this.streamError(c, slot, H2_ERROR.PROTOCOL_ERROR);
        return;
      }
      streams.state[slot] = state | STREAM.REMOTE_END;
      c.useful++;
      if (facts.contentLength >= 0) dropLengths(list);
      this.events.trailers(c, slot);
      return;
    }
    const { status } = facts;
    if (checkResponse(facts) !== 0 || (status < 200 && (ended || status === 101))) {
      this.streamError(c, slot, H2_ERROR.PROTOCOL_ERROR);
      return;
    }
    if (status >= 200) {
      c.useful++;
      let next = state | STREAM.HEAD_IN;
      if (ended) next |= STREAM.REMOTE_END;
      const bodiless = (state & STREAM.BODILESS) !== 0 || status === 204 || status === 304;
      if (bodiless) next |= STREAM.BODILESS;
      else if ((state & STREAM.UNCOUNTED) === 0 && facts.contentLength >= 0) {
        streams.expected[slot] = facts.contentLength;
        if (ended && facts.contentLength > 0) {
          this.streamError(c, slot, H2_ERROR.PROTOCOL_ERROR);
          return;
        }
      }
      streams.state[slot] = next;
    }
    if (facts.contentLength >= 0 && (status < 200 || status === 204)) dropLengths(list);
    this.events.response(c, slot, ended);
  }

  /** A head or trailers over our limit, which is no error of the peer. Only this message is affected. */
  private tooLarge(c: Connection, slot: number, ended: boolean): void {
    const { streams } = this.core;
    if (c.role === ROLE.SERVER) {
      if (!ended) {
        this.streamError(c, slot, H2_ERROR.PROTOCOL_ERROR);
        return;
      }
      streams.state[slot] |= STREAM.REMOTE_END;
    } else this.sender.reset(slot, H2_ERROR.CANCEL);
    this.events.tooLarge(c, slot);
  }

  /** A request: the first block of a stream opened by the client. */
  private openStream(c: Connection, id: number, ended: boolean, result: number, selfDependent: boolean): void {
    const { streams, list, values } = this.core;
    const { facts } = list;
    // Section 5.1.1: odd, and higher than all before.
    if ((id & 1) === 0) {
      this.sender.fail(c, H2_ERROR.PROTOCOL_ERROR);
      return;
    }
    if (id <= c.lastPeerId) {
      if (id <= c.goawayLast && !c.wasReset(id)) this.sender.fail(c, H2_ERROR.STREAM_CLOSED);
      else this.abuse.controlFrame(c);
      return;
    }
    c.lastPeerId = id;
    // Section 6.8: what follows our final GOAWAY is ignored, with everything on its stream.
    if (c.state >= CONNECTION_STATE.DRAINING) {
      this.abuse.controlFrame(c);
      return;
    }
    if (c.active >= c.limits.maxStreams) {
      this.abuse.limited(LIMIT.STREAMS);
      // Before it has seen our SETTINGS, the client can't know the limit.
      if (c.settingsAcked) this.refuse(c, id, H2_ERROR.REFUSED_STREAM);
      else if (this.abuse.controlFrame(c)) this.sender.frames.reset(c, id, H2_ERROR.REFUSED_STREAM);
      return;
    }
    if (selfDependent || (result === DECODE.OK && checkRequest(facts) !== 0)) {
      this.refuse(c, id, H2_ERROR.PROTOCOL_ERROR);
      return;
    }
    if (result === DECODE.OK && ended && facts.contentLength > 0) {
      this.refuse(c, id, H2_ERROR.PROTOCOL_ERROR);
      return;
    }
    const slot = streams.allocate();
    if (slot === NONE) {
      this.refuse(c, id, H2_ERROR.REFUSED_STREAM);
      return;
    }
    streams.open(slot, c, id);
    values[c.meter + H.STREAMS_TOTAL]++;
    values[c.meter + H.STREAMS]++;
    streams.state[slot] |= ended ? STREAM.HEAD_IN | STREAM.REMOTE_END : STREAM.HEAD_IN;
    streams.active[slot] = this.core.clock[0];
    streams.since[slot] = this.core.clock[0];
    if (result === DECODE.TOO_LARGE) {
      this.abuse.limited(LIMIT.HEADER_BYTES);
      this.events.requestTooLarge(c, slot, ended);
      return;
    }
    streams.expected[slot] = facts.contentLength;
    this.events.request(c, slot, ended);
  }

  /** A response without a request. */
  private unexpectedResponse(c: Connection, id: number): void {
    if ((id & 1) === 0 || id >= c.nextId) this.sender.fail(c, H2_ERROR.PROTOCOL_ERROR);
    else if (!c.wasReset(id)) this.sender.fail(c, H2_ERROR.STREAM_CLOSED);
    else this.abuse.controlFrame(c);
  }

  private refuse(c: Connection, id: number, code: number): void {
    this.sender.frames.reset(c, id, code);
    this.abuse.provokedReset(c);
  }
}
