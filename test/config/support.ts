import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { loadConfig } from '../../src/config/load.js';
import type { Config } from '../../src/config/model.js';
import type { Override } from '../../src/config/overrides.js';
import type { Problem } from '../../src/config/problem.js';
import { ConfigError } from '../../src/config/problem.js';

let directory: string | undefined;
after(() => {
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
});

/** A directory that goes away with the test file. */
export function scratch(): string {
  directory ??= mkdtempSync(join(tmpdir(), 'sluice-config-'));
  return directory;
}

export function write(text: string | Uint8Array, name = 'sluice.yaml'): string {
  const file = join(scratch(), name);
  writeFileSync(file, text);
  return file;
}

export const load = (text: string, env: NodeJS.ProcessEnv = {}, flags: readonly Override[] = []): Config =>
  loadConfig(write(text), env, flags);

/** The rest of a file whose other part is being tested. */
export const SERVICES = 'services: { web: { endpoints: ["127.0.0.1:9001"] } }\n';
export const LISTENERS = 'listeners: [{ name: edge, listen: "127.0.0.1:8080", service: web }]\n';

/** A valid file with `text` before the listeners and services. */
export const withBasics = (text: string): string => `${text}\n${LISTENERS}${SERVICES}`;

export function problemsOf(work: () => unknown): readonly Problem[] {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems;
  }
  return [];
}

/** Problems as `line:column path: message`. */
export const complaints = (text: string, env: NodeJS.ProcessEnv = {}): string[] =>
  problemsOf(() => load(text, env)).map(({ line, column, path, message }) => `${line}:${column} ${path}: ${message}`);

/** The one problem of a text, as `path: message`. */
export function complaint(text: string, env: NodeJS.ProcessEnv = {}): string {
  const problems = problemsOf(() => load(text, env));
  assert.equal(problems.length, 1, JSON.stringify(problems, null, 2));
  return `${problems[0].path}: ${problems[0].message}`;
}
