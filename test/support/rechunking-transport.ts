// A transport that changes no byte and breaks whatever relies on how bytes come: it is ready some turns late, cuts both directions
// into pieces of other sizes, one turn after the other, and holds the end of a stream back. Plain peers can talk through it.
import { Inbox } from '../../src/io/inbox.js';
import { BUFFER_CAPACITY, type Slab } from '../../src/io/slab.js';
import type { Channel, Transport } from '../../src/io/transport.js';

/** Large ones too, or megabytes would take for ever. */
const SIZES = [1, 2, 3, 7, 100, 1460, 4096, 15000];
/** With more than this waiting, several pieces are delivered in a turn. */
const BACKLOG_BYTES = 16 * 1024;
/** Turns that readiness, the ends and, at times, what is sent are held back at most. */
const MAX_TURNS = 4;

const PHASE = { CLOSED: 0, OPENING: 1, OPEN: 2 } as const;
/** What ends the input once the last of it has been delivered. */
const INPUT = { MORE: 0, END: 1, FAILED: 2, OVER: 3 } as const;

export class RechunkingTransport implements Transport {
  /** Sockets that have something to do next turn. */
  pending = 0;
  private readonly phase: Uint8Array;
  private readonly random: Uint32Array;
  private readonly inbox: Inbox;
  private readonly input: Uint8Array;
  private readonly errno: Uint8Array;
  /** Turns to wait: until ready, with the end of the input, with output, with its end. -1 where nothing is waited for. */
  private readonly opening: Int8Array;
  private readonly ending: Int8Array;
  private readonly sending: Int8Array;
  private readonly shutting: Int8Array;
  private readonly listed: Uint8Array;
  private readonly list: Int32Array;

  constructor(
    private readonly channel: Channel,
    private readonly slab: Slab,
    sockets: number,
  ) {
    this.phase = new Uint8Array(sockets);
    this.random = new Uint32Array(sockets);
    this.inbox = new Inbox(slab, sockets);
    this.input = new Uint8Array(sockets);
    this.errno = new Uint8Array(sockets);
    this.opening = new Int8Array(sockets);
    this.ending = new Int8Array(sockets);
    this.sending = new Int8Array(sockets);
    this.shutting = new Int8Array(sockets);
    this.listed = new Uint8Array(sockets);
    this.list = new Int32Array(2 * sockets);
  }

  accepts(): number {
    return 1;
  }

  dials(): number {
    return 1;
  }

  opened(slot: number): void {
    this.phase[slot] = PHASE.OPENING;
    // Not from the start each time: whoever has the slot next is to be cut differently.
    this.random[slot] += slot + 1;
    this.input[slot] = INPUT.MORE;
    this.opening[slot] = this.turns(slot);
    this.ending[slot] = -1;
    this.sending[slot] = -1;
    this.shutting[slot] = -1;
    this.wake(slot);
  }

  readable(): void {}

  received(slot: number, bid: number, at: number, length: number): void {
    this.inbox.push(slot, bid, at, at + length);
    if (this.phase[slot] === PHASE.OPEN) this.relieve(slot);
    this.wake(slot);
  }

  full(slot: number): boolean {
    return this.inbox.bytes[slot] > BACKLOG_BYTES;
  }

  ended(slot: number): void {
    this.over(slot, INPUT.END);
  }

  failed(slot: number, errno: number): void {
    this.errno[slot] = errno;
    this.over(slot, INPUT.FAILED);
  }

  resumed(slot: number): void {
    if (!this.inbox.empty(slot) || this.input[slot] !== INPUT.MORE) this.wake(slot);
  }

  send(slot: number): void {
    if (this.sending[slot] > 0) return;
    if (this.sending[slot] < 0 && this.next(slot) % 4 === 0) {
      this.sending[slot] = this.turns(slot);
      this.wake(slot);
      return;
    }
    this.sending[slot] = -1;
    const { channel, slab } = this;
    const bid = slab.take();
    if (bid < 0) {
      this.sending[slot] = 1;
      this.wake(slot);
      return;
    }
    const start = slab.dataStart(bid);
    let room = this.size(slot);
    let to = start;
    for (let length = channel.payloadLength(slot); length > 0 && room > 0; length = channel.payloadLength(slot)) {
      const n = Math.min(length, room);
      const at = channel.payloadAt(slot);
      slab.bytes.copyWithin(to, at, at + n);
      channel.take(slot, n);
      to += n;
      room -= n;
    }
    channel.write(slot, start, to - start, bid);
  }

  shutdown(slot: number): void {
    this.shutting[slot] = this.turns(slot);
    this.wake(slot);
  }

  closed(slot: number): void {
    this.phase[slot] = PHASE.CLOSED;
    this.inbox.clear(slot);
  }

  turn(): void {
    const n = this.pending;
    for (let i = 0; i < n; i++) {
      const slot = this.list[i];
      this.listed[slot] = 0;
      if (this.phase[slot] !== PHASE.CLOSED) this.step(slot);
    }
    this.list.copyWithin(0, n, this.pending);
    this.pending -= n;
  }

  private step(slot: number): void {
    const { channel } = this;
    if (this.phase[slot] === PHASE.OPENING) {
      if (this.opening[slot]-- > 0) this.wake(slot);
      else {
        this.phase[slot] = PHASE.OPEN;
        channel.established(slot);
      }
      if (this.phase[slot] !== PHASE.OPEN) return;
    }
    this.output(slot);
    if (channel.wantsData(slot) && !this.inbox.empty(slot) && this.piece(slot)) this.relieve(slot);
    if (this.phase[slot] !== PHASE.OPEN || !channel.wantsData(slot)) return;
    if (!this.inbox.empty(slot)) this.wake(slot);
    else if (this.ending[slot] >= 0) {
      if (this.ending[slot]-- > 0) this.wake(slot);
      else this.finish(slot);
    }
  }

  /** Delivers pieces until little is left. */
  private relieve(slot: number): void {
    while (this.full(slot) && this.channel.wantsData(slot)) if (!this.piece(slot)) return;
    if (!this.full(slot)) this.channel.receive(slot);
  }

  /** Goes on with what is held back on the way out. */
  private output(slot: number): void {
    if (this.sending[slot] > 0) {
      if (--this.sending[slot] === 0) this.channel.flushSoon(slot);
      else this.wake(slot);
    }
    if (this.shutting[slot] >= 0) {
      if (this.shutting[slot]-- === 0) this.channel.endWire(slot);
      else this.wake(slot);
    }
  }

  /** Delivers the next piece; false if there is no buffer for it. */
  private piece(slot: number): boolean {
    const { slab, inbox } = this;
    const to = slab.takeForInput();
    if (to < 0) return false;
    const first = inbox.shift(slot);
    const at = inbox.startOf(first);
    const end = inbox.endOf(first);
    const length = Math.min(this.size(slot), end - at, BUFFER_CAPACITY);
    const start = slab.dataStart(to);
    slab.bytes.copyWithin(start, at, at + length);
    if (at + length < end) inbox.unshift(slot, first, at + length, end);
    else slab.release(first);
    this.channel.deliver(slot, to, start, length);
    return true;
  }

  private over(slot: number, how: number): void {
    this.input[slot] = how;
    this.ending[slot] = this.turns(slot);
    this.wake(slot);
  }

  private finish(slot: number): void {
    const how = this.input[slot];
    this.input[slot] = INPUT.OVER;
    if (how === INPUT.END) this.channel.end(slot);
    else if (how === INPUT.FAILED) this.channel.fail(slot, this.errno[slot]);
  }

  private wake(slot: number): void {
    if (this.listed[slot] === 1) return;
    this.listed[slot] = 1;
    this.list[this.pending++] = slot;
  }

  private size(slot: number): number {
    return SIZES[this.next(slot) % SIZES.length];
  }

  private turns(slot: number): number {
    return 1 + (this.next(slot) % MAX_TURNS);
  }

  /** xorshift of the slot's own: a run can be repeated. */
  private next(slot: number): number {
    let x = this.random[slot] === 0 ? 0x9e3779b9 : this.random[slot];
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.random[slot] = x >>> 0;
    return this.random[slot] >>> 8;
  }
}
