// Reads a large file in a thread of its own. The text of thousands of services takes 80 MB as a syntax tree, which a heap that has
// once grown to it does not give back; the thread's heap goes with the thread, and only the Config is left.

import { once } from 'node:events';
import { statSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { loadConfig } from './load.js';
import type { Config } from './model.js';
import type { Override } from './overrides.js';
import type { Problem } from './problem.js';
import { ConfigError } from './problem.js';

const READER = new URL('../../workers/config.js', import.meta.url);
/** From this size on. Below, the thread costs more time than the tree costs memory. */
const LARGE_BYTES = 128 * 1024;

/** What the thread is given. */
export interface Reading {
  readonly file: string;
  readonly env: NodeJS.ProcessEnv;
  readonly flags: readonly Override[];
}

/** What it says. */
export type Read = { readonly config: Config } | { readonly problems: readonly Problem[] };

/** 0 where it can't be looked at: reading it says why. */
function sizeOf(file: string): number {
  try {
    return statSync(file).size;
  } catch {
    return 0;
  }
}

/** As `loadConfig`, without what a large file leaves behind in memory. */
export async function loadConfigApart(
  file: string,
  env: NodeJS.ProcessEnv,
  flags: readonly Override[] = [],
): Promise<Config> {
  if (sizeOf(file) < LARGE_BYTES) return loadConfig(file, env, flags);
  const reading: Reading = { file, env: { ...env }, flags };
  const thread = new Worker(READER, { workerData: reading });
  // Rejects if the thread fails otherwise, as when its memory is not enough.
  const [read] = (await once(thread, 'message')) as [Read];
  await thread.terminate();
  if ('problems' in read) throw new ConfigError(read.problems);
  return read.config;
}
