// Axes: positions of values, ticks, and their labels.

export interface Scale {
  /** The position of a value. Values beyond an end are placed at that end. */
  at(value: number): number;
  readonly ticks: readonly number[];
}

/** A linear axis from 0, with about five ticks. */
export function linear(largest: number, from: number, to: number): Scale {
  const top = largest > 0 && Number.isFinite(largest) ? largest : 1;
  const rough = top / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((candidate) => candidate >= rough) ?? rough;
  const count = Math.ceil(top / step - 1e-9);
  const end = count * step;
  return {
    at: (value) => from + (clamp(value, 0, end) / end) * (to - from),
    ticks: Array.from({ length: count + 1 }, (_, index) => index * step),
  };
}

/** A logarithmic axis over whole decades. If there are few decades, each has ticks at 1, 2 and 5. */
export function logarithmic(smallest: number, largest: number, from: number, to: number): Scale {
  const low = Math.max(smallest, 1e-3);
  const first = Math.floor(Math.log10(low));
  const last = Math.max(first + 1, Math.ceil(Math.log10(Math.max(largest, low)) - 1e-9));
  const digits = last - first <= 3 ? [1, 2, 5] : [1];
  const ticks: number[] = [];
  for (let power = first; power <= last; power++)
    for (const digit of digits) if (power < last || digit === 1) ticks.push(digit * 10 ** power);
  return {
    at: (value) => from + ((Math.log10(clamp(value, 10 ** first, 10 ** last)) - first) / (last - first)) * (to - from),
    ticks,
  };
}

const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value));

const digits3 = (value: number): string =>
  value >= 100 ? value.toFixed(0) : value >= 10 ? trimmed(value.toFixed(1)) : trimmed(value.toFixed(2));
const trimmed = (text: string): string => (text.includes('.') ? text.replace(/\.?0+$/, '') : text);

/** Formats a time in µs: `85 µs`, `1.25 ms`, `3 s`. */
export function time(us: number): string {
  if (!Number.isFinite(us)) return '–';
  if (us < 1000) return `${digits3(us)} µs`;
  return us < 1_000_000 ? `${digits3(us / 1000)} ms` : `${digits3(us / 1_000_000)} s`;
}

/** Formats a count: `950`, `12.5k`, `3M`. */
export function count(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (value < 1000) return digits3(value);
  return value < 1_000_000 ? `${digits3(value / 1000)}k` : `${digits3(value / 1_000_000)}M`;
}

/** Formats memory: `30 MiB`, `16 GiB`. */
export function memory(octets: number): string {
  if (!Number.isFinite(octets)) return '–';
  const mebibytes = octets / 1024 / 1024;
  return mebibytes < 1024 ? `${digits3(mebibytes)} MiB` : `${digits3(mebibytes / 1024)} GiB`;
}

/** Formats a quantile as a percentile: `50`, `99.9`. */
export const percentileName = (quantile: number): string => trimmed((quantile * 100).toFixed(6));
