// Distinguishes an HTTP/2 server's first bytes from an HTTP/1 response. Its connection preface is a SETTINGS frame (RFC 9113 section 3.4);
// a server that did not understand us may begin with GOAWAY. No status line begins with a zero byte.
import { FRAME, FRAME_HEADER_BYTES } from './frame.js';

export const FIRST = {
  NO: 0,
  YES: 1,
  /** The bytes so far are the beginning of one. */
  MORE: 2,
} as const;

/** Bytes of the frame header: length below 256, type, no flags, no stream. -1: any. */
const PATTERN = [0, 0, -1, FRAME.SETTINGS, 0, 0, 0, 0, 0];
const TYPE_AT = 3;

/** Whether [at, end), not empty, is how an HTTP/2 server begins. Returns a FIRST. */
export function firstFrame(bytes: Uint8Array, at: number, end: number): number {
  const count = Math.min(end - at, FRAME_HEADER_BYTES);
  for (let i = 0; i < count; i++) {
    const octet = bytes[at + i];
    if (PATTERN[i] < 0 || octet === PATTERN[i]) continue;
    if (i !== TYPE_AT || octet !== FRAME.GOAWAY) return FIRST.NO;
  }
  return count === FRAME_HEADER_BYTES ? FIRST.YES : FIRST.MORE;
}
