// Names of identities, and the patterns that rules have for them.

/** Whether `name`, of a verified certificate, is one that `pattern` stands for. An empty name is nobody's. */
export function matchesIdentity(pattern: string, name: string): boolean {
  if (name === '') return false;
  if (pattern === '*') return true;
  const isUri = name.includes('://');
  if (pattern.includes('://')) {
    // Trust domains have no case, but are written in lower case (SPIFFE ID, section 2.1); paths have one.
    if (pattern.endsWith('/*')) return name.length > pattern.length - 1 && name.startsWith(pattern.slice(0, -1));
    return name === pattern;
  }
  if (isUri) return false;
  const lower = name.toLowerCase();
  if (pattern.startsWith('*.')) return lower.length > pattern.length - 1 && lower.endsWith(pattern.slice(1));
  return lower === pattern;
}
