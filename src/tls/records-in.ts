// Established connections: input is decrypted as far as the protocols want it, and otherwise kept as received.
import { column } from '../http/columns.js';
import { ERRNO } from '../io/abi.js';
import { TLS, TLS_PAGE } from '../io/native-tls.js';
import { FLAG, PHASE, type TlsSockets, WIRE_BYTES } from './sockets.js';

/** With more than this waiting, nothing is received. */
const BACKLOG_BYTES = 16 * 1024;
/** Maximum input without payload in a row: an incomplete record, tickets, key updates. */
const MAX_EMPTY_BYTES = 64 * 1024;
/** Maximum unsent output for a peer that makes us answer and does not read. */
const MAX_UNSENT_BYTES = 512 * 1024;

export class RecordsIn {
  /** Bytes received since the last payload. */
  private readonly emptyBytes: Int32Array;

  constructor(private readonly sockets: TlsSockets) {
    this.emptyBytes = column(Int32Array, sockets.capacity);
  }

  reset(slot: number): void {
    this.emptyBytes[slot] = 0;
  }

  full(slot: number): boolean {
    return this.sockets.inbox.bytes[slot] > BACKLOG_BYTES || this.sockets.has(slot, FLAG.READ);
  }

  /** Decrypts available input while it is wanted, followed by the end of the stream. */
  read(slot: number): void {
    const { channel, inbox, phase } = this.sockets;
    while (phase[slot] === PHASE.OPEN && channel.wantsData(slot)) {
      if (this.sockets.has(slot, FLAG.MORE) || !inbox.empty(slot)) {
        if (!this.decryptOnce(slot)) return;
        continue;
      }
      this.finish(slot);
      return;
    }
  }

  /** All input is decrypted: is this the end? */
  private finish(slot: number): void {
    const { sockets } = this;
    if (sockets.has(slot, FLAG.ENDED) || !sockets.has(slot, FLAG.FIN | FLAG.BROKEN)) return;
    const cut = sockets.has(slot, FLAG.FIN);
    if (cut) sockets.reports?.broken(slot, sockets.isServer(slot), true);
    sockets.fail(slot, cut ? ERRNO.EPROTO : sockets.errno[slot]);
  }

  /** One call of the engine. False if there is no memory for it, or nothing left to do. */
  private decryptOnce(slot: number): boolean {
    const { sockets } = this;
    const { slab, inbox, engine, channel, flags } = sockets;
    const to = sockets.buffer();
    if (to < 0) {
      sockets.starve(slot, FLAG.READ);
      return false;
    }
    const bid = inbox.shift(slot);
    const at = bid < 0 ? 0 : inbox.startOf(bid);
    const length = bid < 0 ? 0 : inbox.endOf(bid) - at;
    const start = slab.dataStart(to);
    // Output that can't be written now is asked for again.
    const room = slab.free > 0 ? WIRE_BYTES : 0;
    const handle = sockets.handle[slot] - 1;
    const status = engine.tlsReceive(handle, at, length, start, slab.dataEnd(to) - start, sockets.wireAt, room);
    const { page } = sockets;
    const consumed = page[TLS_PAGE.CONSUMED];
    const plain = page[TLS_PAGE.PLAIN];
    const wire = page[TLS_PAGE.WIRE];
    const more = (status & (TLS.MORE_PLAIN | TLS.MORE_WIRE)) !== 0 && consumed + plain + wire > 0;
    if (more) flags[slot] |= FLAG.MORE;
    else flags[slot] &= ~FLAG.MORE;
    if (wire > 0) sockets.writeWire(slot);
    if (bid >= 0) {
      if (consumed < length && (status & (TLS.END | TLS.FAILED)) === 0 && (consumed > 0 || more))
        inbox.unshift(slot, bid, at + consumed, at + length);
      else slab.release(bid);
    }
    this.emptyBytes[slot] = plain > 0 ? 0 : this.emptyBytes[slot] + consumed;
    if (plain > 0) channel.deliver(slot, to, start, plain);
    else slab.release(to);
    return sockets.phase[slot] === PHASE.OPEN && this.checkStatus(slot, status, wire);
  }

  private checkStatus(slot: number, status: number, wire: number): boolean {
    const { sockets } = this;
    if ((status & TLS.FAILED) !== 0) {
      sockets.reports?.broken(slot, sockets.isServer(slot), false);
      sockets.fail(slot, ERRNO.EPROTO);
      return false;
    }
    if ((status & TLS.END) !== 0) {
      // Anything after it is ignored (RFC 8446 section 6.1).
      sockets.flags[slot] = (sockets.flags[slot] & ~FLAG.MORE) | FLAG.ENDED;
      sockets.inbox.clear(slot);
      sockets.channel.end(slot);
      return false;
    }
    const flood = wire > 0 && sockets.channel.unsent(slot) > MAX_UNSENT_BYTES;
    if (flood || this.emptyBytes[slot] > MAX_EMPTY_BYTES) {
      sockets.reports?.broken(slot, sockets.isServer(slot), false);
      sockets.fail(slot, ERRNO.EPROTO);
      return false;
    }
    return true;
  }
}
