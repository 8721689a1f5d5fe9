// Meaning of frames (RFC 9113 sections 5 and 6): one method per frame type, each with the rules of its section.

import { type Abuse, TINY_BYTES } from './abuse.js';
import { CONNECTION_STATE, type Connection, ROLE } from './connection.js';
import { H, h2Error } from './counters.js';
import { FLAG, FRAME, get31, get32, H2_ERROR, MAX_FRAME_BYTES, MAX_WINDOW, PRIORITY_BYTES, SETTING } from './frame.js';
import { PING } from './frame-writer.js';
import type { HeaderBlocks } from './header-blocks.js';
import { LIMIT } from './limits.js';
import { type Sender, WINDOW_FRAGMENT_BYTES } from './sender.js';
import type { Core, Http2Events } from './shared-state.js';
import { STREAM } from './streams.js';

const NONE = -1;
/** A window is widened only to a fraction of what a slow reader may hold. */
const WINDOW_SHARES = 4;

export class FrameHandler {
  private readonly bytes: Uint8Array;

  constructor(
    private readonly core: Core,
    private readonly sender: Sender,
    private readonly headerBlocks: HeaderBlocks,
    private readonly abuse: Abuse,
    private readonly events: Http2Events,
  ) {
    this.bytes = core.bytes;
  }

  /** Section 6.1, at the frame's header. False if the connection has failed. */
  dataHeader(c: Connection): boolean {
    const { streams } = this.core;
    if (c.stream === 0) return this.fail(c, H2_ERROR.PROTOCOL_ERROR);
    // The whole frame counts, whatever happens to its stream (sections 5.2.2 and 6.9).
    c.recvWindow -= c.length;
    if (c.recvWindow < 0) return this.fail(c, H2_ERROR.FLOW_CONTROL_ERROR);
    const slot = streams.find(c, c.stream);
    c.dataSlot = slot;
    if (slot === NONE) {
      if (this.idle(c, c.stream)) return this.fail(c, H2_ERROR.PROTOCOL_ERROR);
      if (!c.wasReset(c.stream) && c.stream <= c.goawayLast) this.closed(c, c.stream);
    } else if ((streams.state[slot] & STREAM.REMOTE_END) !== 0) {
      this.streamError(c, slot, H2_ERROR.STREAM_CLOSED);
    } else if ((streams.state[slot] & STREAM.HEAD_IN) === 0) {
      this.streamError(c, slot, H2_ERROR.PROTOCOL_ERROR);
    } else {
      streams.recvWindow[slot] -= c.length;
      if (streams.recvWindow[slot] < 0) this.streamError(c, slot, H2_ERROR.FLOW_CONTROL_ERROR);
      else if (c.length > TINY_BYTES) c.useful++;
    }
    if ((c.flags & FLAG.END_STREAM) === 0 && c.length <= TINY_BYTES) {
      if (c.length === 0) this.abuse.emptyFrame(c);
      else this.abuse.tinyFrame(c);
    }
    return c.state !== CONNECTION_STATE.FAILED;
  }

  /** Splits a DATA frame into body and padding (with the length of the padding). */
  dataBegins(c: Connection, length: number, padding: number): void {
    const { streams } = this.core;
    const slot = c.dataSlot;
    if (length === 0 && padding > 0 && (c.flags & FLAG.END_STREAM) === 0) this.abuse.emptyFrame(c);
    this.sender.connectionCredit(c, padding);
    // Unwanted data is returned to the window as it arrives; a stream may also end while one of its frames is read.
    if (slot === NONE) return;
    if (padding > 0) this.streamCredit(c, slot, padding, true);
    // Section 8.1.1: content-length and body must agree.
    const expected = streams.expected[slot];
    if (expected >= 0) {
      const left = expected - length;
      streams.expected[slot] = left;
      if (left < 0 || (left > 0 && (c.flags & FLAG.END_STREAM) !== 0)) {
        this.streamError(c, slot, H2_ERROR.PROTOCOL_ERROR);
      }
    } else if (length > 0 && (streams.state[slot] & STREAM.BODILESS) !== 0) {
      this.streamError(c, slot, H2_ERROR.PROTOCOL_ERROR);
    }
  }

  /** A piece of a DATA frame's body. */
  data(c: Connection, at: number, length: number, last: boolean): void {
    const slot = c.dataSlot;
    if (slot === NONE) {
      this.sender.connectionCredit(c, length);
      return;
    }
    const { streams } = this.core;
    if (last) c.dataSlot = NONE;
    const end = last && (c.flags & FLAG.END_STREAM) !== 0;
    if (end) streams.state[slot] |= STREAM.REMOTE_END;
    if (length === 0 && !end) return;
    streams.active[slot] = this.core.clock[0];
    streams.held[slot] += length;
    c.held += length;
    // Other clients share the connection: its window is returned at once, however slow one of its streams is. A stream is limited by its
    // own window. While memory is short, held bytes stay owed; bytes that move on are returned anyway.
    if (c.held > c.limits.streamWindow && this.core.slab.share === 0) c.deferred += length;
    else this.sender.connectionCredit(c, length);
    if (c.overBuffered && !c.overBudget) {
      c.overBudget = true;
      this.abuse.limited(LIMIT.BUFFERED);
    }
    this.events.data(c, slot, at, length, end);
  }

  /** `octets` of the stream's data have moved on: the peer may send as many more. Bytes returned earlier are not returned again. */
  credit(slot: number, octets: number): void {
    const { streams } = this.core;
    const c = streams.connection[slot];
    if (c === null || (streams.state[slot] & STREAM.OPEN) === 0) return;
    const held = streams.held[slot];
    const count = Math.min(octets, held);
    if (count === 0) return;
    // More than the piece that just arrived: it has waited.
    const wasSlow = held > MAX_FRAME_BYTES && held > streams.recvTarget[slot] >> 1;
    streams.held[slot] -= count;
    c.held -= count;
    this.sender.returnCredit(c, count);
    this.streamCredit(c, slot, wasSlow ? count - this.shrinkWindow(c, slot, count) : count, !wasSlow);
  }

  /** Checks a frame's header before its payload has arrived. False if the connection has failed. */
  header(c: Connection): boolean {
    const { length, stream } = c;
    switch (c.type) {
      case FRAME.HEADERS:
        if (stream === 0) return this.fail(c, H2_ERROR.PROTOCOL_ERROR);
        return true;
      case FRAME.CONTINUATION:
        if (stream === 0 || stream !== c.blockStream) return this.fail(c, H2_ERROR.PROTOCOL_ERROR);
        return true;
      case FRAME.PRIORITY:
        if (stream === 0) return this.fail(c, H2_ERROR.PROTOCOL_ERROR);
        if (length !== PRIORITY_BYTES) {
          const slot = this.core.streams.find(c, stream);
          if (slot === NONE) return this.fail(c, H2_ERROR.FRAME_SIZE_ERROR);
          this.streamError(c, slot, H2_ERROR.FRAME_SIZE_ERROR);
        }
        return this.control(c);
      case FRAME.RST_STREAM:
        if (stream === 0) return this.fail(c, H2_ERROR.PROTOCOL_ERROR);
        return length === 4 || this.fail(c, H2_ERROR.FRAME_SIZE_ERROR);
      case FRAME.SETTINGS:
        if (stream !== 0) return this.fail(c, H2_ERROR.PROTOCOL_ERROR);
        if ((c.flags & FLAG.ACK) !== 0 ? length !== 0 : length % 6 !== 0)
          return this.fail(c, H2_ERROR.FRAME_SIZE_ERROR);
        return this.control(c);
      case FRAME.PUSH_PROMISE:
        // Clients never send it (section 8.4), and servers must not, because we disable it (section 6.5.2).
        return this.fail(c, H2_ERROR.PROTOCOL_ERROR);
      case FRAME.PING:
        if (stream !== 0) return this.fail(c, H2_ERROR.PROTOCOL_ERROR);
        if (length !== 8) return this.fail(c, H2_ERROR.FRAME_SIZE_ERROR);
        return this.control(c);
      case FRAME.GOAWAY:
        if (stream !== 0) return this.fail(c, H2_ERROR.PROTOCOL_ERROR);
        if (length < 8) return this.fail(c, H2_ERROR.FRAME_SIZE_ERROR);
        return this.control(c);
      default:
        return length === 4 || this.fail(c, H2_ERROR.FRAME_SIZE_ERROR);
    }
  }

  /** A frame whose complete payload is at `at`. */
  frame(c: Connection, at: number): void {
    switch (c.type) {
      case FRAME.HEADERS:
        this.headerBlocks.headers(c, at);
        break;
      case FRAME.CONTINUATION:
        this.headerBlocks.continuation(c, at);
        break;
      case FRAME.RST_STREAM:
        this.rstStream(c, at);
        break;
      case FRAME.SETTINGS:
        this.settings(c, at);
        break;
      case FRAME.PING:
        this.ping(c, at);
        break;
      case FRAME.GOAWAY:
        this.goaway(c, at);
        break;
      case FRAME.WINDOW_UPDATE:
        this.windowUpdate(c, at);
        break;
      default:
        this.priority(c, at);
    }
  }

  unknown(c: Connection): void {
    this.control(c);
  }

  /** Section 5.3: ignored. RFC 7540 section 5.3.1: a stream must not depend on itself. */
  private priority(c: Connection, at: number): void {
    if (c.length !== PRIORITY_BYTES || get31(this.bytes, at) !== c.stream) return;
    const slot = this.core.streams.find(c, c.stream);
    // A stream that does not exist can't be reset.
    if (slot === NONE) this.fail(c, H2_ERROR.PROTOCOL_ERROR);
    else this.streamError(c, slot, H2_ERROR.PROTOCOL_ERROR);
  }

  /** Section 6.4. */
  private rstStream(c: Connection, at: number): void {
    const { streams, values } = this.core;
    const slot = streams.find(c, c.stream);
    if (slot === NONE && this.idle(c, c.stream)) {
      this.fail(c, H2_ERROR.PROTOCOL_ERROR);
      return;
    }
    const code = get32(this.bytes, at);
    values[c.meter + H.RESET_RECEIVED + h2Error(code)]++;
    if (slot === NONE) {
      // It has ended, or we have reset it.
      this.control(c);
      return;
    }
    this.abuse.streamReset(c, slot, (streams.state[slot] & STREAM.HEAD_OUT) !== 0);
    if ((c.state as number) === CONNECTION_STATE.FAILED) return;
    this.sender.close(slot);
    this.events.reset(c, slot, code);
  }

  /** Section 6.5. */
  private settings(c: Connection, at: number): void {
    const { core, bytes } = this;
    if ((c.flags & FLAG.ACK) !== 0) {
      c.settingsAcked = true;
      return;
    }
    let window = NONE;
    core.values[c.meter + H.SETTINGS_RECEIVED]++;
    const end = at + c.length;
    for (let p = at; p < end; p += 6) {
      const id = (bytes[p] << 8) | bytes[p + 1];
      const value = get32(bytes, p + 2);
      const error = this.setting(c, id, value);
      if (error !== H2_ERROR.NO_ERROR) {
        this.fail(c, error);
        return;
      }
      // A frame may set it thousands of times, and each would mean a walk over all streams: only the last one counts.
      if (id === SETTING.INITIAL_WINDOW_SIZE) window = value;
    }
    if (window !== NONE) {
      this.abuse.settingsWalk(c);
      if (!this.initialWindow(c, window)) {
        this.fail(c, H2_ERROR.FLOW_CONTROL_ERROR);
        return;
      }
    }
    if (!this.abuse.queuedAnswer(c)) return;
    c.settingsSeen = true;
    this.sender.frames.settingsAck(c);
    this.events.settings(c);
    this.sender.pump(c);
  }

  /** Section 6.5.2: checks and applies one setting, except INITIAL_WINDOW_SIZE. Returns an H2_ERROR. */
  private setting(c: Connection, id: number, value: number): number {
    switch (id) {
      case SETTING.HEADER_TABLE_SIZE:
        c.encoder.setPeerLimit(value);
        break;
      case SETTING.ENABLE_PUSH:
        // Servers may only send 0.
        if (value > 1 || (value === 1 && c.role === ROLE.CLIENT)) return H2_ERROR.PROTOCOL_ERROR;
        break;
      case SETTING.MAX_CONCURRENT_STREAMS:
        c.peerStreams = Math.min(value, MAX_WINDOW);
        break;
      case SETTING.INITIAL_WINDOW_SIZE:
        if (value > MAX_WINDOW) return H2_ERROR.FLOW_CONTROL_ERROR;
        break;
      case SETTING.MAX_FRAME_SIZE:
        // We send no frame larger than every peer must accept, whatever is allowed.
        if (value < MAX_FRAME_BYTES || value > 0xffffff) return H2_ERROR.PROTOCOL_ERROR;
        break;
      case SETTING.MAX_HEADER_LIST_SIZE:
        c.peerHeaderBytes = Math.min(value, MAX_WINDOW);
        break;
      case SETTING.ENABLE_CONNECT_PROTOCOL:
        // RFC 8441 section 3: never back to 0.
        if (value > 1 || (value === 0 && c.peerConnect)) return H2_ERROR.PROTOCOL_ERROR;
        c.peerConnect = value === 1;
        break;
      default:
    }
    return H2_ERROR.NO_ERROR;
  }

  /** Section 6.9.2: the windows of all streams change with it. False if one would overflow. */
  private initialWindow(c: Connection, value: number): boolean {
    const { streams } = this.core;
    c.peerWindow = value;
    for (let slot = streams.first(c); slot !== NONE; slot = streams.after(c, slot)) {
      if (value - streams.sendUsed[slot] > MAX_WINDOW) return false;
      this.sender.windowOpened(slot, c);
    }
    return true;
  }

  /** Section 6.7. */
  private ping(c: Connection, at: number): void {
    if ((c.flags & FLAG.ACK) !== 0) {
      if (this.bytes[at] === PING.KEEPALIVE) c.pingPending = false;
      else if (this.bytes[at] === PING.SHUTDOWN) this.events.shutdownAcknowledged(c);
      return;
    }
    this.core.values[c.meter + H.PINGS_RECEIVED]++;
    if (this.abuse.queuedAnswer(c)) this.sender.frames.pong(c, at);
  }

  /** Section 6.8. */
  private goaway(c: Connection, at: number): void {
    const code = get32(this.bytes, at + 4);
    this.core.values[c.meter + H.GOAWAY_RECEIVED + h2Error(code)]++;
    this.events.goaway(c, get31(this.bytes, at), code);
  }

  /** Section 6.9. */
  private windowUpdate(c: Connection, at: number): void {
    const { streams } = this.core;
    const count = get31(this.bytes, at);
    // A peer that opens its windows a byte at a time makes us send a byte at a time (CVE-2019-9511), and one that opens them for nothing
    // makes us read. Legitimate updates return what was sent, for stream and connection, in pieces no smaller than it was.
    const cost = Math.max(count, WINDOW_FRAGMENT_BYTES);
    if (c.windowDue >= cost) c.windowDue -= cost;
    else this.abuse.tinyFrame(c);
    if (c.state === CONNECTION_STATE.FAILED) return;
    if (c.stream === 0) {
      if (count === 0) {
        this.fail(c, H2_ERROR.PROTOCOL_ERROR);
        return;
      }
      if (c.sendWindow > MAX_WINDOW - count) {
        this.fail(c, H2_ERROR.FLOW_CONTROL_ERROR);
        return;
      }
      c.sendWindow += count;
      this.sender.connectionWindowOpened(c);
      return;
    }
    const slot = streams.find(c, c.stream);
    if (slot === NONE) {
      if (this.idle(c, c.stream)) this.fail(c, H2_ERROR.PROTOCOL_ERROR);
      return;
    }
    if (count === 0) {
      this.streamError(c, slot, H2_ERROR.PROTOCOL_ERROR);
      return;
    }
    if (c.peerWindow - streams.sendUsed[slot] > MAX_WINDOW - count) {
      this.streamError(c, slot, H2_ERROR.FLOW_CONTROL_ERROR);
      return;
    }
    streams.sendUsed[slot] -= count;
    streams.active[slot] = this.core.clock[0];
    this.sender.windowOpened(slot, c);
    this.sender.pump(c);
  }

  /**
   * Returns bytes to a stream's window. A stream that has used half of it while none of its data waits is flowing, and gets twice the
   * window: a stalled one holds no more memory than initially.
   */
  private streamCredit(c: Connection, slot: number, count: number, mayWiden: boolean): void {
    const { streams } = this.core;
    const credit = streams.recvCredit[slot] + count;
    const target = streams.recvTarget[slot];
    if (credit < target >> 1 || (streams.state[slot] & STREAM.REMOTE_END) !== 0) {
      streams.recvCredit[slot] = credit;
      return;
    }
    let grant = credit;
    if (mayWiden && streams.held[slot] === 0 && target < c.limits.maxStreamWindow) {
      const wider = Math.min(target * 2, c.limits.maxStreamWindow);
      // It may come to hold all of it.
      if (this.core.slab.share * this.core.slab.bufferBytes >= WINDOW_SHARES * wider) {
        streams.recvTarget[slot] = wider;
        grant += wider - target;
      }
    }
    streams.recvCredit[slot] = 0;
    streams.recvWindow[slot] += grant;
    this.sender.frames.windowUpdate(c, streams.id[slot], grant);
  }

  /**
   * A stream with more than half of a window waiting is slow: its window shrinks. Returns how much of `count` is not returned to the peer.
   */
  private shrinkWindow(c: Connection, slot: number, count: number): number {
    const { recvTarget } = this.core.streams;
    const target = recvTarget[slot];
    const less = Math.min(count, target - Math.max(target >> 1, c.limits.streamWindow));
    if (less <= 0) return 0;
    recvTarget[slot] = target - less;
    return less;
  }

  /** Counts frames that cost their sender nothing. False if there were too many. */
  private control(c: Connection): boolean {
    return this.abuse.controlFrame(c);
  }

  /** A frame for a stream that has ended: it may have been on its way, so only the stream is answered (section 5.1). */
  private closed(c: Connection, id: number): void {
    this.sender.frames.reset(c, id, H2_ERROR.STREAM_CLOSED);
    this.abuse.provokedReset(c);
  }

  /** Whether a stream has never been open. */
  private idle(c: Connection, id: number): boolean {
    const ours = (id & 1) === (c.role === ROLE.CLIENT ? 1 : 0);
    return ours ? id >= c.nextId : id > c.lastPeerId;
  }

  private streamError(c: Connection, slot: number, code: number): void {
    this.headerBlocks.streamError(c, slot, code);
  }

  private fail(c: Connection, code: number): boolean {
    this.sender.fail(c, code);
    return false;
  }
}
