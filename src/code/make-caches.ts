// Runs once per installation: starts a proxy on a loopback port, which rehearses and stops, and saves what V8 has compiled of its scripts
// (cached-script.ts). Where this is impossible, proxies start without it.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadReader } from '../config/load-in-thread.js';
import type { Config } from '../config/model.js';
import { createLogger } from '../log/logger.js';
import { Engine } from '../supervisor/engine.js';

const WORKER_FILE = fileURLToPath(new URL('../../workers/caching.cjs', import.meta.url));
const TEXT = `workers: 1
log: { level: error }
admin: { listen: "127.0.0.1:0" }
listeners:
  - { name: caching, listen: "127.0.0.1:0", service: caching }
services:
  caching: { endpoints: ["127.0.0.1:9"] }
`;

/** Before a worker sets V8's flags: V8 only accepts code compiled with the same flags. */
function readAndSave(): Config {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-'));
  try {
    const file = join(directory, 'sluice.yaml');
    writeFileSync(file, TEXT);
    const reader = loadReader();
    const read = reader.exports.read({ file, env: {}, flags: [], content: null });
    if ('problems' in read) throw new Error(read.problems.map(({ message }) => message).join('; '));
    reader.save();
    return read.config;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** An installation does not fail for want of this, whatever was wrong. */
function failed(error: unknown): never {
  const reason = error instanceof Error ? error.message : String(error);
  console.error(`sluice: proxies will take longer to start, as their code could not be compiled in advance: ${reason}`);
  process.exit();
}

// Of a worker as well: its errors come outside of any call.
process.on('uncaughtException', failed).on('unhandledRejection', failed);
try {
  const engine = await Engine.start(readAndSave(), createLogger({ level: 'error' }), WORKER_FILE);
  await engine.drain({ holdMs: 0 });
} catch (error) {
  failed(error);
}
process.exit();
