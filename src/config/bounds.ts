// Pairs of a lowest and a highest value.

/** Where the file sets one of a pair of bounds beyond the other's default, the default gives way; `written` tells which. */
export function bounds(low: number, high: number, written: unknown, lowKey: string): { low: number; high: number } {
  if (low <= high) return { low, high };
  const lowIsWritten = typeof written === 'object' && written !== null && lowKey in written;
  return lowIsWritten ? { low, high: low } : { low: high, high };
}
