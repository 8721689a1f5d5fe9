// Reads a file so that only the Config is left of it in memory. The reader is some 230 KB of code with a parser of YAML, which a proxy needs
// once, and then when it is told to read again: it is loaded as a module that can be forgotten, and compiled anew then (30 ms). A large
// file is read in a thread of its own: the text of thousands of services takes 80 MB as a syntax tree, which a heap that has once grown
// to it does not give back; the thread's heap goes with the thread.

import { once } from 'node:events';
import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type CachedScript, runCached } from '../code/cached-script.js';
import { native } from '../io/native.js';
import type { Config } from './model.js';
import type { Override } from './overrides.js';
import { ConfigError } from './problem.js';
import type { Read, Reading } from './reading.js';

const THREAD = new URL('../../workers/config.cjs', import.meta.url);
/** `reading.ts` and all that it needs in one file, as bundle.mjs makes it. */
const READER = fileURLToPath(new URL('../config/reading.cjs', import.meta.url));
/** From this size on. Below, the thread costs more time than the tree costs memory. */
const LARGE_BYTES = 128 * 1024;

/** 0 where it can't be looked at: reading it says why. */
function sizeOf(file: string): number {
  try {
    return statSync(file).size;
  } catch {
    return 0;
  }
}

/** A reader that nobody refers to afterwards: modules that are imported or required stay for good. */
export const loadReader = (): CachedScript<typeof import('./reading.js')> => runCached(READER, native());

async function readThere(reading: Reading): Promise<Read> {
  const thread = new Worker(THREAD, { workerData: reading });
  // Rejects if the thread fails otherwise, as when its memory is not enough.
  const [read] = (await once(thread, 'message')) as [Read];
  await thread.terminate();
  return read;
}

/** As `loadConfig`, without what it leaves behind in memory. */
export async function loadConfigApart(
  file: string,
  env: NodeJS.ProcessEnv,
  flags: readonly Override[] = [],
): Promise<Config> {
  const reading: Reading = { file, env: { ...env }, flags };
  const read = sizeOf(file) < LARGE_BYTES ? loadReader().exports.read(reading) : await readThere(reading);
  if ('problems' in read) throw new ConfigError(read.problems);
  return read.config;
}
