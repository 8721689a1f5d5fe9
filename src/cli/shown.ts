// What strangers have sent, on a terminal: no character of it does anything but stand there.

/** Control characters, those that change the direction of what follows, those that nobody sees, and those that are none. */
const RISKY = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;

/** With escapes for what is not text, and cut behind `most` characters. */
export function shown(text: string, most = Number.POSITIVE_INFINITY): string {
  const safe = text.replace(RISKY, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
  if (safe.length <= most) return safe;
  const whole = [...safe];
  return whole.length <= most ? safe : `${whole.slice(0, Math.max(0, most - 1)).join('')}…`;
}

/** Whether what is printed may have colours (no-color.org). */
export const coloured = (stream: { readonly isTTY?: boolean }): boolean =>
  stream.isTTY === true && (process.env.NO_COLOR ?? '') === '' && process.env.TERM !== 'dumb';

const CODES = { red: 31, green: 32, yellow: 33, cyan: 36, dim: 2, bold: 1 } as const;

/** `text` in a colour, where there are any. */
export const paint = (text: string, colour: keyof typeof CODES, on: boolean): string =>
  on ? `\u001b[${CODES[colour]}m${text}\u001b[0m` : text;

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** Octets, in three digits. */
export function octets(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 1 : 0)}${UNITS[unit]}`;
}

/** A time in ms, in three digits. */
export function span(ms: number): string {
  if (ms < 1) return `${Math.round(ms * 1000)}µs`;
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(2) : ms < 100 ? ms.toFixed(1) : Math.round(ms)}ms`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)}s` : `${Math.round(ms / 60_000)}m`;
}
