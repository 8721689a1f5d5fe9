// Fields that a listener may add to messages: Via to everything that is forwarded (RFC 9110 section 7.6.3), and Date to final responses
// without one (section 6.6.1). They are added where a message is received, so they carry over into either version, and into the kept copy
// of a request. The text is in the slab, ready for reference; the only allocation is one date per second.
import type { FieldList } from '../hpack/field-list.js';
import { NAME } from '../http/field-names.js';
import { ascii, equals } from '../http/octets.js';
import { FIELD_KIND } from '../http1/fields.js';
import type { Head } from '../http1/head.js';
import { MAX_LISTENERS } from '../metrics/layout.js';
import { MAX_FORWARDS_BYTES } from '../translate/max-forwards.js';
import { MAX_PSEUDONYM } from './capacity.js';

/** How a message was received, in the terms of Via. */
export const RECEIVED = { HTTP1_0: 0, HTTP1_1: 1, HTTP2: 2 } as const;
const VERSIONS = ['1.0', '1.1', '2.0'];

const VIA = 'via';
const DATE = 'date';
const SEPARATOR_BYTES = 2;
/** `via: 1.1 NAME` and CRLF. */
const VIA_BYTES = 80;
/** `date: Thu, 01 Jan 1970 00:00:00 GMT` and CRLF. */
const DATE_BYTES = 37;
const DATE_VALUE_BYTES = 29;
const DATE_NAME = ascii(DATE);
/** Size of this part in the slab's fixed region. */
export const ADDED_FIELDS_BYTES = MAX_LISTENERS * VERSIONS.length * VIA_BYTES + DATE_BYTES + MAX_FORWARDS_BYTES + 64;
if (VIA.length + SEPARATOR_BYTES + 4 + MAX_PSEUDONYM + SEPARATOR_BYTES > VIA_BYTES) throw new Error('no room for Via');

/** What this needs of the worker's context. */
interface Shared {
  readonly reactor: { readonly now: number };
  readonly slab: { readonly bytes: Uint8Array; fixed(length: number): number };
  readonly connections: { readonly listener: Int16Array };
}

/** What this needs of a listener. */
interface Listener {
  readonly slot: number;
  readonly via: string | null;
  readonly date: boolean;
}

export class AddedFields {
  /** Whether any listener adds something; if not, nothing is checked. */
  active = false;
  /** Where a Max-Forwards of HTTP/2 is rewritten. */
  readonly forwardsAt: number;
  private readonly bytes: Uint8Array;
  private readonly viaAt: number;
  private readonly dateAt: number;
  private readonly dateLine: Uint8Array;
  /** Per listener: length of its name, 0 if it adds no Via; and whether it adds Date. */
  private readonly name = new Uint8Array(MAX_LISTENERS);
  private readonly dates = new Uint8Array(MAX_LISTENERS);
  /** When the written date becomes outdated. */
  private stale = 0;

  constructor(
    private readonly context: Shared,
    private readonly clock: () => number = Date.now,
  ) {
    const { slab } = context;
    this.bytes = slab.bytes;
    this.viaAt = slab.fixed(MAX_LISTENERS * VERSIONS.length * VIA_BYTES);
    this.dateAt = slab.fixed(DATE_BYTES);
    this.dateLine = this.bytes.subarray(this.dateAt, this.dateAt + DATE_BYTES);
    this.forwardsAt = slab.fixed(MAX_FORWARDS_BYTES);
  }

  configure(listeners: readonly Listener[]): void {
    for (const { slot, via, date } of listeners) {
      this.dates[slot] = date ? 1 : 0;
      this.name[slot] = via === null ? 0 : via.length;
      if (via === null) continue;
      VERSIONS.forEach((version, received) => {
        this.bytes.set(ascii(`${VIA}: ${version} ${via}\r\n`), this.via(slot, received));
      });
    }
    this.active = this.name.some((length) => length > 0) || this.dates.includes(1);
  }

  /** Adds to an HTTP/1 request from `client`. */
  toRequest(head: Head, client: number): void {
    this.viaToHead(head, this.context.connections.listener[client]);
  }

  /** Adds to an HTTP/2 request from `client`. */
  toListedRequest(list: FieldList, client: number): void {
    this.viaToList(list, this.context.connections.listener[client]);
  }

  /** Adds to a final HTTP/1 response for `client`. */
  toResponse(head: Head, client: number): void {
    if (client < 0) return;
    const listener = this.context.connections.listener[client];
    this.viaToHead(head, listener);
    // A 101 gets no Date: another protocol follows.
    if (this.dates[listener] !== 1 || head.status < 200 || hasDate(this.bytes, head)) return;
    this.refresh();
    const nameEnd = this.dateAt + DATE.length;
    head.append(this.dateAt, nameEnd, nameEnd + SEPARATOR_BYTES + DATE_VALUE_BYTES);
  }

  /** Adds to a final HTTP/2 response for `client`. */
  toListedResponse(list: FieldList, client: number): void {
    if (client < 0) return;
    const listener = this.context.connections.listener[client];
    this.viaToList(list, listener);
    if (this.dates[listener] !== 1 || list.has(NAME.DATE)) return;
    this.refresh();
    list.append(NAME.DATE, this.dateAt + DATE.length + SEPARATOR_BYTES, DATE_VALUE_BYTES);
  }

  /** The Date line for one of the proxy's own answers; null for none. */
  dateOf(client: number): Uint8Array | null {
    if (!this.active || this.dates[this.context.connections.listener[client]] !== 1) return null;
    this.refresh();
    return this.dateLine;
  }

  /** Like `dateOf`, for a list that is being built. */
  dateInto(list: FieldList, client: number): void {
    if (client < 0 || this.dateOf(client) === null) return;
    list.addKnown(NAME.DATE, this.dateAt + DATE.length + SEPARATOR_BYTES, DATE_VALUE_BYTES);
  }

  private viaToHead(head: Head, listener: number): void {
    const length = this.name[listener];
    if (length === 0) return;
    const at = this.via(listener, head.minor === 0 ? RECEIVED.HTTP1_0 : RECEIVED.HTTP1_1);
    const nameEnd = at + VIA.length;
    head.append(at, nameEnd, nameEnd + SEPARATOR_BYTES + VERSIONS[0].length + 1 + length);
  }

  private viaToList(list: FieldList, listener: number): void {
    const length = this.name[listener];
    if (length === 0) return;
    const valueAt = this.via(listener, RECEIVED.HTTP2) + VIA.length + SEPARATOR_BYTES;
    list.append(NAME.VIA, valueAt, VERSIONS[0].length + 1 + length);
  }

  private via(listener: number, received: number): number {
    return this.viaAt + (listener * VERSIONS.length + received) * VIA_BYTES;
  }

  /** Rewrites the date if a new second has begun. */
  private refresh(): void {
    const { now } = this.context.reactor;
    if (now < this.stale) return;
    const clock = this.clock();
    this.stale = now + 1000 - (clock % 1000);
    // IMF-fixdate (RFC 9110 section 5.6.7) is what ECMAScript calls a UTC string.
    this.bytes.set(ascii(`${DATE}: ${new Date(clock).toUTCString()}\r\n`), this.dateAt);
  }
}

function hasDate(bytes: Uint8Array, head: Head): boolean {
  const { fields, kind, count } = head;
  for (let i = 0; i < count; i++) {
    const field = i << 2;
    if (kind[i] === FIELD_KIND.FORWARD && equals(bytes, fields[field], fields[field + 1], DATE_NAME)) return true;
  }
  return false;
}
