// The steps of a handshake: OpenSSL gets the received bytes, and its output is sent. Nothing is allocated for a stranger before the first
// record is complete.
import { column } from '../http/columns.js';
import { ERRNO } from '../io/abi.js';
import { TLS, TLS_PAGE, type TlsPeer } from '../io/native-tls.js';
import { BUFFER_CAPACITY } from '../io/slab.js';
import { causeOf, FAILURE } from './failures.js';
import { Handshakes } from './handshakes.js';
import { FLAG, PHASE, type TlsSockets, WIRE_BYTES } from './sockets.js';

/** Types of records allowed in a handshake: alert and handshake. */
const ALERT_RECORD = 21;
const HANDSHAKE_RECORD = 22;
const RECORD_HEADER = 5;
/** Maximum content of an unencrypted record (RFC 8446 section 5.1). */
const MAX_RECORD = 16_384;
/** Buffers required for a step: for its output, and for data that follows the end of a handshake. */
const STEP_BUFFERS = 3;

/** Implemented by the proxy, for connections to be secured. */
export interface Handshaker {
  /** Opens the engine's connection: returns a handle, or a negative number on failure. */
  connect(slot: number): number;
  /** The handshake is complete; payload may pass from the next call on. `took`: ms. */
  finished(slot: number, peer: TlsPeer, took: number): void;
  /** Reads what followed it. */
  read(slot: number): void;
}

export class Handshaking {
  readonly handshakes: Handshakes;
  /** FAILURE of the last handshake. */
  readonly cause: Int8Array;

  constructor(
    private readonly sockets: TlsSockets,
    private readonly handshaker: Handshaker,
    clock: () => number,
  ) {
    this.cause = column(Int8Array, sockets.capacity);
    this.handshakes = new Handshakes(sockets.capacity, this, clock);
  }

  /** The connection is established. `heard`: something has already been received. */
  begin(slot: number, server: boolean, heard: boolean): void {
    const { phase, channel } = this.sockets;
    this.cause[slot] = FAILURE.NONE;
    this.handshakes.begin(slot, !server);
    if (server && !heard) {
      phase[slot] = PHASE.QUIET;
      channel.watchInput(slot);
      return;
    }
    phase[slot] = PHASE.LINE;
    this.handshakes.enqueue(slot);
  }

  /** Whether nothing should be received now. */
  full(slot: number): boolean {
    return this.sockets.phase[slot] !== PHASE.HANDSHAKE || this.handshakes.queued(slot);
  }

  /** The first bytes are available in the kernel. */
  readable(slot: number): void {
    if (this.sockets.phase[slot] !== PHASE.QUIET) return;
    this.sockets.phase[slot] = PHASE.LINE;
    this.handshakes.enqueue(slot);
  }

  received(slot: number, bid: number, at: number, length: number): void {
    const { sockets } = this;
    this.checkProgress(slot, sockets.slab.bytes[at]);
    sockets.inbox.push(slot, bid, at, at + length);
    this.advance(slot);
  }

  /** Records what the first byte looks like. */
  checkProgress(slot: number, byte: number): void {
    const { sockets } = this;
    if (sockets.has(slot, FLAG.HEARD)) return;
    sockets.flags[slot] |= byte === HANDSHAKE_RECORD || byte === ALERT_RECORD ? FLAG.HEARD | FLAG.TLS : FLAG.HEARD;
  }

  /** The peer has ended its direction, or the connection broke: received bytes are processed first. */
  ended(slot: number, errno: number): void {
    const { sockets } = this;
    sockets.errno[slot] = errno;
    if (!this.handshakes.queued(slot)) this.peerClosed(slot);
  }

  admitted(slot: number): void {
    const { sockets } = this;
    sockets.phase[slot] = PHASE.HANDSHAKE;
    if (!sockets.isServer(slot)) this.handshakes.queue(slot);
    else if (sockets.inbox.empty(slot)) sockets.channel.receive(slot);
    else this.advance(slot);
  }

  timedOut(slot: number): void {
    this.give(slot, FAILURE.TIMEOUT, ERRNO.ETIMEDOUT);
  }

  displaced(slot: number): void {
    this.give(slot, FAILURE.DISPLACED, ERRNO.ETIMEDOUT);
  }

  step(slot: number): void {
    const { sockets } = this;
    if (sockets.phase[slot] !== PHASE.HANDSHAKE) return;
    if (sockets.slab.free < STEP_BUFFERS) {
      sockets.starve(slot, FLAG.READ);
      return;
    }
    if (sockets.handle[slot] === 0) {
      const handle = this.handshaker.connect(slot);
      if (handle < 0) {
        this.give(slot, FAILURE.INTERNAL, ERRNO.ENOMEM);
        return;
      }
      sockets.handle[slot] = handle + 1;
    }
    this.call(slot);
  }

  /** Takes a step, if OpenSSL can use the available bytes. */
  private advance(slot: number): void {
    const { sockets } = this;
    if (sockets.handle[slot] !== 0 || !sockets.isServer(slot) || this.whole(slot)) this.handshakes.queue(slot);
    else {
      sockets.inbox.rest(slot);
      sockets.channel.receive(slot);
    }
  }

  /** Whether OpenSSL can use the first bytes: a complete record, or something that is no record. */
  private whole(slot: number): boolean {
    const { inbox, slab } = this.sockets;
    if (!this.sockets.has(slot, FLAG.TLS)) return true;
    const bid = inbox.first(slot);
    // A little data at rest.
    if (bid < 0) return false;
    const at = inbox.startOf(bid);
    if (inbox.endOf(bid) - at < RECORD_HEADER) return inbox.bytes[slot] >= RECORD_HEADER;
    const length = (slab.bytes[at + 3] << 8) | slab.bytes[at + 4];
    return length > MAX_RECORD || inbox.bytes[slot] >= RECORD_HEADER + length;
  }

  private call(slot: number): void {
    const { sockets } = this;
    const { slab, inbox, engine } = sockets;
    if (!inbox.wake(slot)) {
      sockets.starve(slot, FLAG.READ);
      return;
    }
    const bid = inbox.shift(slot);
    const at = bid < 0 ? 0 : inbox.startOf(bid);
    const length = bid < 0 ? 0 : inbox.endOf(bid) - at;
    const handle = sockets.handle[slot] - 1;
    const status = engine.tlsReceive(
      handle,
      at,
      length,
      sockets.scratchAt,
      BUFFER_CAPACITY,
      sockets.wireAt,
      WIRE_BYTES,
    );
    const { page } = sockets;
    const consumed = page[TLS_PAGE.CONSUMED];
    sockets.writeWire(slot);
    if (bid >= 0) {
      if (consumed < length && (status & TLS.FAILED) === 0) inbox.unshift(slot, bid, at + consumed, at + length);
      else slab.release(bid);
    }
    if ((status & TLS.FAILED) !== 0) this.give(slot, causeOf(page, this.sentTls(slot)), ERRNO.EPROTO);
    else if ((status & TLS.HANDSHAKE_DONE) !== 0) this.finish(slot, status, page[TLS_PAGE.PLAIN]);
    else if ((status & TLS.MORE_WIRE) !== 0 || (consumed > 0 && !inbox.empty(slot))) this.handshakes.queue(slot);
    else if (sockets.has(slot, FLAG.FIN | FLAG.BROKEN)) this.peerClosed(slot);
    else sockets.channel.receive(slot);
  }

  private sentTls(slot: number): boolean {
    return this.sockets.has(slot, FLAG.TLS) || !this.sockets.has(slot, FLAG.HEARD);
  }

  private finish(slot: number, status: number, plain: number): void {
    const { sockets } = this;
    const { slab, channel, engine, phase } = sockets;
    const bid = plain > 0 ? slab.take() : -1;
    const start = plain > 0 ? slab.dataStart(bid) : 0;
    if (plain > 0) slab.bytes.copyWithin(start, sockets.scratchAt, sockets.scratchAt + plain);
    if ((status & (TLS.MORE_PLAIN | TLS.MORE_WIRE)) !== 0) sockets.flags[slot] |= FLAG.MORE;
    phase[slot] = PHASE.OPEN;
    const took = this.handshakes.done(slot);
    this.handshaker.finished(slot, engine.tlsPeer(sockets.handle[slot] - 1), took);
    channel.established(slot);
    if (phase[slot] !== PHASE.OPEN) {
      if (bid >= 0) slab.release(bid);
      return;
    }
    if (bid >= 0) channel.deliver(slot, bid, start, plain);
    if (phase[slot] !== PHASE.OPEN) return;
    if ((status & TLS.END) !== 0) {
      sockets.flags[slot] |= FLAG.ENDED;
      sockets.inbox.clear(slot);
      channel.end(slot);
    } else this.handshaker.read(slot);
  }

  /** The peer is gone. If it never sent anything, it was a port check. */
  private peerClosed(slot: number): void {
    const { sockets } = this;
    const silent = sockets.isServer(slot) && !sockets.has(slot, FLAG.HEARD) && sockets.has(slot, FLAG.FIN);
    const errno = sockets.has(slot, FLAG.BROKEN) ? sockets.errno[slot] : ERRNO.ECONNRESET;
    if (silent) this.give(slot, FAILURE.NONE, 0);
    else this.give(slot, this.sentTls(slot) ? FAILURE.PEER_CLOSED : FAILURE.PLAIN, errno);
  }

  private give(slot: number, cause: number, errno: number): void {
    const { sockets } = this;
    this.cause[slot] = cause;
    this.handshakes.done(slot);
    if (cause !== FAILURE.NONE) sockets.reports?.failed(slot, sockets.isServer(slot), cause);
    sockets.fail(slot, errno);
  }
}
