// Formats numbers for people.

export const count = (value: number): string => Math.round(value).toLocaleString('en');

export function rate(value: number): string {
  if (value === 0) return '0';
  return value >= 100 ? count(value) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** A number beside an axis: no digits that say nothing. */
export const round = (value: number): string => (value >= 1000 ? count(value) : String(Number(value.toPrecision(3))));

export const percent = (share: number | null, digits = 2): string =>
  share === null ? '–' : `${(share * 100).toFixed(digits)} %`;

export function ms(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–';
  return value >= 100 ? count(value) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export function bytes(value: number): string {
  const units = ['B', 'kB', 'MB', 'GB'];
  let shown = value;
  let unit = 0;
  while (shown >= 1000 && unit < units.length - 1) {
    shown /= 1000;
    unit++;
  }
  return `${unit === 0 ? shown.toFixed(0) : shown.toFixed(1)} ${units[unit]}`;
}

export const clock = (at: number): string => new Date(at).toLocaleTimeString('en-GB');
