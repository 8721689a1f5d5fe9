// The trace context of a request, read and rewritten where the request is received, so that it carries over into either version and into
// the kept copy. The sampling decision is that of whoever began the trace or, without one, depends on the trace id. The forwarded request
// has our span as its parent. If no spans are wanted nothing is read, and malformed fields are neither interpreted nor changed.
import type { FieldList } from '../hpack/field-list.js';
import type { Template } from '../hpack/memory/template.js';
import { NAME, NAME_TEXT } from '../http/field-names.js';
import { ascii } from '../http/octets.js';
import type { Head } from '../http1/head.js';
import { TokenBucket } from '../tap/token-bucket.js';
import {
  DECISION,
  SPAN_ID_LENGTH,
  TRACE_ID_LENGTH,
  TRACEPARENT_LENGTH,
  TraceContext,
  word,
} from '../tracing/context.js';
import { IdGenerator } from '../tracing/id-generator.js';
import type { TracingSettings } from '../tracing/settings.js';

const TRACEPARENT = 'traceparent';
const SEPARATOR_BYTES = 2;
/** Longest value to rewrite; unknown versions may append more. */
const MAX_VALUE = 256;
/** Size of this part in the slab's fixed region: a line of `traceparent`, a value, two ids. */
export const TRACE_FIELDS_BYTES =
  (TRACEPARENT.length + SEPARATOR_BYTES + TRACEPARENT_LENGTH + 2 + MAX_VALUE + 2 * SPAN_ID_LENGTH + 127) & ~63;
const LINE = ascii(`${TRACEPARENT}: `);
const RANGE = 2 ** 32;
const NONE = -1;
const MAX_SKIPPED = 2 ** 30;

/** Names of trace fields. */
const NAMES: readonly number[] = [
  NAME.TRACEPARENT,
  NAME.B3,
  NAME.B3_TRACE_ID,
  NAME.B3_SPAN_ID,
  NAME.B3_PARENT_SPAN_ID,
  NAME.B3_SAMPLED,
  NAME.B3_FLAGS,
];
const TEXTS = NAMES.map((name) => ascii(NAME_TEXT[name]));
/** Bit set of the lengths above. */
const LENGTHS = TEXTS.reduce((bits, text) => bits | (1 << text.length), 0);
const LOWER = 0x20;

interface Shared {
  readonly reactor: { readonly now: number };
  readonly slab: { readonly bytes: Uint8Array; fixed(length: number): number };
}

export class TraceFields {
  /** Whether spans are wanted. */
  active = false;
  /** Of the last request read: whether it gets a span, and its ids. */
  sampled = false;
  traceId = '';
  spanId = '';
  parentId = '';
  /** Interval at which spans are sent, ms. */
  intervalMs = 0;
  /** Requests that should have had a span, over the rate limit. */
  skipped = 0;
  /** Called for each of them. */
  onSkipped: () => void = () => undefined;
  private readonly bytes: Uint8Array;
  private readonly lineAt: number;
  private readonly valueAt: number;
  private readonly idAt: number;
  private readonly context = new TraceContext();
  private readonly ids = new IdGenerator();
  private threshold = 0;
  private bucket: TokenBucket;
  /** By NAME since TRACEPARENT: the index of the field, -1: none, -2: more than one. */
  private readonly found = new Int32Array(NAME.B3_FLAGS - NAME.TRACEPARENT + 1);
  private any = false;
  /** The value being parsed. */
  private from = 0;
  private to = 0;
  /** Countdown of new traces until one gets a span. */
  private skip = 1;
  /** The first random word of a trace's id. */
  private drawn = 0;

  constructor(private readonly shared: Shared) {
    const { slab } = shared;
    this.bytes = slab.bytes;
    this.lineAt = slab.fixed(LINE.length + TRACEPARENT_LENGTH + 2);
    this.valueAt = slab.fixed(MAX_VALUE);
    this.idAt = slab.fixed(2 * SPAN_ID_LENGTH);
    this.bucket = new TokenBucket(0, shared.reactor);
    this.found.fill(NONE);
  }

  configure(settings: TracingSettings | null): void {
    this.active = settings !== null;
    this.sampled = false;
    this.intervalMs = settings?.intervalMs ?? 0;
    this.threshold = (settings?.sampling ?? 0) * RANGE;
    this.drawSkip();
    this.bucket = new TokenBucket(settings?.maxSpans ?? 0, this.shared.reactor);
  }

  /** An HTTP/1 request was received. */
  inHead(head: Head): void {
    this.reset();
    const { fields, kind, count } = head;
    for (let i = 0; i < count; i++) {
      const at = fields[i << 2];
      const length = fields[(i << 2) + 1] - at;
      if (length < 32 && ((LENGTHS >> length) & 1) === 1 && kind[i] === 0) this.note(this.nameAt(at, length), i);
    }
    if (!this.read(fields, null)) return;
    if (this.context.traceLength === 0) {
      if (count < kind.length) this.begin();
      if (this.sampled)
        head.append(this.lineAt, this.lineAt + TRACEPARENT.length, this.lineAt + LINE.length + TRACEPARENT_LENGTH);
      return;
    }
    const { spanAt, grandparentAt } = this.context;
    // Overwritten in place: all ids have the same length.
    const parent = this.indexOf(NAME.B3_PARENT_SPAN_ID);
    if (parent >= 0 && this.indexOf(NAME.TRACEPARENT) < 0 && this.indexOf(NAME.B3) < 0) {
      const at = fields[(parent << 2) + 2];
      if (fields[(parent << 2) + 3] - at === SPAN_ID_LENGTH) this.bytes.copyWithin(at, spanAt, spanAt + SPAN_ID_LENGTH);
    }
    if (grandparentAt >= 0) this.bytes.copyWithin(grandparentAt, spanAt, spanAt + SPAN_ID_LENGTH);
    this.put(this.spanId, spanAt);
  }

  /** An HTTP/2 request was received. */
  inList(list: FieldList): void {
    const any = speaks(list);
    this.sampled = false;
    // Most requests have no trace context and get no span.
    if (!any && this.skip > 1) this.skip--;
    else this.take(list, any);
  }

  private take(list: FieldList, any: boolean): void {
    this.reset();
    if (any) this.noteAll(list);
    if (!this.read(null, list)) return;
    if (this.context.traceLength === 0) {
      this.begin();
      list.append(NAME.TRACEPARENT, this.lineAt + LINE.length, TRACEPARENT_LENGTH);
      return;
    }
    this.rewrite(list);
  }

  private noteAll(list: FieldList): void {
    const { template, count } = list;
    for (let i = 0; i < count; i++) if (isTraceName(list.name[i])) this.note(list.name[i], i);
    // Fields of the template are numbered after the others.
    if (template !== null)
      for (let k = 0; k < template.count; k++)
        if (isTraceName(template.name[k])) this.note(template.name[k], count + k);
  }

  /** Draws which of the coming new traces gets a span, with the same distribution as drawing for each one. */
  private drawSkip(): void {
    const share = this.threshold / RANGE;
    if (share >= 1) this.skip = 1;
    else if (share <= 0) this.skip = MAX_SKIPPED;
    else {
      const chance = (this.ids.word() + 1) / (RANGE + 1);
      this.skip = Math.min(MAX_SKIPPED, 1 + Math.floor(Math.log(chance) / Math.log1p(-share)));
    }
  }

  private reset(): void {
    this.sampled = false;
    this.context.clear();
    if (this.any) this.found.fill(NONE);
    this.any = false;
  }

  private note(name: number, index: number): void {
    if (name === NAME.OTHER) return;
    this.any = true;
    const at = name - NAME.TRACEPARENT;
    this.found[at] = this.found[at] === NONE ? index : -2;
  }

  private indexOf(name: number): number {
    return this.any ? this.found[name - NAME.TRACEPARENT] : NONE;
  }

  /** Reads the trace context and decides whether to make a span. */
  private read(fields: Int32Array | null, list: FieldList | null): boolean {
    if (this.any && !this.understand(fields, list)) return false;
    const { context, bytes, ids } = this;
    const { decision, traceAt, traceLength } = context;
    if (decision === DECISION.NO) return false;
    if (decision === DECISION.NONE) {
      // By the first of the 64 bits that are random in every trace id, like OpenTelemetry's SDKs.
      if (traceLength > 0) {
        if (word(bytes, traceAt + traceLength - SPAN_ID_LENGTH) >= this.threshold) return false;
      } else if (this.threshold <= 0 || --this.skip > 0) return false;
      else {
        this.drawSkip();
        this.drawn = Math.floor((ids.word() / RANGE) * this.threshold);
      }
    } else if (traceLength === 0) this.drawn = ids.word();
    if (!this.bucket.admits()) {
      this.skipped++;
      this.onSkipped();
      return false;
    }
    this.sampled = true;
    this.spanId = ids.hex(SPAN_ID_LENGTH / 2);
    this.traceId = this.text(traceAt, traceLength).padStart(TRACE_ID_LENGTH, '0');
    this.parentId = traceLength === 0 ? '' : this.text(context.spanAt, SPAN_ID_LENGTH);
    return true;
  }

  /** Parses the first kind of fields present. False if it is malformed. */
  private understand(fields: Int32Array | null, list: FieldList | null): boolean {
    const { context, bytes } = this;
    const parent = this.indexOf(NAME.TRACEPARENT);
    if (parent !== NONE) {
      if (!this.look(parent, fields, list) || this.to - this.from > MAX_VALUE) return false;
      return context.readTraceparent(bytes, this.from, this.to);
    }
    const b3 = this.indexOf(NAME.B3);
    if (b3 !== NONE) return this.look(b3, fields, list) && context.readB3(bytes, this.from, this.to);
    const trace = this.indexOf(NAME.B3_TRACE_ID);
    const span = this.indexOf(NAME.B3_SPAN_ID);
    if (trace !== NONE || span !== NONE) {
      if (!this.look(trace, fields, list)) return false;
      const { from, to } = this;
      if (!this.look(span, fields, list) || !context.readIds(bytes, from, to, this.from, this.to)) return false;
    }
    if (this.look(this.indexOf(NAME.B3_SAMPLED), fields, list)) context.decide(bytes, this.from, this.to, false);
    if (this.look(this.indexOf(NAME.B3_FLAGS), fields, list)) context.decide(bytes, this.from, this.to, true);
    return true;
  }

  /** Locates the value of field `i`; false if there is none. */
  private look(i: number, fields: Int32Array | null, list: FieldList | null): boolean {
    if (i < 0) return false;
    if (fields !== null) {
      this.from = fields[(i << 2) + 2];
      this.to = fields[(i << 2) + 3];
    } else if (list !== null) {
      const { template, count } = list;
      const named = i < count || template === null ? list : template;
      const at = named === list ? i : i - count;
      this.from = named.valueAt[at];
      this.to = this.from + named.valueLength[at];
    }
    return true;
  }

  /** Begins a trace: writes its field line. */
  private begin(): void {
    const { ids, bytes } = this;
    this.traceId = `${ids.hex(8)}${this.drawn.toString(16).padStart(8, '0')}${ids.hex(4)}`;
    bytes.set(LINE, this.lineAt);
    const text = `00-${this.traceId}-${this.spanId}-01\r\n`;
    for (let i = 0; i < text.length; i++) bytes[this.lineAt + LINE.length + i] = text.charCodeAt(i);
  }

  /** Replaces the parent's id with the span's. */
  private rewrite(list: FieldList): void {
    const { context, bytes, idAt, valueAt } = this;
    const { spanAt, grandparentAt } = context;
    const name = this.indexOf(NAME.TRACEPARENT) >= 0 ? NAME.TRACEPARENT : NAME.B3;
    const single = this.indexOf(name) >= 0 ? list.find(name) : NONE;
    bytes.copyWithin(idAt + SPAN_ID_LENGTH, spanAt, spanAt + SPAN_ID_LENGTH);
    if (single >= 0) {
      const at = list.valueAt[single];
      const length = list.valueLength[single];
      bytes.copyWithin(valueAt, at, at + length);
      this.put(this.spanId, valueAt + spanAt - at);
      if (grandparentAt >= 0) this.put(this.parentId, valueAt + grandparentAt - at);
      list.replace(single, valueAt, length);
      return;
    }
    this.put(this.spanId, idAt);
    list.replace(list.find(NAME.B3_SPAN_ID), idAt, SPAN_ID_LENGTH);
    if (this.indexOf(NAME.B3_PARENT_SPAN_ID) >= 0)
      list.replace(list.find(NAME.B3_PARENT_SPAN_ID), idAt + SPAN_ID_LENGTH, SPAN_ID_LENGTH);
  }

  private put(text: string, at: number): void {
    for (let i = 0; i < text.length; i++) this.bytes[at + i] = text.charCodeAt(i);
  }

  private text(at: number, length: number): string {
    let text = '';
    for (let i = at; i < at + length; i++) text += String.fromCharCode(this.bytes[i]);
    return text;
  }

  /** NAME of an HTTP/1 field name, OTHER if it is not a trace field. */
  private nameAt(at: number, length: number): number {
    for (let i = 0; i < TEXTS.length; i++) if (TEXTS[i].length === length && this.is(at, TEXTS[i])) return NAMES[i];
    return NAME.OTHER;
  }

  private is(at: number, name: Uint8Array): boolean {
    // Backwards, because names of equal length start alike.
    for (let i = name.length - 1; i >= 0; i--) if ((this.bytes[at + i] | LOWER) !== (name[i] | LOWER)) return false;
    return true;
  }
}

/** By NAME: 1 for these. */
const OF_TRACES = new Uint8Array(256);
for (const name of NAMES) OF_TRACES[name] = 1;

const isTraceName = (name: number): boolean => OF_TRACES[name] === 1;

/** Whether a list contains such a name. */
function speaks({ template, count, name }: FieldList): boolean {
  let any = template === null ? 0 : template.traceNames === 0 ? 0 : speaksOfTraces(template) ? 1 : 0;
  for (let i = 0; i < count; i++) any |= OF_TRACES[name[i]];
  return any !== 0;
}

/** Whether a template contains such a name; determined once. */
function speaksOfTraces(template: Template): boolean {
  if (template.traceNames < 0) {
    template.traceNames = 0;
    for (let k = 0; k < template.count; k++) if (isTraceName(template.name[k])) template.traceNames = 1;
  }
  return template.traceNames === 1;
}
