// Decides what is sent, and when: streams within the peer's windows, and how a connection is left. Data beyond the windows waits per stream
// and goes out in turns of one frame each.

import type { FieldList } from '../hpack/field-list.js';
import { CONNECTION_STATE, type Connection, READ_STATE } from './connection.js';
import { H } from './counters.js';
import { DEFAULT_WINDOW, H2_ERROR, MAX_FRAME_BYTES, MAX_STREAM_ID } from './frame.js';
import { FrameWriter, PING } from './frame-writer.js';
import type { Core, Http2Events } from './shared-state.js';
import { STREAM } from './streams.js';

const NONE = -1;
/** A piece of at most this size, cut off by a window, is not what its peer was waiting for; a piece that short by itself is. */
export const WINDOW_FRAGMENT_BYTES = 64;
/** Maximum window debt of a peer to remember: twice what any has in flight. */
const MAX_WINDOW_DUE = 32 * 1024 * 1024;

export class Sender {
  /** Writes the frames. Frames that need neither window nor state are sent with this directly. */
  readonly frames: FrameWriter;

  constructor(
    private readonly core: Core,
    private readonly events: Http2Events,
  ) {
    this.frames = new FrameWriter(core);
  }

  /** Sends connection preface, settings and window: our first bytes (RFC 9113 section 3.4). */
  open(connection: Connection): void {
    const { connectionWindow } = connection.limits;
    this.frames.settings(connection);
    if (connectionWindow > DEFAULT_WINDOW) {
      this.frames.windowUpdate(connection, 0, connectionWindow - DEFAULT_WINDOW);
      connection.recvWindow = connectionWindow;
    }
  }

  /** Opens a stream of ours on a connection. */
  openStream(slot: number, connection: Connection): void {
    const { streams, values } = this.core;
    const id = connection.nextId;
    connection.nextId = id + 2;
    streams.open(slot, connection, id);
    values[connection.meter + H.STREAMS_TOTAL]++;
    values[connection.meter + H.STREAMS]++;
  }

  /** Whether the peer accepts a head, or trailers, of this size. */
  fits(slot: number, list: FieldList): boolean {
    const connection = this.core.streams.connection[slot];
    return connection === null || list.size <= connection.peerHeaderBytes;
  }

  /** Sends a head, or trailers. False if that ended the connection. */
  headers(slot: number, list: FieldList, end: boolean): boolean {
    const { streams } = this.core;
    const connection = streams.connection[slot];
    if (connection === null || (streams.state[slot] & STREAM.OPEN) === 0) return false;
    if (!this.frames.headers(connection, streams.id[slot], list, end)) return false;
    if (connection.server) {
      connection.useful++;
      if ((streams.state[slot] & STREAM.HEAD_OUT) === 0) connection.answered++;
    }
    streams.state[slot] |= end ? STREAM.HEAD_OUT | STREAM.LOCAL_END : STREAM.HEAD_OUT;
    return true;
  }

  /**
   * Sends [at, at + length) of a buffer that the caller holds, and the end of the stream if `end`. Returns how much is on its way; the rest
   * waits (`dataSent` and `flushed` report its progress). -1: there is no memory for it to wait in. The 9 bytes before `at` are
   * overwritten.
   */
  data(slot: number, at: number, length: number, end: boolean): number {
    const { streams, pending } = this.core;
    const connection = streams.connection[slot];
    if (connection === null || (streams.state[slot] & STREAM.OPEN) === 0) return length;
    let sent = 0;
    if (pending.empty(slot)) {
      let window = connection.peerWindow - streams.sendUsed[slot];
      if (connection.sendWindow < window) window = connection.sendWindow;
      if (length === 0 || (!connection.congested && window > 0)) {
        sent = length <= window || length === 0 ? length : window;
        const last = end && sent === length;
        if (sent > 0 || last) this.frame(connection, slot, at, sent, last, true);
        if (sent > 0) this.counted(connection, sent, sent < length);
        if (sent === length) return sent;
      }
    }
    if (length > sent && !pending.append(slot, at + sent, length - sent)) return NONE;
    if (end) streams.state[slot] |= STREAM.END_PENDING;
    this.wait(slot, connection);
    return sent;
  }

  /** Sends a short text of ours that is in no buffer, and the end of the stream. Returns as `data`. */
  text(slot: number, at: number, length: number): number {
    return this.data(slot, at, length, true);
  }

  /** Queues data that is already in the stream's chain, for example of a request that is sent again. */
  sendQueued(slot: number, end: boolean): void {
    const { streams } = this.core;
    const connection = streams.connection[slot];
    if (connection === null) return;
    if (end) streams.state[slot] |= STREAM.END_PENDING;
    this.wait(slot, connection);
    this.pump(connection);
  }

  /** Sends trailers after the waiting data. False as for `headers`. */
  trailers(slot: number, list: FieldList): boolean {
    const { streams, pending, heldTrailers } = this.core;
    if (pending.empty(slot)) return this.headers(slot, list, true);
    if (!heldTrailers.save(slot, list)) return false;
    streams.state[slot] |= STREAM.TRAILERS_PENDING;
    return true;
  }

  /** Sends the trailers that had to wait. */
  sendHeldTrailers(slot: number): void {
    const { streams, heldTrailers, spare } = this.core;
    heldTrailers.restore(slot, spare);
    this.headers(slot, spare, true);
    streams.state[slot] &= ~STREAM.TRAILERS_PENDING;
    heldTrailers.drop(slot);
  }

  /** Sends RST_STREAM for a stream on a connection, and detaches it. */
  reset(slot: number, code: number): void {
    const { streams } = this.core;
    const connection = streams.connection[slot];
    if (connection === null || (streams.state[slot] & STREAM.OPEN) === 0) return;
    this.frames.reset(connection, streams.id[slot], code);
    this.close(slot);
  }

  /** Detaches a stream from its connection, with its waiting data. */
  close(slot: number): void {
    const { streams, pending, heldTrailers, values } = this.core;
    const connection = streams.connection[slot];
    if (connection === null || (streams.state[slot] & STREAM.OPEN) === 0) return;
    this.unstall(slot, connection);
    streams.close(slot);
    pending.clear(slot);
    heldTrailers.drop(slot);
    const held = streams.held[slot];
    connection.held -= held;
    streams.held[slot] = 0;
    this.returnCredit(connection, held);
    if (connection.blockedHead === NONE) this.unstallConnection(connection);
    values[connection.meter + H.STREAMS]--;
  }

  /** Returns bytes to the connection window; announced once half a window is due. */
  connectionCredit(c: Connection, count: number): void {
    c.recvCredit += count;
    if (c.recvCredit < c.limits.connectionWindow >> 1) return;
    c.recvWindow += c.recvCredit;
    this.frames.windowUpdate(c, 0, c.recvCredit);
    c.recvCredit = 0;
  }

  /** `count` held bytes have moved on: returns as many of those owed to the peer, or all once there is memory. */
  returnCredit(c: Connection, count: number): void {
    if (c.overBudget && c.held <= c.limits.maxBufferedBytes >> 1) c.overBudget = false;
    if (c.deferred === 0) return;
    const all = this.core.slab.share > 0 || count >= c.deferred;
    const back = all ? c.deferred : count;
    c.deferred -= back;
    this.connectionCredit(c, back);
  }

  /** Checks whether the peer is alive. */
  ping(connection: Connection): void {
    if (connection.pingPending) return;
    connection.pingPending = true;
    this.frames.ping(connection, PING.KEEPALIVE);
  }

  /** The first of a server's two steps of leaving: new streams are still accepted (RFC 9113 section 6.8). */
  beginShutdown(connection: Connection): void {
    if (connection.state !== CONNECTION_STATE.OPEN) return;
    connection.state = CONNECTION_STATE.SHUTTING_DOWN;
    this.frames.goaway(connection, MAX_STREAM_ID, H2_ERROR.NO_ERROR);
    this.frames.ping(connection, PING.SHUTDOWN);
  }

  /** No new streams from now on; open ones continue. */
  goaway(connection: Connection): void {
    if (connection.state >= CONNECTION_STATE.DRAINING) return;
    connection.state = CONNECTION_STATE.DRAINING;
    connection.goawayLast = connection.lastPeerId;
    this.frames.goaway(connection, connection.lastPeerId, H2_ERROR.NO_ERROR);
  }

  /** Ends the connection because of an error of the peer: sends GOAWAY and reads nothing more. */
  fail(connection: Connection, code: number): void {
    if (connection.state === CONNECTION_STATE.FAILED) return;
    // Section 6.8: never higher than announced before.
    this.frames.goaway(connection, Math.min(connection.lastPeerId, connection.goawayLast), code);
    connection.state = CONNECTION_STATE.FAILED;
    connection.readState = READ_STATE.FAILED;
    this.events.connectionFailed(connection, code);
  }

  /** Sends waiting data as far as possible. */
  pump(connection: Connection): void {
    const { streams, pending } = this.core;
    while (connection.blockedHead !== NONE && connection.state !== CONNECTION_STATE.FAILED) {
      if (connection.congested) return;
      const slot = connection.blockedHead;
      if (connection.sendWindow <= 0) {
        this.stallConnection(connection);
        return;
      }
      let count = pending.firstLength(slot);
      const window = Math.min(connection.peerWindow - streams.sendUsed[slot], connection.sendWindow, MAX_FRAME_BYTES);
      if (window <= 0) {
        streams.unblock(slot, connection);
        this.stall(slot, connection);
        continue;
      }
      const cut = count > window;
      if (cut) count = window;
      const end = count === pending.bytes[slot] && (streams.state[slot] & STREAM.END_PENDING) !== 0;
      this.frame(connection, slot, pending.firstAt(slot), count, end, false);
      this.counted(connection, count, cut);
      pending.consume(slot, count);
      // Before the rest, because `flushed` may end the stream; so may this.
      this.events.dataSent(slot, count);
      if ((streams.state[slot] & STREAM.BLOCKED) === 0) continue;
      if (pending.empty(slot)) this.flushed(slot, connection, end);
      else streams.rotate(connection);
    }
  }

  /** The stream's window has changed: open, or not. */
  windowOpened(slot: number, connection: Connection): void {
    const { streams, pending } = this.core;
    if (pending.empty(slot) || connection.peerWindow - streams.sendUsed[slot] <= 0) return;
    this.unstall(slot, connection);
    streams.block(slot, connection, this.core.clock[0]);
  }

  /** The connection's window is open again. */
  connectionWindowOpened(connection: Connection): void {
    if (connection.sendWindow > 0) connection.emptySince = 0;
    this.unstallConnection(connection);
    this.pump(connection);
  }

  /** A DATA frame, charged to the windows. `free` as in `FrameWriter.data`. */
  private frame(c: Connection, slot: number, at: number, length: number, end: boolean, free: boolean): void {
    const { streams } = this.core;
    if (!this.frames.data(c, streams.id[slot], at, length, end, free)) return;
    streams.sendUsed[slot] += length;
    c.sendWindow -= length;
    if (c.sendWindow <= 0 && c.emptySince === 0) c.emptySince = this.core.clock[0];
    if (end) streams.state[slot] |= STREAM.LOCAL_END;
  }

  /** DATA of `length` bytes was sent, which the peer wanted and will return to its windows. `cut`: by a window. */
  private counted(c: Connection, length: number, cut: boolean): void {
    if (cut && length <= WINDOW_FRAGMENT_BYTES) return;
    c.useful++;
    c.windowDue = Math.min(c.windowDue + 2 * Math.max(length, WINDOW_FRAGMENT_BYTES), MAX_WINDOW_DUE);
  }

  /** All waiting data has been sent. */
  private flushed(slot: number, connection: Connection, ended: boolean): void {
    const { streams } = this.core;
    streams.unblock(slot, connection);
    if ((streams.state[slot] & STREAM.TRAILERS_PENDING) !== 0) this.sendHeldTrailers(slot);
    else if (!ended) return;
    streams.state[slot] &= ~STREAM.END_PENDING;
    this.events.flushed(slot);
  }

  private wait(slot: number, connection: Connection): void {
    const { streams, pending, clock } = this.core;
    if (pending.empty(slot)) return;
    if (connection.peerWindow - streams.sendUsed[slot] <= 0) {
      this.stall(slot, connection);
      return;
    }
    streams.block(slot, connection, clock[0]);
    if (connection.sendWindow <= 0) this.stallConnection(connection);
  }

  /** Its own window is used up: it waits outside the ring. */
  private stall(slot: number, connection: Connection): void {
    const { streams, values, clock } = this.core;
    if ((streams.state[slot] & STREAM.STALLED) !== 0) return;
    streams.state[slot] |= STREAM.STALLED;
    streams.blockedSince[slot] = clock[0];
    values[connection.meter + H.STREAM_STALLS]++;
  }

  private unstall(slot: number, connection: Connection): void {
    const { streams, values, clock } = this.core;
    if ((streams.state[slot] & STREAM.STALLED) === 0) return;
    streams.state[slot] &= ~STREAM.STALLED;
    values[connection.meter + H.STREAM_STALL_US] += (clock[0] - streams.blockedSince[slot]) * 1000;
  }

  /** Data waits, and the connection window is used up. */
  private stallConnection(connection: Connection): void {
    if (connection.stalledSince !== 0) return;
    connection.stalledSince = this.core.clock[0];
    this.core.values[connection.meter + H.CONNECTION_STALLS]++;
    if (!connection.server) this.core.stalled.push(connection);
  }

  /** The connection window is open, or nothing waits for it any more. */
  private unstallConnection(connection: Connection): void {
    const { values, clock } = this.core;
    if (connection.stalledSince === 0) return;
    values[connection.meter + H.CONNECTION_STALL_US] += (clock[0] - connection.stalledSince) * 1000;
    connection.stalledSince = 0;
  }
}
