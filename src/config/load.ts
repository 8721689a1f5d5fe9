// loadConfig: file, environment and flags in, the Config or every problem out.
import { closeSync, openSync, readSync, statSync } from 'node:fs';
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
import { configSchema } from './schema.js';
import { expandSidecar, speaksIpv6 } from './sidecar.js';
import { formatSize } from './values.js';

const UNREADABLE: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file; check the path given with -c',
  EACCES: 'may not be read by this user; give it read permission',
  EPERM: 'may not be read by this user; give it read permission',
  EISDIR: 'is a directory; name the file in it',
  ENOTDIR: 'lies below something that is no directory; check the path given with -c',
};

/** Where flags and variables say all there is to say. */
export const NO_FILE = '-';

/** Of a configuration; one with 5,000 services has 400 KB. A device would go on for ever. */
const MAX_BYTES = 64 * 2 ** 20;
const CHUNK_BYTES = 256 * 1024;

function failAt(file: string, message: string): never {
  throw new ConfigError([{ file, line: 0, column: 0, path: '', message }]);
}

/** A pipe is read once, as what the shell makes of `<(command)`; to open one that nobody writes to would block for ever. Throws a ConfigError. */
export function refuseToReadAgain(file: string): void {
  const stats = statSync(file, { throwIfNoEntry: false });
  if (stats === undefined || stats.isFile() || stats.isDirectory()) return;
  failAt(file, 'is a device, a pipe or a socket, which may not be read a second time; restart, or use a regular file');
}

/** All of it, up to a little more than is taken. */
function readBytes(file: string): Uint8Array {
  const fd = openSync(file, 'r');
  try {
    const chunks: Uint8Array[] = [];
    let length = 0;
    while (length <= MAX_BYTES) {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      const read = readSync(fd, chunk);
      if (read === 0) break;
      chunks.push(chunk.subarray(0, read));
      length += read;
    }
    return Buffer.concat(chunks);
  } finally {
    closeSync(fd);
  }
}

/** Of `-`, where there is no file, nothing. */
function readText(file: string): string {
  if (file === NO_FILE) return '';
  const fail = (message: string): never => failAt(file, message);
  let bytes: Uint8Array;
  try {
    bytes = readBytes(file);
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    return fail(UNREADABLE[code] ?? `cannot be read: ${message}; check the path given with -c`);
  }
  if (bytes.length > MAX_BYTES)
    fail(`has more than ${formatSize(MAX_BYTES)}, which no configuration has; check the path given with -c`);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return fail('is not UTF-8 text; save it as UTF-8');
  }
}

const startsWith = (path: KeyPath, start: KeyPath): boolean => start.every((part, index) => path[index] === part);

/** A configuration that is right, and where its keys stand. */
export interface LoadedConfig {
  readonly config: Config;
  /** The tree as the file has it. */
  readonly tree: unknown;
  locate(path: KeyPath): Place;
}

/**
 * Reads `file`, applies the SLUICE_ variables of `env` and then `flags` (the command line's own overrides).
 * Throws a ConfigError with all problems, in the order of the file.
 */
export function loadConfig(file: string, env: NodeJS.ProcessEnv, flags: readonly Override[] = []): Config {
  return readConfig(file, env, flags).config;
}

/** The same, for those who have more to say about the file. */
export function readConfig(file: string, env: NodeJS.ProcessEnv, flags: readonly Override[] = []): LoadedConfig {
  const text = readYaml(readText(file));
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
  const found: Problem[] = [
    ...schemaFindings(result.issues ?? []),
    ...crossChecks(tree, (path) => text.locate(path, 'value').line),
  ].map(({ path, message, at }) => {
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
