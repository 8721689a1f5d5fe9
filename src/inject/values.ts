// Values of annotations, in the notation of Linkerd and Kubernetes.

import { AUTHORIZATION_DEFAULTS } from '../config/authorization-model.js';
import { loadConfig } from '../config/load.js';
import { variables } from '../config/overrides.js';
import { ConfigError } from '../config/problem.js';
import { suggest } from '../config/suggest.js';
import { NO_FILE } from '../config/text-file.js';
import { isMap, type PlainMap } from './plain.js';

/** A value, or the problem with its text. */
export type Read<T> = { readonly value: T } | { readonly problem: string };

const quoted = (text: string): string => JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);

/** Like Go's ParseBool, which Linkerd uses. */
export function parseBoolean(text: string): Read<boolean> {
  if (['1', 't', 'T', 'true', 'True', 'TRUE'].includes(text)) return { value: true };
  if (['0', 'f', 'F', 'false', 'False', 'FALSE'].includes(text)) return { value: false };
  return { problem: `${quoted(text)} is neither true nor false` };
}

/** `enabled` or `disabled`; booleans work too. */
export function parseOnOff(text: string): Read<boolean> {
  if (text === 'enabled') return { value: true };
  if (text === 'disabled') return { value: false };
  const read = parseBoolean(text);
  return 'value' in read ? read : { problem: `${quoted(text)} is neither enabled nor disabled` };
}

export function parseOneOf<T extends string>(text: string, words: readonly T[]): Read<T> {
  const word = words.find((known) => known === text);
  return word === undefined ? { problem: `${quoted(text)} is not known; ${suggest(text, words)}` } : { value: word };
}

export const policy = (text: string): Read<string> => parseOneOf(text, AUTHORIZATION_DEFAULTS);
export const pullPolicy = (text: string): Read<string> => parseOneOf(text, ['Always', 'IfNotPresent', 'Never']);

export function parseInteger(text: string, least: number, most: number): Read<number> {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  return value >= least && value <= most
    ? { value }
    : { problem: `${quoted(text)} is not a whole number from ${least} to ${most}` };
}

const SUFFIXES: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** A Kubernetes quantity, `100m` or `64Mi`, as a number; NaN if invalid. */
export function quantityOf(text: string): number {
  const match = /^\+?(\d+(?:\.\d*)?|\.\d+)(?:[eE]([+-]?\d{1,2})|([numkMGTPE]|[KMGTPE]i)?)$/.exec(text);
  if (match === null) return Number.NaN;
  const [, digits, exponent, suffix = ''] = match;
  return Number(digits) * (exponent === undefined ? SUFFIXES[suffix] : 10 ** Number(exponent));
}

/** `least`: minimum; 0 if that is valid, too. */
export function parseQuantity(text: string, example: string, least: 0 | null = null): Read<string> {
  const value = quantityOf(text);
  return value > 0 || value === least
    ? { value: text }
    : { problem: `${quoted(text)} is not a quantity such as ${example}` };
}

const UNITS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ns: 1e-6,
};
/** Both signs for micro, as in Go. */
const PART = /(\d+(?:\.\d*)?|\.\d+)(h|ms|m|s|us|µs|μs|ns)/g;
/** Maximum of our timers, 596 hours. */
const MAX_MS = 2 ** 31 - 1;

/** Milliseconds of a duration in Go's notation: `90s`, `1m30s`. */
export function parseDuration(text: string): Read<number> {
  const parseInteger = new RegExp(`^(?:${PART.source})+$`).test(text);
  let value = 0;
  if (parseInteger) for (const [, number, unit] of text.matchAll(PART)) value += Number(number) * UNITS[unit];
  value = Math.round(value);
  if (!parseInteger) return { problem: `${quoted(text)} is not a duration such as 500ms, 90s or 1m30s` };
  return value >= 1 && value <= MAX_MS ? { value } : { problem: `${quoted(text)} is not from 1ms to 596h` };
}

/** A duration as the configuration has them. */
export const durationText = (ms: number): string => (ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`);

/** Names of variables, as accepted by the API server. */
const VARIABLE = /^[-._a-zA-Z][-._a-zA-Z0-9]*$/;

const SIDECAR = { path: ['sidecar', 'enabled'], value: true, source: 'command line', name: '--sidecar' } as const;

/** The problem with a single configuration key; conflicts with other keys are found elsewhere. */
function keyProblem(name: string, value: string): string | null {
  if (!variables().has(name)) return `is not a configuration key; ${suggest(name, [...variables().keys()])}`;
  try {
    loadConfig(NO_FILE, { [name]: value }, [SIDECAR]);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.find(({ path }) => path === name)?.message ?? null;
  }
  return null;
}

/** One variable of `proxy-additional-env`, or what is wrong with it. */
function variable(item: unknown): Read<PlainMap> {
  const text = quoted(JSON.stringify(item) ?? '');
  if (!isMap(item) || typeof item.name !== 'string' || !VARIABLE.test(item.name))
    return { problem: `${text} is not a variable; write {"name": "…", "value": "…"}` };
  const { name, value, valueFrom, ...more } = item;
  const [unknown] = Object.keys(more);
  if (unknown !== undefined) return { problem: `${text} has ${quoted(unknown)}, which variables do not have` };
  if (value !== undefined && valueFrom !== undefined) return { problem: `${text} has both value and valueFrom` };
  if (value !== undefined && typeof value !== 'string') return { problem: `${text}: put the value in quotes` };
  if (valueFrom !== undefined && !isMap(valueFrom)) return { problem: `${text}: valueFrom is not a map` };
  // A proxy does not start with an invalid configuration variable: useful for people, but not for a pod.
  const problem = name.startsWith('SLUICE_') ? keyProblem(name, typeof value === 'string' ? value : '') : null;
  if (problem !== null) return { problem: `${quoted(name)} ${problem}` };
  return { value: item };
}

/** The list in `proxy-additional-env`: the usable part, and the problems of the rest. */
export function additionalVariables(text: string): {
  variables: PlainMap[];
  problems: { entry: string; message: string }[];
} {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    list = undefined;
  }
  if (!Array.isArray(list))
    return {
      variables: [],
      problems: [{ entry: text, message: 'is not a JSON list such as [{"name": "A", "value": "b"}]' }],
    };
  const found: PlainMap[] = [];
  const problems: { entry: string; message: string }[] = [];
  for (const item of list as unknown[]) {
    const read = variable(item);
    if ('value' in read && found.some(({ name }) => name === read.value.name))
      problems.push({
        entry: String(read.value.name),
        message: `${quoted(String(read.value.name))} is there twice; the last one counts`,
      });
    if ('value' in read) found.push(read.value);
    else problems.push({ entry: JSON.stringify(item) ?? '', message: read.problem });
  }
  return { variables: found, problems };
}
