// Runs a script with code that V8 compiled earlier, so that its functions need not be parsed or compiled at startup. The code is in a file
// next to the script (make-caches.ts), one for each version of Node.js. Any problem with that file is treated as if it did not exist; the
// start then takes 0.03 s longer. V8 itself checks only its version, its flags and lengths, and a damaged file would crash the process. So
// the script and the code have checksums.
import { closeSync, constants, fstatSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { Script } from 'node:vm';
import type { Native } from '../io/native.js';

/** Start of the file, followed by the checksums of the script and of the rest, so that the rest is aligned as V8 needs it. */
const MAGIC = 'sluice-1';
const HEAD_BYTES = 16;
/** V8 makes about 1 MiB of code for the largest script. */
const MAX_BYTES = 64 * 2 ** 20;

type Checksum = Pick<Native, 'checksum'>;

export interface CachedScript<Exports> {
  readonly exports: Exports;
  /** Whether V8 accepted the earlier code. */
  readonly cached: boolean;
  /** Saves what V8 has compiled so far. */
  save(): void;
}

/** Path of the code for the script `file`. */
export const cacheOf = (file: string): string =>
  `${file.replace(/\.cjs$/, '')}-${process.version}-${process.arch}.cache`;

/** The content of a regular file of a plausible size. Opening a FIFO would wait for a writer, and a device may have no end. */
function readRegular(file: string): Buffer | undefined {
  const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const stats = fstatSync(fd);
    return stats.isFile() && stats.size <= MAX_BYTES ? readFileSync(fd) : undefined;
  } finally {
    closeSync(fd);
  }
}

function readCache(file: string, script: Uint8Array, native: Checksum): Buffer | undefined {
  let all: Buffer | undefined;
  try {
    all = readRegular(cacheOf(file));
  } catch {
    return undefined;
  }
  if (all === undefined || all.length < HEAD_BYTES || all.toString('latin1', 0, MAGIC.length) !== MAGIC)
    return undefined;
  const code = all.subarray(HEAD_BYTES);
  const sums = [all.readUInt32LE(MAGIC.length), all.readUInt32LE(MAGIC.length + 4)];
  return sums[0] === native.checksum(script) && sums[1] === native.checksum(code) ? code : undefined;
}

/** Other processes see either the old file or the new one. */
function writeCache(file: string, script: Uint8Array, code: Uint8Array, native: Checksum): void {
  const head = Buffer.alloc(HEAD_BYTES);
  head.write(MAGIC, 'latin1');
  head.writeUInt32LE(native.checksum(script), MAGIC.length);
  head.writeUInt32LE(native.checksum(code), MAGIC.length + 4);
  const next = `${cacheOf(file)}.${process.pid}`;
  writeFileSync(next, Buffer.concat([head, code]));
  renameSync(next, cacheOf(file));
}

/** Runs the CommonJS module `file`, plain ASCII, without keeping references to it. */
export function runWithCache<Exports>(file: string, native: Checksum): CachedScript<Exports> {
  const text = readFileSync(file);
  const cachedData = readCache(file, text, native);
  const source = `(function(exports,require,module,moduleUrl){"use strict";${text.toString('latin1')}\n})`;
  const script = new Script(source, { filename: file, ...(cachedData === undefined ? {} : { cachedData }) });
  const module = { exports: {} as Exports };
  script.runInThisContext()(module.exports, createRequire(file), module, pathToFileURL(file).href);
  return {
    exports: module.exports,
    cached: cachedData !== undefined && script.cachedDataRejected === false,
    save: () => writeCache(file, text, script.createCachedData(), native),
  };
}
