// Two caches of blocks: of received bytes, and of bytes ready to send. All connections share them, so that none costs memory by itself;
// entries record which table, and which version of it, a block depends on.
//
// Each block has two slots. With one, two blocks in use that share it would replace each other every time: with 20 blocks and 2,048 slots, that
// happens in one process of eleven, and decoding a request each time costs ten times as much.

import { column } from '../../http/columns.js';
import { moveWords, WORDS_BYTES } from '../../http/octets.js';
import { powerOfTwo } from './hash-chains.js';
import type { HeaderText } from './header-text.js';
import type { Template } from './template.js';

/** Longest received block that is cached, and longest one kept ready to send. */
export const RECEIVED_BYTES = 256;
export const READY_BYTES = 512;

/** No template has this id. */
const NO_TEMPLATE = -1;

/** Slots in which a block may be, next to each other. */
const WAYS = 2;

const mix = (owner: number, version: number): number => Math.imul(owner, 0x2545f491) ^ version;

/** Received blocks and their templates. */
export class ReceivedBlocks {
  private readonly mask: number;
  private readonly owner: Int32Array;
  private readonly version: Int32Array;
  private readonly length: Int32Array;
  private readonly template: (Template | null)[];
  private turn = 0;

  /** Uses `length` octets from `base` on. */
  constructor(
    private readonly text: HeaderText,
    private readonly base: number,
    length: number,
  ) {
    const slots = powerOfTwo(length / RECEIVED_BYTES);
    this.mask = slots - WAYS;
    this.owner = column(Int32Array, slots);
    this.version = column(Int32Array, slots);
    this.length = column(Int32Array, slots);
    this.template = new Array<Template | null>(slots).fill(null);
  }

  /** The template of a block of at most RECEIVED_BYTES bytes, for a decoder whose table has this version; null if not cached. */
  find(at: number, length: number, owner: number, version: number): Template | null {
    const first = this.text.hash(at, length, mix(owner, version)) & this.mask;
    for (let slot = first; slot < first + WAYS; slot++) {
      if (this.owner[slot] !== owner || this.version[slot] !== version || this.length[slot] !== length) continue;
      const template = this.template[slot];
      if (template !== null && this.text.equal(this.base + slot * RECEIVED_BYTES, at, length)) return template;
    }
    return null;
  }

  keep(at: number, length: number, owner: number, version: number, template: Template): void {
    this.turn ^= 1;
    const slot = (this.text.hash(at, length, mix(owner, version)) & this.mask) | this.turn;
    this.owner[slot] = owner;
    this.version[slot] = version;
    this.length[slot] = length;
    this.template[slot] = template;
    this.text.bytes.copyWithin(this.base + slot * RECEIVED_BYTES, at, at + length);
  }

  /** Drops all entries, with their templates. */
  newEpoch(): void {
    this.template.fill(null);
  }

  /** The same, with their octets. */
  forget(unused: (at: number, length: number) => void): void {
    this.newEpoch();
    unused(this.base, this.template.length * RECEIVED_BYTES);
  }
}

/** Templates as written to a connection. No epochs are needed, because template ids are never reused. */
export class ReadyBlocks {
  /** By slot: fields that a larger table would have held. */
  readonly missed: Int32Array;
  private readonly mask: number;
  private readonly owner: Int32Array;
  private readonly template: Int32Array;
  private readonly version: Int32Array;
  private readonly length: Int32Array;
  private turn = 0;

  /** Uses `length` octets from `base` on. */
  constructor(
    private readonly bytes: Uint8Array,
    private readonly view: DataView,
    private readonly base: number,
    length: number,
  ) {
    const slots = powerOfTwo(length / READY_BYTES);
    this.mask = slots - WAYS;
    this.owner = column(Int32Array, slots);
    this.template = column(Int32Array, slots);
    this.version = column(Int32Array, slots);
    this.length = column(Int32Array, slots);
    this.missed = column(Int32Array, slots);
  }

  /** The slot of this encoder and template, or the one to use for them. */
  slot(template: Template, owner: number): number {
    const { id } = template;
    const first = ((Math.imul(id, 0x2545f491) ^ Math.imul(owner, 0x9e3779b1)) >>> 7) & this.mask;
    for (let slot = first; slot < first + WAYS; slot++)
      if (this.template[slot] === id && this.owner[slot] === owner) return slot;
    this.turn ^= 1;
    return first | this.turn;
  }

  /** Whether the slot has the template's octets for the encoder whose table has this version. */
  has(slot: number, template: Template, owner: number, version: number): boolean {
    return this.template[slot] === template.id && this.owner[slot] === owner && this.version[slot] === version;
  }

  /** Copies the slot's octets to `to`; returns the position after them. */
  copy(slot: number, to: number): number {
    const { bytes } = this;
    const length = this.length[slot];
    const from = this.base + slot * READY_BYTES;
    if (length <= WORDS_BYTES) moveWords(bytes, this.view, from, from + length, to);
    else bytes.copyWithin(to, from, from + length);
    return to + length;
  }

  /** Keeps [at, end), of at most READY_BYTES octets. */
  keep(
    slot: number,
    template: Template,
    owner: number,
    version: number,
    missed: number,
    at: number,
    end: number,
  ): void {
    this.template[slot] = template.id;
    this.owner[slot] = owner;
    this.version[slot] = version;
    this.length[slot] = end - at;
    this.missed[slot] = missed;
    this.bytes.copyWithin(this.base + slot * READY_BYTES, at, end);
  }

  /** Forgets all of them, with their octets. */
  forget(unused: (at: number, length: number) => void): void {
    this.template.fill(NO_TEMPLATE);
    unused(this.base, this.template.length * READY_BYTES);
  }
}
