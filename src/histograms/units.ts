// Units and buckets of recorded values, for code that does not need HdrHistogram's library.

/** A unit of time, or the name of what is counted, such as `streams`; empty: unknown. */
export type Unit = string;
/** How many of a time unit make a second. Other units are not listed. */
const PER_SECOND: Readonly<Record<string, number>> = { ns: 1e9, us: 1e6, ms: 1e3, s: 1 };
const NAMES: Readonly<Record<string, Unit>> = {
  nanoseconds: 'ns',
  microseconds: 'us',
  milliseconds: 'ms',
  seconds: 's',
};

/** `us` for `microseconds` and for `us`. Other texts stay as they are. */
export const unitNamed = (name: string): Unit => NAMES[name.toLowerCase()] ?? name;
export const unitName = (unit: Unit): string =>
  Object.entries(NAMES).find(([, short]) => short === unit)?.[0] ?? (unit === '' ? 'unknown' : unit);
export const isTime = (unit: Unit): boolean => unit in PER_SECOND;
/** One `unit` in seconds; 1 if it is not a time. */
export const secondsOf = (unit: Unit): number => 1 / (PER_SECOND[unit] ?? 1);
/** How many of a unit are shown as 1: times are shown in milliseconds. */
export const perShown = (unit: Unit): number => (isTime(unit) ? PER_SECOND[unit] / 1000 : 1);

/** A non-empty bucket, with its smallest and its largest value. */
export interface Bucket {
  readonly lowest: number;
  readonly highest: number;
  readonly count: number;
}
