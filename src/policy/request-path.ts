// Paths of requests as rules compare them: octet for octet. A path that applications may read as another one is called ambiguous, and
// no rule takes it for the path that it looks like: there are servers that decode `%2e` and `%2f`, resolve `..`, join slashes, take `\`
// for one, or leave out what stands behind `;`, each before or after they have looked whose path it is.

const SLASH = 0x2f;
const DOT = 0x2e;
const BACKSLASH = 0x5c;
const SEMICOLON = 0x3b;
const QUESTION = 0x3f;
const PERCENT = 0x25;
const DELETE = 0x7f;
const LOWER = 0x20;

/** ASCII octets that have to be encoded in a path, and that no server takes for anything but themselves. */
const HARMLESS = new Uint8Array(128);
for (const octet of Buffer.from(' "<>[]^`{|}', 'latin1')) HARMLESS[octet] = 1;

/** End of the path of a target [start, end): where its query begins. */
export function pathEnd(bytes: Uint8Array, start: number, end: number): number {
  let p = start;
  while (p < end && bytes[p] !== QUESTION) p++;
  return p;
}

/** Whether the path [start, end) may be read as another one. */
export function isAmbiguous(bytes: Uint8Array, start: number, end: number): boolean {
  let p = start;
  while (p < end) {
    const octet = bytes[p];
    if (octet === SLASH) {
      if (p + 1 < end && (bytes[p + 1] === SLASH || isDots(bytes, p + 1, end))) return true;
    } else if (octet === PERCENT) {
      if (isAmbiguousCode(bytes, p, end)) return true;
      p += 2;
    } else if (octet === BACKSLASH || octet === SEMICOLON || octet <= LOWER || octet >= DELETE) return true;
    p++;
  }
  return false;
}

/** Whether the segment at `at` is `.` or `..`. */
function isDots(bytes: Uint8Array, at: number, end: number): boolean {
  if (bytes[at] !== DOT) return false;
  const next = at + 1 < end && bytes[at + 1] === DOT ? at + 2 : at + 1;
  return next === end || bytes[next] === SLASH;
}

function isAmbiguousCode(bytes: Uint8Array, at: number, end: number): boolean {
  const octet = decoded(bytes, at, end);
  if (octet < 0) return true;
  // Letters, digits, dots and slashes need no code; a percent sign that is encoded may be decoded twice.
  if (octet < 0x80) return HARMLESS[octet] === 0;
  // UTF-8 that is longer than need be: lenient decoders make ASCII of it (RFC 3629 section 10).
  if (octet === 0xc0 || octet === 0xc1 || octet > 0xf4) return true;
  if (octet === 0xe0) return decoded(bytes, at + 3, end) < 0xa0;
  return octet === 0xf0 && decoded(bytes, at + 3, end) < 0x90;
}

/** The octet that `%XX` at `at` stands for, -1 where it is none. */
function decoded(bytes: Uint8Array, at: number, end: number): number {
  if (at + 3 > end || bytes[at] !== PERCENT) return -1;
  const high = hexDigit(bytes[at + 1]);
  const low = hexDigit(bytes[at + 2]);
  return high < 0 || low < 0 ? -1 : (high << 4) | low;
}

function hexDigit(octet: number): number {
  if (octet >= 0x30 && octet <= 0x39) return octet - 0x30;
  const letter = octet | LOWER;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** A letter in lower case. */
export const folded = (octet: number): number => (octet >= 0x41 && octet <= 0x5a ? octet | LOWER : octet);

/** Whether [start, end) is the path `path`, or, unless `exact`, one below it. */
export function matchesPath(bytes: Uint8Array, start: number, end: number, path: Uint8Array, exact: boolean): boolean {
  const { length } = path;
  if (end - start < length) return false;
  // From behind, as paths differ there.
  for (let i = length - 1; i >= 0; i--) if (bytes[start + i] !== path[i]) return false;
  return end - start === length || (!exact && bytes[start + length] === SLASH);
}

/** The same for what is forbidden: letters have no case, and a slash at the end makes no difference. `lower` is in lower case. */
export function resemblesPath(
  bytes: Uint8Array,
  start: number,
  end: number,
  lower: Uint8Array,
  exact: boolean,
): boolean {
  const { length } = lower;
  if (end - start < length) return false;
  for (let i = length - 1; i >= 0; i--) {
    if (folded(bytes[start + i]) !== lower[i]) return false;
  }
  const rest = end - start - length;
  return rest === 0 || (bytes[start + length] === SLASH && (!exact || rest === 1));
}
