// A flat trie of the registered HTTP methods, so that a position in it fits into the matcher's state.

/** The IANA HTTP Method Registry (https://www.iana.org/assignments/http-methods), without `*`. */
export const REGISTERED_METHODS = [
  'ACL',
  'BASELINE-CONTROL',
  'BIND',
  'CHECKIN',
  'CHECKOUT',
  'CONNECT',
  'COPY',
  'DELETE',
  'GET',
  'HEAD',
  'LABEL',
  'LINK',
  'LOCK',
  'MERGE',
  'MKACTIVITY',
  'MKCALENDAR',
  'MKCOL',
  'MKREDIRECTREF',
  'MKWORKSPACE',
  'MOVE',
  'OPTIONS',
  'ORDERPATCH',
  'PATCH',
  'POST',
  'PRI',
  'PROPFIND',
  'PROPPATCH',
  'PUT',
  'QUERY',
  'REBIND',
  'REPORT',
  'SEARCH',
  'TRACE',
  'UNBIND',
  'UNCHECKOUT',
  'UNLINK',
  'UNLOCK',
  'UPDATE',
  'UPDATEREDIRECTREF',
  'VERSION-CONTROL',
] as const;

/** Bytes of the longest of them. */
export const LONGEST_METHOD = REGISTERED_METHODS.reduce((longest, { length }) => Math.max(longest, length), 0);

/** Node of a prefix that no registered method has. */
export const DEAD = 0;
export const ROOT = 1;

const FIRST = 0x2d; // '-', the lowest byte in any registered method
const WIDTH = 0x5a - FIRST + 1; // up to 'Z'
const MAX_NODES = 512;

const next = new Uint16Array(MAX_NODES * WIDTH);
const complete = new Uint8Array(MAX_NODES);
let nodes = ROOT + 1;
for (const method of REGISTERED_METHODS) {
  let node = ROOT;
  for (const letter of method) {
    const at = node * WIDTH + letter.charCodeAt(0) - FIRST;
    if (next[at] === DEAD) next[at] = nodes++;
    node = next[at];
  }
  complete[node] = 1;
}

/** The node reached from `node` by `byte`; DEAD if no registered method continues like that. Below 512. */
export function advance(node: number, byte: number): number {
  const column = byte - FIRST;
  return column >= 0 && column < WIDTH ? next[node * WIDTH + column] : DEAD;
}

/** 1 if `node` is the end of a registered method, else 0. */
export function isRegistered(node: number): number {
  return complete[node];
}
