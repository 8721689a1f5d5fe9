// How long certificates are good for: spans of time that may be longer than timers know.

const UNITS_MS: Readonly<Record<string, number>> = { s: 1e3, m: 60e3, h: 3600e3, d: 86_400e3 };

/** Milliseconds of `24h`, `90d` and the like; null where the text is none. */
export function parseLifetime(text: string): number | null {
  const match = /^(\d{1,6})([smhd])$/.exec(text);
  if (match === null || Number(match[1]) === 0) return null;
  return Number(match[1]) * UNITS_MS[match[2]];
}
