// Reads the trace context of requests: W3C Trace Context (traceparent), and B3 in one field or in several
// (github.com/openzipkin/b3-propagation). Input is bytes, output is positions and numbers. Malformed fields are ignored.

const DASH = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const A = 0x61;
const F = 0x66;
const D = 0x64;
export const TRACE_ID_LENGTH = 32;
export const SPAN_ID_LENGTH = 16;
const HALF_ID_LENGTH = 16;
/** version "-" trace-id "-" parent-id "-" flags (section 3.2.2). */
export const TRACEPARENT_LENGTH = 55;
const TRACE_ID_AT = 3;
const PARENT_AT = 36;
const FLAGS_AT = 53;
const SAMPLED = 1;

/** The sampling decision for a trace. */
export const DECISION = { NONE: -1, NO: 0, YES: 1 } as const;

/** The context of the last request that was read. */
export class TraceContext {
  /** One of DECISION. */
  decision: number = DECISION.NONE;
  /** Positions in the text. A length of 0: there is none. */
  traceAt = 0;
  traceLength = 0;
  spanAt = 0;
  /** B3 in one field may name the parent's parent; -1 if it does not. */
  grandparentAt = -1;

  clear(): void {
    this.decision = DECISION.NONE;
    this.traceLength = 0;
    this.grandparentAt = -1;
  }

  /** False if the value is malformed; it is ignored then. */
  readTraceparent(bytes: Uint8Array, at: number, end: number): boolean {
    const length = end - at;
    if (length < TRACEPARENT_LENGTH || !isHex(bytes, at, 2) || (bytes[at] === F && bytes[at + 1] === F)) return false;
    // An unknown version may have more fields.
    if (length > TRACEPARENT_LENGTH && (isZero(bytes, at, 2) || bytes[at + TRACEPARENT_LENGTH] !== DASH)) return false;
    if (bytes[at + 2] !== DASH || bytes[at + PARENT_AT - 1] !== DASH || bytes[at + FLAGS_AT - 1] !== DASH) return false;
    if (!isId(bytes, at + TRACE_ID_AT, TRACE_ID_LENGTH) || !isId(bytes, at + PARENT_AT, SPAN_ID_LENGTH)) return false;
    if (!isHex(bytes, at + FLAGS_AT, 2)) return false;
    this.traceAt = at + TRACE_ID_AT;
    this.traceLength = TRACE_ID_LENGTH;
    this.spanAt = at + PARENT_AT;
    this.decision = (hex(bytes[at + FLAGS_AT + 1]) & SAMPLED) !== 0 ? DECISION.YES : DECISION.NO;
    return true;
  }

  /** `{trace}-{span}[-{decision}[-{parent}]]`, or a decision alone. */
  readB3(bytes: Uint8Array, at: number, end: number): boolean {
    if (end - at === 1) {
      const decision = b3Decision(bytes[at]);
      if (decision === DECISION.NONE) return false;
      this.decision = decision;
      return true;
    }
    let dash = at;
    while (dash < end && bytes[dash] !== DASH) dash++;
    if (!isTraceId(bytes, at, dash - at) || dash + 1 + SPAN_ID_LENGTH > end) return false;
    const span = dash + 1;
    if (!isId(bytes, span, SPAN_ID_LENGTH)) return false;
    let next = span + SPAN_ID_LENGTH;
    let decision: number = DECISION.NONE;
    let grandparent = -1;
    if (next < end) {
      if (bytes[next] !== DASH || next + 1 === end) return false;
      decision = b3Decision(bytes[next + 1]);
      if (decision === DECISION.NONE) return false;
      next += 2;
      if (next < end) {
        if (bytes[next] !== DASH || end - next !== 1 + SPAN_ID_LENGTH || !isHex(bytes, next + 1, SPAN_ID_LENGTH))
          return false;
        grandparent = next + 1;
      }
    }
    this.decision = decision;
    this.traceAt = at;
    this.traceLength = dash - at;
    this.spanAt = span;
    this.grandparentAt = grandparent;
    return true;
  }

  /** `x-b3-traceid` alone. */
  readTraceId(bytes: Uint8Array, at: number, end: number): void {
    if (!isTraceId(bytes, at, end - at)) return;
    this.traceAt = at;
    this.traceLength = end - at;
  }

  /** `x-b3-traceid` with `x-b3-spanid`. The decision is in separate fields: `decide`. */
  readIds(bytes: Uint8Array, traceAt: number, traceEnd: number, spanAt: number, spanEnd: number): boolean {
    if (!isTraceId(bytes, traceAt, traceEnd - traceAt)) return false;
    if (spanEnd - spanAt !== SPAN_ID_LENGTH || !isId(bytes, spanAt, SPAN_ID_LENGTH)) return false;
    this.traceAt = traceAt;
    this.traceLength = traceEnd - traceAt;
    this.spanAt = spanAt;
    return true;
  }

  /** `x-b3-sampled`, which some write as `true` and `false`, or `x-b3-flags`, where 1 means debug. */
  decide(bytes: Uint8Array, at: number, end: number, flags: boolean): void {
    if (flags) {
      if (end - at === 1 && bytes[at] === ZERO + 1) this.decision = DECISION.YES;
      return;
    }
    const first = bytes[at] | 0x20;
    if (end - at === 1) this.decision = b3Decision(bytes[at]);
    else if (end - at === 4 && first === 0x74) this.decision = DECISION.YES;
    else if (end - at === 5 && first === 0x66) this.decision = DECISION.NO;
  }
}

/** `d` means debug: always sampled. */
function b3Decision(octet: number): number {
  if (octet === ZERO) return DECISION.NO;
  return octet === ZERO + 1 || octet === D ? DECISION.YES : DECISION.NONE;
}

const isTraceId = (bytes: Uint8Array, at: number, length: number): boolean =>
  (length === TRACE_ID_LENGTH || length === HALF_ID_LENGTH) && isId(bytes, at, length);

/** Lower-case hexadecimal digits, not all 0. */
function isId(bytes: Uint8Array, at: number, length: number): boolean {
  return isHex(bytes, at, length) && !isZero(bytes, at, length);
}

function isHex(bytes: Uint8Array, at: number, length: number): boolean {
  for (let i = at; i < at + length; i++) if (hex(bytes[i]) < 0) return false;
  return true;
}

function isZero(bytes: Uint8Array, at: number, length: number): boolean {
  for (let i = at; i < at + length; i++) if (bytes[i] !== ZERO) return false;
  return true;
}

function hex(octet: number): number {
  if (octet >= ZERO && octet <= NINE) return octet - ZERO;
  return octet >= A && octet <= F ? octet - A + 10 : -1;
}

/** The value of 8 hexadecimal digits, for sampling by trace id. */
export function word(bytes: Uint8Array, at: number): number {
  let value = 0;
  for (let i = at; i < at + 8; i++) value = value * 16 + hex(bytes[i]);
  return value;
}
