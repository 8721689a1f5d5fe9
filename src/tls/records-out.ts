// Payload on its way out: small pieces of a turn leave in one record, bulk in records as large as a buffer takes, and what follows a pause begins
// with a record that fits in one packet, so that a reader has something to work on before all of a large record has come.
import { ERRNO } from '../io/abi.js';
import { TLS, TLS_PAGE } from '../io/native-tls.js';
import { BUFFER_CAPACITY, BUFFER_SIZE } from '../io/slab.js';
import { FLAG, SCRATCH_BYTES, type TlsSockets } from './sockets.js';

/** Header, tag and padding of a record in any version and cipher that OpenSSL may choose. */
const OVERHEAD = 128;
/** Payload of a full record: with the overhead it fills a buffer. */
const FULL_RECORD = BUFFER_SIZE - OVERHEAD;
/** Payload of the first record after a pause: less than a packet takes (an MSS of 1,428 over IPv6 with timestamps) ... */
const FIRST_RECORD = 1300;
/** ... and of those that follow, until so much has been sent. */
const NEXT_RECORD = 4096;
const GROWN_BYTES = 16 * 1024;
/** A slice as long as a buffer received makes a record of its own: filling it up would mean to copy it. */
const ALONE_BYTES = BUFFER_CAPACITY - 512;
/** Silence that is a pause, ms. */
const PAUSE_MS = 100;
/** Written in one go at most: the rest when the kernel has taken that. */
const GO_BYTES = 256 * 1024;

export class RecordsOut {
  /** Time of this turn, ms, in whole numbers. */
  ms = 0;
  /** Payload since the last pause, and when the last was sent. */
  private readonly burst: Int32Array;
  private readonly sentAt: Int32Array;
  /** Of the record that is put together: where its payload lies, and how much is left of it. */
  private from = 0;

  constructor(private readonly sockets: TlsSockets) {
    this.burst = new Int32Array(sockets.capacity);
    this.sentAt = new Int32Array(sockets.capacity);
  }

  reset(slot: number): void {
    this.burst[slot] = 0;
    this.sentAt[slot] = this.ms;
  }

  send(slot: number): void {
    const { channel, slab } = this.sockets;
    if (this.ms - this.sentAt[slot] > PAUSE_MS) this.burst[slot] = 0;
    this.sentAt[slot] = this.ms;
    for (let written = 0; written < GO_BYTES; ) {
      if (channel.payloadLength(slot) === 0) return;
      if (slab.free === 0) {
        this.sockets.starve(slot, FLAG.SEND);
        return;
      }
      const length = this.gather(slot);
      this.burst[slot] = Math.min(this.burst[slot] + length, GROWN_BYTES);
      if (!this.record(slot, length)) return;
      written += length;
    }
  }

  /** Writes close_notify; false if there is no memory for it. */
  shutdown(slot: number): boolean {
    const { sockets } = this;
    const bid = sockets.slab.take();
    if (bid < 0) return false;
    const at = sockets.slab.bufferStart(bid);
    sockets.engine.tlsShutdown(sockets.handle[slot] - 1, at, BUFFER_SIZE);
    this.write(slot, bid, at);
    return true;
  }

  /** Takes payload for one record, which is then at `from`; returns how much. A single slice stays where it is. */
  private gather(slot: number): number {
    const { channel, slab, scratchAt } = this.sockets;
    const most = Math.min(this.mostOf(slot), SCRATCH_BYTES);
    this.from = channel.payloadAt(slot);
    let length = Math.min(channel.payloadLength(slot), most);
    // What was taken stays in its buffer until it has been sent.
    channel.take(slot, length);
    if (length === most || length >= ALONE_BYTES || channel.payloadLength(slot) === 0) return length;
    slab.bytes.copyWithin(scratchAt, this.from, this.from + length);
    this.from = scratchAt;
    for (let next = channel.payloadLength(slot); next > 0 && length < most; next = channel.payloadLength(slot)) {
      const n = Math.min(next, most - length);
      const at = channel.payloadAt(slot);
      slab.bytes.copyWithin(scratchAt + length, at, at + n);
      channel.take(slot, n);
      length += n;
    }
    return length;
  }

  private mostOf(slot: number): number {
    const burst = this.burst[slot];
    if (burst < FIRST_RECORD) return FIRST_RECORD;
    return burst < GROWN_BYTES ? NEXT_RECORD : FULL_RECORD;
  }

  /** Encrypts `length` bytes at `from` and writes them; false where that failed. */
  private record(slot: number, length: number): boolean {
    const { sockets } = this;
    const { slab, engine } = sockets;
    for (let at = this.from, left = length; ; ) {
      const bid = slab.take();
      if (bid < 0) {
        // Part of it is written: no other can be.
        sockets.fail(slot, ERRNO.ENOBUFS);
        return false;
      }
      const wire = slab.bufferStart(bid);
      const status = engine.tlsSend(sockets.handle[slot] - 1, at, left, wire, BUFFER_SIZE);
      const consumed = sockets.page[TLS_PAGE.CONSUMED];
      at += consumed;
      left -= consumed;
      const progress = consumed + sockets.page[TLS_PAGE.WIRE] > 0;
      this.write(slot, bid, wire);
      if ((status & TLS.FAILED) !== 0 || !progress) {
        sockets.reports?.broken(slot, sockets.isServer(slot), false);
        sockets.fail(slot, ERRNO.EPROTO);
        return false;
      }
      if (left === 0 && (status & TLS.MORE_WIRE) === 0) return true;
    }
  }

  private write(slot: number, bid: number, at: number): void {
    const { channel, slab, page } = this.sockets;
    const length = page[TLS_PAGE.WIRE];
    if (length > 0) channel.write(slot, at, length, bid);
    else slab.release(bid);
  }
}
