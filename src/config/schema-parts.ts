// Building blocks of the schema: single values, maps with known keys, and messages for anything else.
import * as v from 'valibot';
import { suggest } from './suggest.js';
import type { DurationRange } from './values.js';
import { describe, parseBoolean, parseChoice, parseDuration, parseInteger, parseSize, ValueError } from './values.js';

/** Maximum of TCP_KEEPIDLE and TCP_KEEPINTVL (the kernel's MAX_TCP_KEEPIDLE). */
const MAX_KEEP_ALIVE = '32767s';

/** A single value, read by one of the parsers in values.ts. */
export function value<T>(parse: (input: unknown) => T) {
  return v.pipe(
    v.unknown(),
    v.rawTransform<unknown, T>(({ dataset, addIssue, NEVER }) => {
      try {
        return parse(dataset.value);
      } catch (error) {
        if (!(error instanceof ValueError)) throw error;
        addIssue({ message: error.message });
        return NEVER;
      }
    }),
  );
}

export const duration = (range: DurationRange) => value((input) => parseDuration(input, range));
/** A timeout: whole milliseconds, at least one. */
export const timeout = () => duration({ in: 'ms', step: 1, min: '1ms' });
/** A timeout that 0 turns off. */
export const optionalTimeout = () => duration({ in: 'ms', step: 1, min: '1ms', orZero: true });
export const keepAlive = () => duration({ in: 'ms', step: 1000, min: '1s', max: MAX_KEEP_ALIVE, orZero: true });
export const integer = (min: number, max: number) => value((input) => parseInteger(input, min, max));
export const size = (min: number, max: number) => value((input) => parseSize(input, min, max));
export const choice = <const T extends string>(...choices: readonly T[]) =>
  value((input) => parseChoice(input, choices));
export const boolean = () => value(parseBoolean);

export const found = (what: string) => (issue: v.BaseIssue<unknown>) => `found ${describe(issue.input)}; write ${what}`;

/** Valibot accepts a list as an object. */
export const map = (what: string) =>
  v.custom<Record<string, unknown>>(
    (input) => typeof input === 'object' && input !== null && !Array.isArray(input),
    found(what),
  );

/** A map with only these keys. (A strict object would stop at its first unknown key.) */
export function section<const E extends v.ObjectEntries>(entries: E) {
  const known = Object.keys(entries);
  return v.pipe(
    map(`a map with the keys ${known.join(', ')}`),
    v.looseObject(entries, 'is missing; add it'),
    v.rawCheck(({ dataset, addIssue }) => {
      const input = dataset.value as Record<string, unknown>;
      for (const [key, value] of Object.entries(input)) {
        if (known.includes(key)) continue;
        const message = `unknown key; ${suggest(key, known)}`;
        addIssue({ message, path: [{ type: 'object', origin: 'key', input, key, value }] });
      }
    }),
    v.transform((tree) => tree as v.InferOutput<v.ObjectSchema<E, undefined>>),
  );
}

/** A section that may be left out, or empty. */
export const optionalSection = <const E extends v.ObjectEntries>(entries: E) =>
  v.nullish(section(entries), {} as never);
