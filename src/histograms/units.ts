// Units of recorded values, and buckets that hold them: what is known of histograms without HdrHistogram's library.

/** Of recorded values. What is no time is a number of something, such as `streams`; empty: nobody has said. */
export type Unit = string;
/** How many of a unit are a second; of those that are no time there is none. */
const PER_SECOND: Readonly<Record<string, number>> = { ns: 1e9, us: 1e6, ms: 1e3, s: 1 };
const NAMES: Readonly<Record<string, Unit>> = {
  nanoseconds: 'ns',
  microseconds: 'us',
  milliseconds: 'ms',
  seconds: 's',
};

/** `us` for `microseconds` and for `us`; what is no unit of time stays as it is. */
export const unitNamed = (name: string): Unit => NAMES[name.toLowerCase()] ?? name;
export const unitName = (unit: Unit): string =>
  Object.entries(NAMES).find(([, short]) => short === unit)?.[0] ?? (unit === '' ? 'unknown' : unit);
export const isTime = (unit: Unit): boolean => unit in PER_SECOND;
/** Seconds of one `unit`; 1 where it is no time. */
export const secondsOf = (unit: Unit): number => 1 / (PER_SECOND[unit] ?? 1);
/** How many of a unit people read as 1: a millisecond where it is a time. */
export const perShown = (unit: Unit): number => (isTime(unit) ? PER_SECOND[unit] / 1000 : 1);

/** A bucket in which something was recorded: from its smallest value to its largest. */
export interface Bucket {
  readonly lowest: number;
  readonly highest: number;
  readonly count: number;
}
