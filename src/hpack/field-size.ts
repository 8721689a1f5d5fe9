// The size of a field beyond its text.

/** Overhead of an entry or a field (RFC 7541 section 4.1, RFC 9113 section 6.5.2). */
export const OVERHEAD = 32;
/**
 * A field's encoding is at least this much shorter than its list size: it adds at most 11 bytes to name and value (a type byte, and two
 * lengths of up to five bytes).
 */
export const SPARE = OVERHEAD - 11;
