// Identity names, and patterns for them in rules.

/** Whether `name`, from a verified certificate, matches `pattern`. An empty name matches nothing. */
export function matchesIdentity(pattern: string, name: string): boolean {
  if (name === '') return false;
  if (pattern === '*') return true;
  const isUri = name.includes('://');
  if (pattern.includes('://')) {
    // Trust domains are case-insensitive, but written in lower case (SPIFFE ID, section 2.1); paths are case-sensitive.
    if (pattern.endsWith('/*')) return name.length > pattern.length - 1 && name.startsWith(pattern.slice(0, -1));
    return name === pattern;
  }
  if (isUri) return false;
  const lower = name.toLowerCase();
  if (pattern.startsWith('*.')) return lower.length > pattern.length - 1 && lower.endsWith(pattern.slice(1));
  return lower === pattern;
}
