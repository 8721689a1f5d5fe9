// Strings of JSON from bytes that strangers have sent: always valid, bounded, and harmless to a terminal.

const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;
/** What JSON allows unescaped, and terminals or tools that split lines take for more than text. */
const RISKY = /[\x7f-\x9f\u2028\u2029\ufeff]/g;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** Stands where a text was cut off. */
const ELLIPSIS = '…';

const codeOf = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** One character, or a pair of surrogates, as it stands in a string of JSON. */
function escaped(character: string): string {
  return JSON.stringify(character).slice(1, -1).replace(RISKY, codeOf);
}

/** As a string of JSON with at most `most` bytes between its quotes, and an ellipsis where there was more. */
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

/** The bytes as `quoted` has a text: read as UTF-8 where they are that, else each as the character of its number. */
export function quotedBytes(bytes: Uint8Array, start: number, end: number, most: number): string {
  // A byte makes one character at least where it is not a part of another: what lies behind so many can't show.
  const cut = Math.min(end, start + 4 * most);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, cut - start).toString('latin1');
  if (PLAIN.test(text)) return quoted(text, most);
  try {
    return quoted(utf8.decode(bytes.slice(start, lastWhole(bytes, start, cut, end))), most);
  } catch {
    return quoted(text, most);
  }
}

/** Where the last whole character of UTF-8 ends that begins before `cut`. */
function lastWhole(bytes: Uint8Array, start: number, cut: number, end: number): number {
  let at = cut;
  if (cut < end) while (at > start && at > cut - 4 && (bytes[at] & 0xc0) === 0x80) at--;
  return at;
}
