// What a field counts for beside its text.

/** Overhead of an entry or a field (RFC 7541 section 4.1, RFC 9113 section 6.5.2). */
export const OVERHEAD = 32;
/**
 * What a field's encoding is shorter than its size in a list, at least: at most 11 octets come on top of name and value
 * (a type octet, two lengths of at most five octets each).
 */
export const SPARE = OVERHEAD - 11;
