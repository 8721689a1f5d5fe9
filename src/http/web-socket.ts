// The opening handshake of WebSocket, which HTTP/1.1 has (RFC 6455 section 4) and HTTP/2 has not (RFC 8441 section 5). Between the two, the
// proxy must generate the key, or the answer to it. Cold: once per WebSocket.
import { ascii } from './octets.js';

/** Random bytes in a key. */
export const NONCE_LENGTH = 16;
/** Octets of a Sec-WebSocket-Key: the nonce in base64. */
export const KEY_LENGTH = 24;
/** Octets of a Sec-WebSocket-Accept: a SHA-1 in base64. */
export const ACCEPT_LENGTH = 28;

/** Loaded with the first WebSocket; a worker does not use it otherwise. */
export const nodeCrypto = (): typeof import('node:crypto') => process.getBuiltinModule('node:crypto');

const GUID = ascii('258EAFA5-E914-47DA-95CA-C5AB0DC85B11');

/** Writes the key for the 16 bytes at `nonceAt` as text at `at`. */
export function putKey(nonce: Uint8Array, nonceAt: number, out: Uint8Array, at: number): void {
  out.set(ascii(Buffer.from(nonce.subarray(nonceAt, nonceAt + NONCE_LENGTH)).toString('base64')), at);
}

/** Whether [start, end) is a key: base64 that decodes to 16 bytes (RFC 6455 section 4.2.1). */
export function validKey(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start !== KEY_LENGTH) return false;
  const text = Buffer.from(bytes.subarray(start, end)).toString('latin1');
  return /^[A-Za-z0-9+/]{22}==$/.test(text);
}

/** Writes the answer to the key at `keyAt` at `at` and returns the position after it (RFC 6455 section 4.2.2). */
export function putAccept(keys: Uint8Array, keyAt: number, out: Uint8Array, at: number): number {
  out.set(ascii(accept(keys, keyAt)), at);
  return at + ACCEPT_LENGTH;
}

/** Whether [start, end) is the answer to the key at `keyAt`. */
export function isAccept(keys: Uint8Array, keyAt: number, bytes: Uint8Array, start: number, end: number): boolean {
  return Buffer.from(bytes.subarray(start, end)).toString('latin1') === accept(keys, keyAt);
}

function accept(keys: Uint8Array, keyAt: number): string {
  const hash = nodeCrypto().createHash('sha1');
  hash.update(keys.subarray(keyAt, keyAt + KEY_LENGTH));
  hash.update(GUID);
  return hash.digest('base64');
}
