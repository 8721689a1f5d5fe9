// Rates and times in human notation.
import { describe, parseDuration, ValueError } from '../config/values.js';
import type { RateStep } from './schedule.js';

const FACTORS: Readonly<Record<string, number>> = { '': 1, k: 1e3, K: 1e3, M: 1e6 };
const MAX_RATE = 1e8;
const DAY_SECONDS = 86_400;

/** A rate such as `20k` or `1.5M`, per second. Throws a ValueError. */
export function parseRate(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([kKM]?)(?:\/s)?$/.exec(text);
  if (match === null)
    throw new ValueError(`${describe(text)} is not a rate; write requests a second, such as 500, 20k or 1.5M`);
  const rate = Number(match[1]) * FACTORS[match[2]];
  if (!(rate > 0)) throw new ValueError(`${text} is not a rate: nothing would ever be sent`);
  if (rate > MAX_RATE) throw new ValueError(`${text} is too high; write at most 100M`);
  return rate;
}

/** A time such as `30s` or `2m`, in seconds. Throws a ValueError. */
export function parseSeconds(text: string, min: string, orZero = false): number {
  return parseDuration(text, { in: 'ms', step: 0, min, max: `${DAY_SECONDS}s`, orZero }) / 1000;
}

/** `1k:10s,2k:10s`. Throws a ValueError. */
export function parseSteps(text: string): RateStep[] {
  return text.split(',').map((step) => {
    const [rate, time, ...more] = step.split(':');
    if (time === undefined || more.length > 0)
      throw new ValueError(`${describe(step)} is not a step; write RATE:TIME, such as 10k:30s`);
    return { rate: parseRate(rate), seconds: parseSeconds(time, '100ms') };
  });
}

/** Integers with thousands separators. */
export const formatCount = (count: number): string => Math.round(count).toLocaleString('en-US');

/** A rate with as many digits as are meaningful. */
export const formatRate = (rate: number): string => `${rate >= 100 ? formatCount(rate) : rate.toPrecision(3)}/s`;

/** A time given in µs. */
export function formatTime(us: number): string {
  if (us < 1000) return `${us < 10 ? us.toFixed(1) : Math.round(us)} µs`;
  if (us < 1e6) return `${(us / 1e3).toPrecision(3)} ms`;
  return `${us < 1e9 ? (us / 1e6).toPrecision(3) : Math.round(us / 1e6)} s`;
}

/** Bytes in decimal units, as usual for networks. */
export function formatBytes(bytes: number): string {
  for (const [unit, size] of [
    ['GB', 1e9],
    ['MB', 1e6],
    ['kB', 1e3],
  ] as const)
    if (bytes >= size) return `${(bytes / size).toPrecision(3)} ${unit}`;
  return `${Math.round(bytes)} B`;
}

/** Seconds as `1:05`, or `42 s`. */
export function formatClock(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds));
  if (whole < 60) return `${whole} s`;
  const two = (value: number): string => String(value).padStart(2, '0');
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${two(whole % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
}
