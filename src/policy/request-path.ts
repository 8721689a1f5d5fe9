// Request paths in rules: compared byte by byte. A path that an application may read as a different one is called ambiguous, and no rule
// takes it at face value. Some servers decode `%2e` and `%2f`, resolve `..`, merge slashes, treat `\` as a slash, or drop what follows `;`,
// and do this before or after they check whose path it is.

const SLASH = 0x2f;
const DOT = 0x2e;
const BACKSLASH = 0x5c;
const SEMICOLON = 0x3b;
const QUESTION = 0x3f;
const PERCENT = 0x25;
const DELETE = 0x7f;
const LOWER = 0x20;

/** ASCII bytes that must be encoded in a path, and that every server takes for themselves. */
const HARMLESS = new Uint8Array(128);
for (const octet of Buffer.from(' "<>[]^`{|}', 'latin1')) HARMLESS[octet] = 1;

/** End of the path in a target [start, end): the start of its query. */
export function pathEnd(bytes: Uint8Array, start: number, end: number): number {
  let p = start;
  while (p < end && bytes[p] !== QUESTION) p++;
  return p;
}

/** Whether the path [start, end) may be read as a different one. */
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
  // Letters, digits, dots and slashes need no encoding; an encoded percent sign may be decoded twice.
  if (octet < 0x80) return HARMLESS[octet] === 0;
  // Overlong UTF-8: lenient decoders turn it into ASCII (RFC 3629 section 10).
  if (octet === 0xc0 || octet === 0xc1 || octet > 0xf4) return true;
  if (octet === 0xe0) return decoded(bytes, at + 3, end) < 0xa0;
  return octet === 0xf0 && decoded(bytes, at + 3, end) < 0x90;
}

/** The byte encoded by `%XX` at `at`, -1 if that is invalid. */
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
  // Backwards, because paths differ at the end.
  for (let i = length - 1; i >= 0; i--) if (bytes[start + i] !== path[i]) return false;
  return end - start === length || (!exact && bytes[start + length] === SLASH);
}

/** The same for rules that deny: ignores case and a trailing slash. `lower` is in lower case. */
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
