// Makes text from strangers safe for a terminal: no control character reaches it. Also formats colours, sizes and times.

/** Control characters, direction marks, invisible characters, and code points that are not characters. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;

/** Escapes everything that is not printable text, and cuts it after `maxLength` characters. */
export function escapeForTerminal(text: string, maxLength = Number.POSITIVE_INFINITY): string {
  const safe = text.replace(UNSAFE, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
  if (safe.length <= maxLength) return safe;
  const whole = [...safe];
  return whole.length <= maxLength ? safe : `${whole.slice(0, Math.max(0, maxLength - 1)).join('')}…`;
}

/** Whether the output may have colours (no-color.org). */
export const supportsColour = (stream: { readonly isTTY?: boolean }): boolean =>
  stream.isTTY === true && (process.env.NO_COLOR ?? '') === '' && process.env.TERM !== 'dumb';

const CODES = { red: 31, green: 32, yellow: 33, cyan: 36, dim: 2, bold: 1 } as const;

/** `text` in a colour, if colours are on. */
export const paint = (text: string, colour: keyof typeof CODES, on: boolean): string =>
  on ? `\u001b[${CODES[colour]}m${text}\u001b[0m` : text;

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** A number of bytes, with about three digits. */
export function formatBytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 1 : 0)}${UNITS[unit]}`;
}

/** A time in ms, with about three digits. */
export function formatDuration(ms: number): string {
  if (ms < 1) return `${Math.round(ms * 1000)}µs`;
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(2) : ms < 100 ? ms.toFixed(1) : Math.round(ms)}ms`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)}s` : `${Math.round(ms / 60_000)}m`;
}
