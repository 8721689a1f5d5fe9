// The HTTP/2 machine without sockets: a slab over plain memory, a sink that collects octets by connection, events as records, a
// clock that tests set. `World` owns what of HTTP/2 lives as long as a worker, and checks that nothing of it is lost.
import type { FieldList } from '../../src/hpack/field-list.js';
import { Connection, READ_STATE, ROLE } from '../../src/http2/connection.js';
import { H } from '../../src/http2/counters.js';
import type { Http2Limits } from '../../src/http2/limits.js';
import { Http2Machine } from '../../src/http2/machine.js';
import type { Core, Http2Events } from '../../src/http2/shared-state.js';
import { BUFFER_CAPACITY } from '../../src/io/slab.js';
import { ACK, frame, framesOf, MAGIC, type RawFrame } from './h2-frames.js';
import { fieldsOf } from './header-fixture.js';
import { checkBooks } from './http2-books.js';
import { LIMITS, type Memory, meterOf } from './http2-memory.js';

/** What happened, in words: one record an event. Pieces of a stream's data that follow each other are one. */
export interface Happened {
  readonly what: string;
  readonly id: number;
  readonly end?: boolean;
  readonly code?: number;
  readonly fields?: string;
  body?: string;
}

/** What a test's owner of the streams does; each is called after the event was recorded. */
export interface Behaviour {
  request?(slot: number, end: boolean): unknown;
  response?(slot: number, end: boolean): void;
  trailers?(slot: number): void;
  /** Returns how many octets are given back at once; all of them without it. */
  data?(slot: number, octets: Buffer, end: boolean): number;
  gone?(slot: number): void;
  moved?(slot: number, count: number): unknown;
  flushed?(slot: number): void;
  goaway?(connection: Connection, last: number, code: number): void;
}

/** One endpoint of one connection. */
export class Wire {
  /** What the machine said, as the socket got it. */
  readonly said: Buffer[] = [];
  /** Slices that a send under way holds. */
  readonly sending: { at: number; length: number; bid: number }[] = [];
  queued = 0;
  /** Sends end at once; otherwise with `finishSends`. */
  instant = true;
  /** From so many octets on the socket is congested. */
  congestedAt = Number.POSITIVE_INFINITY;
  wantsDrained = false;
  failed = -1;
  over = false;

  constructor(readonly connection: Connection) {}

  /** Takes what was said since it was last asked for. */
  take(): Buffer {
    return Buffer.concat(this.said.splice(0));
  }
}

export class World implements Http2Events {
  readonly core: Core;
  readonly machine: Http2Machine;
  readonly values: Float64Array;
  readonly wires: Wire[] = [];
  readonly happened: Happened[] = [];
  readonly list: FieldList;
  behaviour: Behaviour = {};
  private readonly slabFree: number;
  private text: number;

  constructor(readonly memory: Memory) {
    // A world that was not ended has failed.
    if (memory.world !== undefined) memory.renew();
    memory.world = this;
    this.core = memory.core;
    this.core.clock[0] = 0;
    this.core.overAllowance.length = 0;
    this.values = this.core.values;
    this.values.fill(0);
    this.slabFree = memory.slab.free;
    this.machine = new Http2Machine(this.core, this);
    this.list = memory.list;
    this.text = memory.text;
  }

  queue(socket: number, at: number, length: number, bid: number): void {
    const wire = this.wires[socket];
    wire.queued += length;
    wire.sending.push({ at, length, bid });
    if (wire.instant) this.finishSends(wire);
  }

  sending(socket: number): boolean {
    return this.wires[socket].sending.length > 0;
  }

  congested(socket: number, unsent: number): boolean {
    const wire = this.wires[socket];
    if (wire.queued + unsent <= wire.congestedAt) return false;
    wire.wantsDrained = true;
    return true;
  }

  connect(role: number, limits: Partial<Http2Limits> = {}): Wire {
    const connection = new Connection(
      this.wires.length,
      role,
      meterOf(role),
      this.memory.headers,
      { ...LIMITS, ...limits },
      this.core.clock[0],
    );
    const wire = new Wire(connection);
    this.wires.push(wire);
    return wire;
  }

  /** A connection whose prefaces are over: nothing is said any more that is owed. */
  ready(role: number, limits: Partial<Http2Limits> = {}, settings: Uint8Array = SETTINGS_NONE): Wire {
    const wire = this.connect(role, limits);
    this.machine.sender.open(wire.connection);
    this.feed(wire, Buffer.concat([role === ROLE.SERVER ? MAGIC : Buffer.alloc(0), settings, SETTINGS_ACK]));
    this.commit();
    wire.take();
    return wire;
  }

  /** Octets from the peer, cut into pieces of the given lengths (then as large as a buffer holds). */
  feed(wire: Wire, octets: Uint8Array, lengths: readonly number[] = []): void {
    const { slab } = this.memory;
    let piece = 0;
    for (let at = 0; at < octets.length && !wire.over; piece++) {
      const count = Math.min(lengths[piece] ?? BUFFER_CAPACITY, BUFFER_CAPACITY, octets.length - at);
      const bid = slab.take();
      if (bid < 0) throw new Error('the slab is out');
      const start = slab.dataStart(bid);
      slab.bytes.set(octets.subarray(at, at + count), start);
      this.machine.receive(wire.connection, start, start + count);
      slab.release(bid);
      at += count;
    }
  }

  /** End of a turn: what was written goes to the sockets. */
  commit(): void {
    this.core.output.commit();
    for (const connection of this.core.outOfMemory.splice(0)) this.end(this.wires[connection.socket]);
  }

  finishSends(wire: Wire): void {
    const { slab } = this.memory;
    for (const { at, length, bid } of wire.sending.splice(0)) {
      wire.said.push(Buffer.from(slab.bytes.subarray(at, at + length)));
      if (bid >= 0) slab.release(bid);
    }
    wire.queued = 0;
    if (!wire.wantsDrained) return;
    wire.wantsDrained = false;
    wire.connection.congested = false;
    this.machine.sender.pump(wire.connection);
  }

  /** What the machine says up to now. */
  said(wire: Wire): RawFrame[] {
    this.commit();
    return framesOf(wire.take());
  }

  /** A list of fields to be sent, in `this.list`. */
  fields(fields: Readonly<Record<string, string>>): FieldList {
    const { list, memory } = this;
    list.clear();
    this.text = memory.text;
    for (const [name, value] of Object.entries(fields)) list.add(...this.put(name), ...this.put(value));
    list.finish();
    return list;
  }

  /** Sends `body` in one piece (it lies in a buffer as if it had been received). Returns what `sender.data` says. */
  send(slot: number, body: Uint8Array, end: boolean): number {
    const { slab } = this.memory;
    const bid = slab.take();
    const at = slab.dataStart(bid);
    slab.bytes.set(body, at);
    const sent = this.machine.sender.data(slot, at, body.length, end);
    slab.release(bid);
    return sent;
  }

  /** Opens a stream of ours with a POST. */
  open(wire: Wire, fields: Readonly<Record<string, string>> = POST, end = false): number {
    const slot = this.core.streams.allocate();
    this.machine.sender.openStream(slot, wire.connection);
    this.machine.sender.headers(slot, this.fields(fields), end);
    return slot;
  }

  slot(wire: Wire, id: number): number {
    return this.core.streams.find(wire.connection, id);
  }

  /** Takes a stream off, whatever its state, and gives its slot back. */
  finish(slot: number): void {
    this.machine.sender.close(slot);
    this.core.streams.release(slot);
  }

  /** The connection is over. */
  end(wire: Wire): void {
    if (wire.over) return;
    wire.over = true;
    const { streams } = this.core;
    const { connection } = wire;
    for (let slot = streams.first(connection); slot >= 0; slot = streams.first(connection)) {
      this.behaviour.gone?.(slot);
      this.finish(slot);
    }
    this.machine.drop(connection);
    wire.wantsDrained = false;
  }

  /** Ends all connections; throws if anything that they held is not given back. */
  endAll(): void {
    this.commit();
    for (const wire of this.wires) {
      this.end(wire);
      this.finishSends(wire);
    }
    this.commit();
    const { core, memory, values } = this;
    const lost = this.slabFree - memory.slab.free;
    // One buffer may be kept for the next block.
    if (core.blocks.used !== 0) throw new Error(`${core.blocks.used} blocks are lost`);
    if (lost > 1 || lost < 0) throw new Error(`${lost} buffers are lost`);
    if (core.pending.total !== 0) throw new Error(`${core.pending.total} octets still wait`);
    if (core.streams.used !== 0) throw new Error(`${core.streams.used} streams are still in use`);
    for (const role of [ROLE.SERVER, ROLE.CLIENT]) {
      if (values[meterOf(role) + H.STREAMS] !== 0) throw new Error('the gauge of streams is not zero');
    }
    for (const { connection } of this.wires) {
      if (connection.held !== 0) throw new Error(`a connection still holds ${connection.held} octets`);
    }
    memory.world = undefined;
  }

  /** Throws where the state of a connection contradicts itself. */
  check(wire: Wire): void {
    const { connection: c } = wire;
    if (wire.over) {
      if (c.readState !== READ_STATE.FAILED) throw new Error('a connection that is over still reads');
      if (c.partialBuffer !== -1 || c.blockBuffer !== -1 || c.outBuffer !== -1) throw new Error('it holds buffers');
      return;
    }
    checkBooks(this.core, c);
  }

  // Events.

  request(_connection: Connection, slot: number, end: boolean): void {
    this.happened.push({ what: 'request', id: this.id(slot), end, fields: this.fieldText() });
    this.behaviour.request?.(slot, end);
  }

  requestTooLarge(_connection: Connection, slot: number, end: boolean): void {
    this.happened.push({ what: 'too large', id: this.id(slot), end });
    this.machine.sender.reset(slot, 11);
    this.core.streams.release(slot);
  }

  tooLarge(connection: Connection, slot: number): void {
    this.happened.push({ what: 'too large', id: this.id(slot) });
    if (connection.role === ROLE.SERVER) return;
    this.behaviour.gone?.(slot);
    this.core.streams.release(slot);
  }

  response(_connection: Connection, slot: number, end: boolean): void {
    this.happened.push({ what: 'response', id: this.id(slot), end, fields: this.fieldText() });
    this.behaviour.response?.(slot, end);
  }

  trailers(_connection: Connection, slot: number): void {
    this.happened.push({ what: 'trailers', id: this.id(slot), fields: this.fieldText() });
    this.behaviour.trailers?.(slot);
  }

  data(_connection: Connection, slot: number, at: number, length: number, end: boolean): void {
    const octets = Buffer.from(this.memory.slab.bytes.subarray(at, at + length));
    const id = this.id(slot);
    const last = this.happened.findLast((one) => one.id === id);
    if (last?.what === 'data' && last.end === false) {
      last.body += octets.toString('latin1');
      if (end) this.happened.splice(this.happened.indexOf(last), 1, { ...last, end });
    } else this.happened.push({ what: 'data', id, end, body: octets.toString('latin1') });
    const back = this.behaviour.data?.(slot, octets, end) ?? length;
    if (back > 0) this.machine.frames.credit(slot, back);
  }

  reset(_connection: Connection, slot: number, code: number): void {
    this.happened.push({ what: 'reset', id: this.id(slot), code });
    this.behaviour.gone?.(slot);
    this.core.streams.release(slot);
  }

  streamFailed(_connection: Connection, slot: number, code: number): void {
    this.happened.push({ what: 'stream failed', id: this.id(slot), code });
    this.behaviour.gone?.(slot);
    this.core.streams.release(slot);
  }

  connectionFailed(connection: Connection, code: number): void {
    this.happened.push({ what: 'failed', id: 0, code });
    const wire = this.wires[connection.socket];
    wire.failed = code;
    this.core.output.flush(connection);
    this.end(wire);
  }

  settings(): void {
    this.happened.push({ what: 'settings', id: 0 });
  }

  goaway(connection: Connection, last: number, code: number): void {
    this.happened.push({ what: 'goaway', id: last, code });
    this.behaviour.goaway?.(connection, last, code);
  }

  shutdownAcknowledged(): void {
    this.happened.push({ what: 'warned', id: 0 });
  }

  dataSent(slot: number, count: number): void {
    this.behaviour.moved?.(slot, count);
  }

  flushed(slot: number): void {
    this.happened.push({ what: 'flushed', id: this.id(slot) });
    this.behaviour.flushed?.(slot);
  }

  private id(slot: number): number {
    return this.core.streams.id[slot];
  }

  private fieldText(): string {
    return fieldsOf(this.core.list)
      .map(({ name, value }) => `${name}: ${value}`)
      .sort()
      .join('\n');
  }

  private put(text: string): [at: number, length: number] {
    const at = this.text;
    this.memory.slab.bytes.set(Buffer.from(text, 'latin1'), at);
    this.text += text.length;
    return [at, text.length];
  }
}

export const POST = { ':method': 'POST', ':scheme': 'http', ':path': '/a', ':authority': 'a.example' } as const;
export const OK = { ':status': '200' } as const;

const SETTINGS_NONE = frame('SETTINGS', 0, 0);
const SETTINGS_ACK = frame('SETTINGS', ACK, 0);
