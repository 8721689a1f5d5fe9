// A script with what V8 has made of it: its functions need neither be read nor compiled at the start. That lies in a file beside the script
// (make-caches.ts), for one version of Node.js each. Whatever is wrong with the file, it is as if there were none: the start takes 0.03 s
// more. V8 itself looks at its own version, at the flags it runs with and at lengths, and at nothing else: a damaged file would end the
// process. So what the file was made of, and what is in it, have checksums.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { Script } from 'node:vm';
import type { Native } from '../io/native.js';

/** Begins the file: then the checksums of the script and of what follows, so that this is where V8 wants it in memory. */
const MAGIC = 'sluice-1';
const HEAD_BYTES = 16;

type Checksum = Pick<Native, 'checksum'>;

export interface CachedScript<Exports> {
  readonly exports: Exports;
  /** Whether V8 took what it had made before. */
  readonly cached: boolean;
  /** Writes down what V8 has made of it so far. */
  save(): void;
}

/** Where it lies for the script `file`. */
export const cacheOf = (file: string): string =>
  `${file.replace(/\.cjs$/, '')}-${process.version}-${process.arch}.cache`;

function readCache(file: string, script: Uint8Array, native: Checksum): Buffer | undefined {
  let all: Buffer;
  try {
    all = readFileSync(cacheOf(file));
  } catch {
    return undefined;
  }
  if (all.length < HEAD_BYTES || all.toString('latin1', 0, MAGIC.length) !== MAGIC) return undefined;
  const code = all.subarray(HEAD_BYTES);
  const sums = [all.readUInt32LE(MAGIC.length), all.readUInt32LE(MAGIC.length + 4)];
  return sums[0] === native.checksum(script) && sums[1] === native.checksum(code) ? code : undefined;
}

/** Other processes see the old file or the new one. */
function writeCache(file: string, script: Uint8Array, code: Uint8Array, native: Checksum): void {
  const head = Buffer.alloc(HEAD_BYTES);
  head.write(MAGIC, 'latin1');
  head.writeUInt32LE(native.checksum(script), MAGIC.length);
  head.writeUInt32LE(native.checksum(code), MAGIC.length + 4);
  const next = `${cacheOf(file)}.${process.pid}`;
  writeFileSync(next, Buffer.concat([head, code]));
  renameSync(next, cacheOf(file));
}

/** Runs the CommonJS module `file`, plain ASCII, which is kept nowhere. */
export function runCached<Exports>(file: string, native: Checksum): CachedScript<Exports> {
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
