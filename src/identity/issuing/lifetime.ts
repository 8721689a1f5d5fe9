// Lifetimes of certificates: durations that may exceed the range of timers.

const UNITS_MS: Readonly<Record<string, number>> = { s: 1e3, m: 60e3, h: 3600e3, d: 86_400e3 };

/** Milliseconds of `24h`, `90d` and the like; null if invalid. */
export function parseLifetime(text: string): number | null {
  const match = /^(\d{1,6})([smhd])$/.exec(text);
  if (match === null || Number(match[1]) === 0) return null;
  return Number(match[1]) * UNITS_MS[match[2]];
}
