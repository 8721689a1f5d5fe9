// Names of header fields in which mesh proxies inform each other and the application: they begin with `l5d-`, as in Linkerd.

const L = 0x6c;
const FIVE = 0x35;
const D = 0x64;
const HYPHEN = 0x2d;
const UNDERSCORE = 0x5f;
const LOWER = 0x20;

/**
 * Whether a name is one of these, in any case. Underscores count as hyphens, because gateways that turn names into variables can't tell
 * them apart.
 */
export function isMeshName(bytes: Uint8Array, at: number, length: number): boolean {
  return (
    length >= 4 &&
    (bytes[at] | LOWER) === L &&
    bytes[at + 1] === FIVE &&
    (bytes[at + 2] | LOWER) === D &&
    (bytes[at + 3] === HYPHEN || bytes[at + 3] === UNDERSCORE)
  );
}
