// Content types that determine how long a body may be silent.
import { ascii, equals, HT, SP } from './octets.js';

/** Server-sent events, which may be far apart (WHATWG HTML, section 9.2). */
export const EVENT_STREAM = ascii('text/event-stream');
const SEMICOLON = 0x3b;

/** text/event-stream, with or without parameters. */
export function isEventStream(bytes: Uint8Array, at: number, end: number): boolean {
  const after = at + EVENT_STREAM.length;
  if (after > end || !equals(bytes, at, after, EVENT_STREAM)) return false;
  if (after === end) return true;
  const next = bytes[after];
  return next === SEMICOLON || next === SP || next === HT;
}
