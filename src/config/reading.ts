// Reads a configuration for a caller that keeps only the result. Errors are returned as data, because this module may be a different
// instance each time.
import { loadConfig } from './load.js';
import type { Config } from './model.js';
import type { Override } from './overrides.js';
import { ConfigError, type Problem } from './problem.js';

/** What to read. */
export interface Reading {
  readonly file: string;
  readonly env: NodeJS.ProcessEnv;
  readonly flags: readonly Override[];
  /** What the file holds, if that has been read already. */
  readonly content: Uint8Array | null;
}

/** The result. */
export type Read = { readonly config: Config } | { readonly problems: readonly Problem[] };

export function read({ file, env, flags, content }: Reading): Read {
  try {
    return { config: loadConfig(file, env, flags, content) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { problems: error.problems };
  }
}
