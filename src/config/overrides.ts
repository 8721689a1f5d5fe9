// Values from outside the file, in increasing precedence: SLUICE_* variables, command line flags, and the mesh controller's rules.

import { schemaKeys } from './keys.js';
import type { KeyPath } from './problem.js';
import { nearest } from './suggest.js';

const PREFIX = 'SLUICE_';

export interface Override {
  readonly path: readonly string[];
  readonly value: unknown;
  /** The `file` in a problem. */
  readonly source: 'environment' | 'command line' | 'controller';
  /** The variable, the flag, or the controller's source. */
  readonly name: string;
}

/** `limits.http1.headerTimeout` as `SLUICE_LIMITS_HTTP1_HEADER_TIMEOUT`. */
export function variableName(path: readonly string[]): string {
  return `${PREFIX}${path.map((key) => key.replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase()).join('_')}`;
}

/** Variables by name, with the path each one sets: all scalars outside lists and maps of names. */
export function variables(): Map<string, readonly string[]> {
  const known = new Map<string, readonly string[]>();
  for (const { path, scalar } of schemaKeys()) {
    if (scalar && !path.includes('[]') && !path.includes('*')) known.set(variableName(path), path);
  }
  return known;
}

// Kubernetes describes every Service of the namespace in variables: a Service `sluice` or `sluice-web` must not cause errors.
const SERVICE_LINK =
  /^SLUICE_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)$/;

/** Numbers and booleans mean the same in a variable as in the file; everything else is text. */
function scalar(text: string): unknown {
  if (/^-?\d+(\.\d+)?$/.test(text)) return Number(text);
  if (text === 'true' || text === 'false') return text === 'true';
  return text;
}

export interface EnvironmentProblem {
  readonly name: string;
  readonly message: string;
}

/** Overrides in `env`, and the SLUICE_ variables that set nothing. Empty variables count as unset. */
export function readEnvironment(env: NodeJS.ProcessEnv): { overrides: Override[]; problems: EnvironmentProblem[] } {
  const known = variables();
  const overrides: Override[] = [];
  const problems: EnvironmentProblem[] = [];
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith(PREFIX) || text === undefined || text === '') continue;
    const path = known.get(name);
    if (path !== undefined) overrides.push({ path, value: scalar(text.trim()), source: 'environment', name });
    else if (!SERVICE_LINK.test(name)) {
      problems.push({ name, message: `unknown variable; ${suggestVariable(name, [...known.keys()])}` });
    }
  }
  return { overrides, problems };
}

function suggestVariable(name: string, known: readonly string[]): string {
  // The common prefix would make everything look similar.
  const bare = known.map((variable) => variable.slice(PREFIX.length));
  const near = nearest(name.slice(PREFIX.length), bare);
  return near !== undefined
    ? `did you mean ${PREFIX}${near}?`
    : 'unset it (SLUICE_ variables are keys of the file, such as SLUICE_LOG_LEVEL for log.level)';
}

const isTree = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The tree with the value at `path`; an invalid value in the way is kept, so that it gets reported. */
function withValue(tree: unknown, path: KeyPath, value: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  // `admin: off` is valid: setting its address turns it on.
  const isSwitch = tree === null || tree === undefined || tree === 'off' || tree === false;
  if (!isSwitch && !isTree(tree)) return tree;
  const map = isTree(tree) ? tree : {};
  return { ...map, [key]: withValue(map[key], rest, value) };
}

/** Later overrides win. */
export function applyOverrides(tree: unknown, overrides: readonly Override[]): unknown {
  return overrides.reduce((result, { path, value }) => withValue(result, path, value), tree);
}
