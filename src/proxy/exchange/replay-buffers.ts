// Requests kept until their response begins, so that what an endpoint has not processed can be sent to another one, or wait for a
// connection. The head is kept as written for HTTP/1, or as a list of fields; the body is kept as received, without framing.

import type { FieldList } from '../../hpack/field-list.js';
import { restoreList, saveList, saveTemplate } from '../../hpack/memory/saved-list.js';
import type { Template } from '../../hpack/memory/template.js';
import { column } from '../../http/columns.js';
import { objectArray } from '../../http/object-array.js';
import { SCRATCH_BUFFER_BYTES } from '../../http/scratch-buffers.js';
import { BLOCK_BYTES } from '../../http2/block-allocator.js';
import { BufferChains } from '../../http2/buffer-chains.js';
import { SavedLists } from '../../http2/saved-lists.js';
import type { Core } from '../../http2/shared-state.js';
import { LIMITS } from '../../metrics/layout.js';
import { VERSION } from '../connect/protocols.js';
import type { Context } from '../context.js';
import type { ExchangeSlot } from '../slots.js';
import { type Exchanges, STATE } from './exchange.js';

/** Form of a kept head. */
export const FORM = {
  /** Nothing is kept: the request can't be sent again. */
  NONE: 0,
  /** The bytes of an HTTP/1 head, in one buffer with the body if that is small enough. */
  HTTP1: 1,
  /** A list of fields, as saved by the header memory. */
  FIELDS: 2,
  /**
   * A list of fields that the header memory knows as a whole, by reference; valid until the memory begins a new epoch. `materialize` turns
   * it into FIELDS before use. Most requests are never sent again, and this is the cheapest way to keep one that was seen before.
   */
  TEMPLATE: 3,
} as const;

/** Default for services: the guaranteed number of body bytes to keep, and the maximum. */
const GUARANTEED_BYTES = 64 * 1024;
const MAX_BYTES = 1024 * 1024;
const NONE = -1;
const LARGE = -2;
const BUFFER_SHIFT = 14;
const LIMIT_REPLAY = LIMITS.indexOf('h2-replay');

export class ReplayBuffers {
  /** One of FORM. */
  readonly form: Uint8Array;
  /** Position and length of the head. */
  readonly at: Int32Array;
  readonly length: Int32Array;
  /** 1: the kept request is complete. */
  readonly whole: Uint8Array;
  /** Bytes of the body. */
  readonly body: BufferChains;
  /** Buffer of the head; -1: it is in a block; LARGE. */
  private readonly buffer: Int32Array;
  /** Heads larger than a buffer. */
  private readonly large: BufferChains;
  /** By client's stream: the target of FORM.TEMPLATE. */
  private readonly templates = objectArray<Template | null>();
  /** Total bytes of all heads. */
  private heads = 0;
  /** Trailers of requests whose head is still to be sent. */
  private readonly trailers: SavedLists;

  constructor(
    private readonly context: Context,
    private readonly core: Core,
    private readonly exchanges: Exchanges,
  ) {
    const n = exchanges.capacity;
    this.form = column(Uint8Array, n);
    this.at = column(Int32Array, n);
    this.length = column(Int32Array, n);
    this.whole = column(Uint8Array, n);
    this.buffer = column(Int32Array, n);
    this.body = new BufferChains(core.slab, core.blocks, n);
    this.large = new BufferChains(core.slab, core.blocks, n);
    this.trailers = new SavedLists(core.slab, core.blocks, core.scratch, n);
  }

  /** Columns by exchange, of which the cells may become 0 where the client's slot is free. */
  columns(): readonly ArrayBufferView[] {
    return [this.form, this.at, this.length, this.whole, this.buffer, ...this.body.columns()];
  }

  /** Keeps a head written for HTTP/1 at [at, at + length) of `buffer`, which the caller holds too. `whole`: including the whole body. */
  keepWritten(x: ExchangeSlot, buffer: number, at: number, length: number, whole: boolean): void {
    // If no connection could be leased, the head is written again for the next endpoint.
    this.release(x);
    const { slab, bytes } = this.context;
    // Requests that wait long for a response must not hold a buffer each.
    const block = slab.plentiful || length > BLOCK_BYTES ? NONE : this.core.blocks.take();
    if (block >= 0) bytes.copyWithin(block, at, at + length);
    else if (slab.plentiful || slab.share > 0) slab.retain(buffer);
    else return;
    this.form[x] = FORM.HTTP1;
    this.buffer[x] = block >= 0 ? NONE : buffer;
    this.at[x] = block >= 0 ? block : at;
    this.length[x] = length;
    this.whole[x] = whole ? 1 : 0;
    this.heads += length;
  }

  /** Keeps the fields in `list`. `whole`: the request has no body. False if there is no memory. */
  keepFields(x: ExchangeSlot, list: FieldList, whole: boolean): boolean {
    const { template } = list;
    this.whole[x] = whole ? 1 : 0;
    if (template === null || list.count > 0 || list.epoch !== this.core.memory.epoch || !this.exchanges.isStream(x))
      return this.save(x, list, null);
    const stream = this.exchanges.clientStream(x);
    while (this.templates.length <= stream) this.templates.push(null);
    this.templates[stream] = template;
    this.form[x] = FORM.TEMPLATE;
    this.at[x] = list.epoch;
    this.length[x] = 0;
    return true;
  }

  /** Secures what is kept before it is used. False if the request can't be sent again. */
  materialize(x: ExchangeSlot): boolean {
    if (this.form[x] !== FORM.TEMPLATE) return this.form[x] !== FORM.NONE;
    const template = this.templates[this.exchanges.clientStream(x)];
    if (template !== null && this.at[x] === this.core.memory.epoch && this.save(x, null, template)) return true;
    this.release(x);
    return false;
  }

  /** Keeps a piece of the body, in a buffer that the caller holds. False if the request can't be sent again from now on. */
  keepData(x: ExchangeSlot, at: number, length: number, end: boolean): boolean {
    if (this.form[x] === FORM.NONE) return false;
    const { body } = this;
    // While waiting for a connection or a tunnel, the body has no other place. It is bounded by its stream's window, or by pausing its
    // client.
    const bounded = this.exchanges.state[x] !== STATE.PENDING && !this.exchanges.asksForTunnel(x);
    if (bounded) {
      const plenty = this.mayExceed(x);
      const full = !plenty && this.overBudget(0);
      if (full) this.context.limited(LIMIT_REPLAY);
      if (full || body.bytes[x] + length > (plenty ? MAX_BYTES : this.guaranteedBytes(x))) {
        this.release(x);
        return false;
      }
    }
    if (length > 0 && !body.append(x, at, length)) {
      if (bounded) this.release(x);
      return false;
    }
    if (end) this.whole[x] = 1;
    return true;
  }

  /** The request has been sent: keeps a large head only if there is room. */
  settle(x: ExchangeSlot): void {
    if (this.form[x] === FORM.NONE || this.buffer[x] !== LARGE || !this.overBudget(0)) return;
    if (this.mayExceed(x) || this.exchanges.asksForTunnel(x)) return;
    this.context.limited(LIMIT_REPLAY);
    this.release(x);
  }

  /** Whether a body of `length` bytes may be kept for an endpoint that speaks HTTP/1; -1: length unknown. */
  roomFor(x: ExchangeSlot, length: number): boolean {
    return length <= this.guaranteedBytes(x);
  }

  /** Whether the body kept so far may stay. */
  hasRoom(x: ExchangeSlot): boolean {
    return this.body.bytes[x] <= (this.mayExceed(x) ? MAX_BYTES : this.guaranteedBytes(x));
  }

  /** Whether anything is kept. */
  has(x: ExchangeSlot): boolean {
    return this.form[x] !== FORM.NONE;
  }

  /** The request will not be sent again. */
  release(x: ExchangeSlot): void {
    const form = this.form[x];
    if (form === FORM.NONE) return;
    this.form[x] = FORM.NONE;
    this.heads -= this.length[x];
    if (form === FORM.TEMPLATE) this.templates[this.exchanges.clientStream(x)] = null;
    else if (this.buffer[x] === LARGE) this.large.clear(x);
    else if (this.buffer[x] === NONE) this.core.blocks.release(this.at[x]);
    else this.context.slab.release(this.buffer[x]);
    if (!this.body.empty(x)) this.body.clear(x);
  }

  /** A reference to the buffer of a head written for HTTP/1, for sending. Not for one that `isLarge`. */
  retainHead(x: ExchangeSlot): number {
    const buffer = this.buffer[x];
    this.context.slab.retain(buffer);
    return buffer;
  }

  isLarge(x: ExchangeSlot): boolean {
    return this.buffer[x] === LARGE;
  }

  /** Position of the head in one piece, `length` bytes; a large head is valid until the next call. */
  locate(x: ExchangeSlot): number {
    if (this.buffer[x] !== LARGE) return this.at[x];
    const { scratch } = this.core;
    this.large.gather(x, scratch.replay);
    return scratch.replay;
  }

  /** Loads the kept fields into `list`. */
  restore(x: ExchangeSlot, list: FieldList): void {
    const at = this.locate(x);
    restoreList(list, at, at + this.length[x]);
  }

  /** Keeps the trailers of a waiting request. False if there is no memory. */
  keepTrailers(x: ExchangeSlot, list: FieldList): boolean {
    return this.trailers.save(x, list);
  }

  hasTrailers(x: ExchangeSlot): boolean {
    return this.trailers.has(x);
  }

  /** Loads the kept trailers into `list`, which refers to their place. */
  restoreTrailers(x: ExchangeSlot, list: FieldList): void {
    this.trailers.restore(x, list);
  }

  dropTrailers(x: ExchangeSlot): void {
    this.trailers.drop(x);
  }

  /** Number of body bytes to keep as long as there is memory for requests at all. */
  private guaranteedBytes(x: ExchangeSlot): number {
    const own = this.context.services.replayBytes[this.exchanges.service[x]];
    return own < 0 ? GUARANTEED_BYTES : own;
  }

  /**
   * Whether more than that may be kept: half of all buffers are free, and the endpoint speaks HTTP/2, which can refuse a request it was
   * sent. HTTP/1 can't, and what is kept can't be spliced.
   */
  private mayExceed(x: ExchangeSlot): boolean {
    const { exchanges } = this;
    if (this.context.services.replayBytes[exchanges.service[x]] >= 0 || exchanges.version[x] !== VERSION.HTTP2)
      return false;
    const { slab } = this.context;
    return slab.free * 2 >= slab.buffers;
  }

  /** Saves the fields of `list`, or of `template`, in a block if they fit, else in one or more buffers. False if there is no memory. */
  private save(x: ExchangeSlot, list: FieldList | null, template: Template | null): boolean {
    const { blocks, slab } = this.core;
    const block = blocks.take();
    if (block < 0) return false;
    let at = block;
    let buffer = NONE;
    let to = this.write(list, template, block, block + BLOCK_BYTES);
    if (to < 0) {
      blocks.release(block);
      buffer = slab.take();
      if (buffer < 0) return false;
      at = slab.dataStart(buffer);
      to = this.write(list, template, at, slab.dataEnd(buffer));
      if (to < 0) {
        slab.release(buffer);
        const { written } = this.core.scratch;
        to = this.write(list, template, written, written + SCRATCH_BUFFER_BYTES);
        if (to < 0 || !this.keepLarge(x, FORM.FIELDS, written, to)) return false;
        if (template !== null) this.templates[this.exchanges.clientStream(x)] = null;
        return true;
      }
    }
    if (template !== null) this.templates[this.exchanges.clientStream(x)] = null;
    this.form[x] = FORM.FIELDS;
    this.buffer[x] = buffer;
    this.at[x] = at;
    this.length[x] = to - at;
    this.heads += to - at;
    return true;
  }

  /** Keeps a head larger than a buffer. False if there is no memory. */
  keepLarge(x: ExchangeSlot, form: number, at: number, end: number): boolean {
    const length = end - at;
    // `h2-replay` does not apply here: before it is first sent it may have no other place. See `settle`.
    if (!this.core.slab.withinShare((length >> BUFFER_SHIFT) + 1)) return false;
    if (!this.large.copy(x, at, length)) {
      this.large.clear(x);
      return false;
    }
    this.form[x] = form;
    this.buffer[x] = LARGE;
    this.at[x] = NONE;
    this.length[x] = length;
    this.heads += length;
    return true;
  }

  private overBudget(more: number): boolean {
    return this.body.total + this.heads + more > this.context.limits.http2.maxReplayBytes;
  }

  private write(list: FieldList | null, template: Template | null, at: number, limit: number): number {
    if (list !== null) return saveList(list, at, limit);
    return template === null ? NONE : saveTemplate(this.core.memory, template, at, limit);
  }
}
