// The thread that reads a large configuration file; see src/config/load-apart.ts.
import { parentPort, workerData } from 'node:worker_threads';
import { loadConfig } from '../src/config/load.js';
import type { Read, Reading } from '../src/config/load-apart.js';
import { ConfigError } from '../src/config/problem.js';

function read({ file, env, flags }: Reading): Read {
  try {
    return { config: loadConfig(file, env, flags) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { problems: error.problems };
  }
}

parentPort?.postMessage(read(workerData as Reading));
