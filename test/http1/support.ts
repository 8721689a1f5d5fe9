// Messages as text in, what the codec made of them as plain values out.

import { MESSAGE_ERROR, UPSTREAM } from '../../src/http1/errors.js';
import { Head, type HeadLimits } from '../../src/http1/head.js';
import { parseRequest, parseResponse } from '../../src/http1/head-parser.js';

export const LIMITS: HeadLimits = { maxHeaderBytes: 16384, maxHeaders: 64, maxTargetBytes: 4096 };
/** Where messages are placed: nothing may depend on positions being small. */
export const AT = 1000;

export const latin1 = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));
export const text = (bytes: Uint8Array, start: number, end: number): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');

/** A slab with `message` at AT, room behind it, and octets around it that would change the reading of it. */
export function slab(message: string | Uint8Array, fill = 0x0a, size = 1 << 16): Uint8Array {
  const bytes = new Uint8Array(size).fill(fill);
  bytes.set(typeof message === 'string' ? latin1(message) : message, AT);
  return bytes;
}

/** `bytes` in a guise that throws where anything outside [start, end) is read. */
export function guarded(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return new Proxy(bytes, {
    get(target, key) {
      if (typeof key === 'string' && /^\d+$/.test(key)) {
        const index = Number(key);
        if (index < start || index >= end) throw new RangeError(`read of ${index} outside [${start}, ${end})`);
        return target[index];
      }
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
    set: (target, key, value) => Reflect.set(target, key, value, target),
  });
}

export interface Parsed {
  readonly result: number;
  readonly head: Head;
  readonly bytes: Uint8Array;
}

export function request(message: string, limits = LIMITS): Parsed {
  const bytes = slab(message);
  const head = new Head(64);
  return { result: parseRequest(bytes, AT, AT + message.length, head, limits), head, bytes };
}

export function response(message: string, method = 1, limits = LIMITS): Parsed {
  const bytes = slab(message);
  const head = new Head(64);
  return { result: parseResponse(bytes, AT, AT + message.length, head, method, limits), head, bytes };
}

export const value = ({ bytes }: Parsed, start: number, end: number): string | null =>
  start < 0 ? null : text(bytes, start, end);

/** All fields, or only those that are forwarded, as [name, value]. */
export function fields({ bytes, head }: Parsed, forwardedOnly = false): [string, string][] {
  const list: [string, string][] = [];
  for (let i = 0; i < head.count; i++) {
    if (forwardedOnly && head.kind[i] !== 0) continue;
    const [nameStart, nameEnd, valueStart, valueEnd] = head.fields.subarray(4 * i, 4 * i + 4);
    list.push([text(bytes, nameStart, nameEnd), text(bytes, valueStart, valueEnd)]);
  }
  return list;
}

const NAMES = new Map<number, string>(Object.entries(MESSAGE_ERROR).map(([name, code]) => [code, name]));

/** A result in words: `ok`, `MORE`, an ERROR's name, with `upstream` where it is a response's. */
export function outcome(result: number): string {
  if (result > 0) return 'ok';
  if (result === 0) return 'MORE';
  const code = -result;
  return code > UPSTREAM ? `upstream ${NAMES.get(code - UPSTREAM)}` : `${NAMES.get(code)}`;
}
