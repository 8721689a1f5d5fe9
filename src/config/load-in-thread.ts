// Reads a file so that only the Config stays in memory. The reader is about 230 KB of code with a YAML parser, which a proxy needs once,
// and again for reloads. So it is loaded as a module that can be dropped, and compiled again when needed (30 ms). A large file is read in a
// separate thread: the text of thousands of services takes 80 MB as a syntax tree, and a heap that has grown to that size does not shrink;
// the thread's heap ends with the thread.

import { once } from 'node:events';
import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type CachedScript, runWithCache } from '../code/cached-script.js';
import { leaveRemovedDirectory } from '../code/removed-directory.js';
import { native } from '../io/native.js';
import type { Config } from './model.js';
import type { Override } from './overrides.js';
import { ConfigError } from './problem.js';
import type { Read, Reading } from './reading.js';
import { readPipe } from './text-file.js';

const THREAD = new URL('../../workers/config.cjs', import.meta.url);
/** `reading.ts` and its imports in one file, made by bundle.mjs. */
const READER = fileURLToPath(new URL('../config/reading.cjs', import.meta.url));
/** From this size on. For smaller files, the thread costs more time than the tree costs memory. */
const LARGE_BYTES = 128 * 1024;

/** 0 if it can't be determined: reading the file reports why. */
function sizeOf(file: string): number {
  try {
    return statSync(file).size;
  } catch {
    return 0;
  }
}

/** A reader without lasting references: imported or required modules would stay forever. */
export const loadReader = (): CachedScript<typeof import('./reading.js')> => runWithCache(READER, native());

async function readInThread(reading: Reading): Promise<Read> {
  leaveRemovedDirectory();
  const thread = new Worker(THREAD, { workerData: reading });
  // Rejects if the thread fails in another way, for example out of memory.
  const [read] = (await once(thread, 'message')) as [Read];
  await thread.terminate();
  return read;
}

/** Like `loadConfig`, without leftovers in memory. */
export async function loadConfigInThread(
  file: string,
  env: NodeJS.ProcessEnv,
  flags: readonly Override[] = [],
): Promise<Config> {
  const content = await readPipe(file);
  const reading: Reading = { file, env: { ...env }, flags, content };
  const read =
    (content?.length ?? sizeOf(file)) < LARGE_BYTES ? loadReader().exports.read(reading) : await readInThread(reading);
  if ('problems' in read) throw new ConfigError(read.problems);
  return read.config;
}
