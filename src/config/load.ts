// loadConfig: takes file, environment and flags, and returns the Config or all problems.
import { resolve } from 'node:path';
import * as v from 'valibot';
import { buildConfig } from './build.js';
import { crossChecks } from './checks.js';
import { type Place, readYaml } from './document.js';
import { schemaFindings } from './finding.js';
import type { Config } from './model.js';
import type { Override } from './overrides.js';
import { applyOverrides, readEnvironment } from './overrides.js';
import type { KeyPath, Problem } from './problem.js';
import { ConfigError, formatPath } from './problem.js';
import { withReservedKeys } from './reserved-keys.js';
import { configSchema } from './schema.js';
import { expandSidecar, speaksIpv6 } from './sidecar.js';
import { readText } from './text-file.js';

const startsWith = (path: KeyPath, start: KeyPath): boolean => start.every((part, index) => path[index] === part);

/** A valid configuration, and the places of its keys. */
export interface LoadedConfig {
  readonly config: Config;
  /** The tree as in the file. */
  readonly tree: unknown;
  locate(path: KeyPath): Place;
}

/**
 * Reads `file`, applies the SLUICE_ variables of `env` and then `flags` (overrides from the command line). Throws a ConfigError with all
 * problems, in the order of the file. `content`: what has been read of the file already.
 */
export function loadConfig(
  file: string,
  env: NodeJS.ProcessEnv,
  flags: readonly Override[] = [],
  content: Uint8Array | null = null,
): Config {
  return readConfig(file, env, flags, content).config;
}

/** The same, for callers that check more. */
export function readConfig(
  file: string,
  env: NodeJS.ProcessEnv,
  flags: readonly Override[] = [],
  content: Uint8Array | null = null,
): LoadedConfig {
  const text = readYaml(readText(file, content));
  const problems: Problem[] = text.problems.map((problem) => ({ file, ...problem }));
  const environment = readEnvironment(env);
  for (const { name, message } of environment.problems) {
    problems.push({ file: 'environment', line: 0, column: 0, path: name, message });
  }
  if (!text.readable) throw new ConfigError(problems);
  const { overrides: fromEnvironment } = environment;
  const overrides = [...fromEnvironment, ...flags];
  const sidecar = overrides.some(({ path, value: on }) => path.join('.') === 'sidecar.enabled' && on === true);
  if (text.value === null && !sidecar) {
    const message = 'is empty; it needs at least listeners and services (see docs/configuration.md)';
    throw new ConfigError([...problems, { file, line: 1, column: 1, path: '', message }]);
  }

  const tree = expandSidecar(applyOverrides(text.value ?? {}, overrides), speaksIpv6());
  const result = v.safeParse(configSchema, tree);
  const findings = [
    ...schemaFindings(result.issues ?? []),
    ...crossChecks(tree, (path) => text.locate(path, 'value').line),
  ];
  const found: Problem[] = withReservedKeys(tree, findings).map(({ path, message, at }) => {
    const origin = overrides.findLast((override) => startsWith(path, override.path));
    if (origin !== undefined) return { file: origin.source, line: 0, column: 0, path: origin.name, message };
    return { file, ...text.locate(path, at), path: formatPath(path), message };
  });
  problems.push(...found);
  if (!result.success || problems.length > 0) {
    throw new ConfigError(problems.sort((a, b) => a.line - b.line || a.column - b.column));
  }
  return {
    config: buildConfig(resolve(file), result.output, tree),
    tree,
    locate: (path) => text.locate(path, 'value'),
  };
}
