// Pairs of a minimum and a maximum.

/** If the file sets one of a pair beyond the other's default, the default gives way; `written` tells which one is explicit. */
export function bounds(low: number, high: number, written: unknown, lowKey: string): { low: number; high: number } {
  if (low <= high) return { low, high };
  const lowIsWritten = typeof written === 'object' && written !== null && lowKey in written;
  return lowIsWritten ? { low, high: low } : { low: high, high };
}
