// JSON strings from bytes sent by strangers: always valid, bounded, and harmless to a terminal.

const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;
/** Characters that JSON allows unescaped, but that terminals or line-splitting tools interpret. */
const RISKY = /[\x7f-\x9f\u2028\u2029\ufeff]/g;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** Marks truncated text. */
const ELLIPSIS = '…';

const codeOf = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** A character, or a surrogate pair, as in a JSON string. */
function escaped(character: string): string {
  return JSON.stringify(character).slice(1, -1).replace(RISKY, codeOf);
}

/** A JSON string with at most `most` bytes between its quotes, with an ellipsis if truncated. */
export function quoted(text: string, most: number): string {
  if (text.length <= most && PLAIN.test(text)) return `"${text}"`;
  let result = '';
  let size = 0;
  for (const character of text) {
    const piece = escaped(character);
    size += Buffer.byteLength(piece);
    if (size > most) return `"${result}${ELLIPSIS}"`;
    result += piece;
  }
  return `"${result}"`;
}

/** Like `quoted` for bytes: decoded as UTF-8 if valid, else each byte as the character with its number. */
export function quotedBytes(bytes: Uint8Array, start: number, end: number, most: number): string {
  // A byte is a character, or part of one: later bytes cannot show.
  const cut = Math.min(end, start + 4 * most);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, cut - start).toString('latin1');
  if (PLAIN.test(text)) return quoted(text, most);
  try {
    return quoted(utf8.decode(bytes.slice(start, lastWhole(bytes, start, cut, end))), most);
  } catch {
    return quoted(text, most);
  }
}

/** End of the last whole UTF-8 character that begins before `cut`. */
function lastWhole(bytes: Uint8Array, start: number, cut: number, end: number): number {
  let at = cut;
  if (cut < end) while (at > start && at > cut - 4 && (bytes[at] & 0xc0) === 0x80) at--;
  return at;
}
