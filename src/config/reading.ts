// Reads a configuration for somebody who keeps nothing but what it says: what is thrown is told as data, as the module that this is part of
// may be another one each time.
import { loadConfig } from './load.js';
import type { Config } from './model.js';
import type { Override } from './overrides.js';
import { ConfigError, type Problem } from './problem.js';

/** What is read. */
export interface Reading {
  readonly file: string;
  readonly env: NodeJS.ProcessEnv;
  readonly flags: readonly Override[];
}

/** What it says. */
export type Read = { readonly config: Config } | { readonly problems: readonly Problem[] };

export function read({ file, env, flags }: Reading): Read {
  try {
    return { config: loadConfig(file, env, flags) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { problems: error.problems };
  }
}
