// Outgoing payload. Small pieces of a turn share one record, and bulk goes out in records as large as a buffer. After a pause the first
// record fits in one packet, so that a reader can start before a large record is complete.
import { column } from '../http/columns.js';
import { ERRNO } from '../io/abi.js';
import { TLS, TLS_PAGE } from '../io/native-tls.js';
import { BUFFER_CAPACITY, BUFFER_SIZE } from '../io/slab.js';
import { FLAG, SCRATCH_BYTES, type TlsSockets } from './sockets.js';

/** Header, tag and padding of a record in any version and cipher that OpenSSL may choose. */
const OVERHEAD = 128;
/** Payload of a full record: with the overhead it fills a buffer. */
const FULL_RECORD = BUFFER_SIZE - OVERHEAD;
/** Payload of the first record after a pause: it fits in a packet (an MSS of 1,428 over IPv6 with timestamps) ... */
const FIRST_RECORD = 1300;
/** ... and of the next ones, until this much has been sent. */
const NEXT_RECORD = 4096;
const FULL_RECORD_AFTER_BYTES = 16 * 1024;
/** A slice the size of a received buffer becomes a record of its own: filling it up would need a copy. */
const MIN_SINGLE_SLICE_BYTES = BUFFER_CAPACITY - 512;
/** Silence that counts as a pause, ms. */
const PAUSE_MS = 100;
/** Maximum to write at once; the rest follows once the kernel has taken it. */
const MAX_WRITE_BYTES = 256 * 1024;

export class RecordsOut {
  /** Time of this turn, whole ms. */
  ms = 0;
  /** Payload since the last pause, and the time of the last send. */
  private readonly burst: Int32Array;
  private readonly sentAt: Int32Array;
  /** The record being assembled: position and remaining length of its payload. */
  private from = 0;

  constructor(private readonly sockets: TlsSockets) {
    this.burst = column(Int32Array, sockets.capacity);
    this.sentAt = column(Int32Array, sockets.capacity);
  }

  reset(slot: number): void {
    this.burst[slot] = 0;
    this.sentAt[slot] = this.ms;
  }

  send(slot: number): void {
    const { channel, slab } = this.sockets;
    if (this.ms - this.sentAt[slot] > PAUSE_MS) this.burst[slot] = 0;
    this.sentAt[slot] = this.ms;
    for (let written = 0; written < MAX_WRITE_BYTES; ) {
      if (channel.payloadLength(slot) === 0) return;
      if (slab.free === 0) {
        this.sockets.starve(slot, FLAG.SEND);
        return;
      }
      const length = this.gather(slot);
      this.burst[slot] = Math.min(this.burst[slot] + length, FULL_RECORD_AFTER_BYTES);
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

  /** Takes payload for one record, which is then at `from`; returns its length. A single slice stays where it is. */
  private gather(slot: number): number {
    const { channel, slab, scratchAt } = this.sockets;
    const most = Math.min(this.maxRecordOf(slot), SCRATCH_BYTES);
    this.from = channel.payloadAt(slot);
    let length = Math.min(channel.payloadLength(slot), most);
    // Payload stays in its buffer until it has been sent.
    channel.take(slot, length);
    if (length === most || length >= MIN_SINGLE_SLICE_BYTES || channel.payloadLength(slot) === 0) return length;
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

  private maxRecordOf(slot: number): number {
    const burst = this.burst[slot];
    if (burst < FIRST_RECORD) return FIRST_RECORD;
    return burst < FULL_RECORD_AFTER_BYTES ? NEXT_RECORD : FULL_RECORD;
  }

  /** Encrypts `length` bytes at `from` and writes them; false on failure. */
  private record(slot: number, length: number): boolean {
    const { sockets } = this;
    const { slab, engine } = sockets;
    for (let at = this.from, left = length; ; ) {
      const bid = slab.take();
      if (bid < 0) {
        // Part of it is written, so no other record can follow.
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
