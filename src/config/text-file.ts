// Reads the text of a configuration file, or says why it can't be read.
import { closeSync, constants, openSync, readSync, statSync } from 'node:fs';
import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConfigError } from './problem.js';

const UNREADABLE: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file; check the path given with -c',
  EACCES: 'may not be read by this user; give it read permission',
  EPERM: 'may not be read by this user; give it read permission',
  EISDIR: 'is a directory; name the file in it',
  ENOTDIR: 'is inside something that is not a directory; check the path given with -c',
};

/** Used if flags and variables are the whole configuration. */
export const NO_FILE = '-';

/** Maximum size of a configuration; one with 5,000 services has 400 KB. A device would have no end. */
const MAX_MIB = 64;
const MAX_BYTES = MAX_MIB * 2 ** 20;
const CHUNK_BYTES = 256 * 1024;

function failAt(file: string, message: string): never {
  throw new ConfigError([{ file, line: 0, column: 0, path: '', message }]);
}

/** A pipe, such as the shell's `<(command)`, can be read once; opening one without a writer would block forever. Throws a ConfigError. */
export function refuseToReadAgain(file: string): void {
  const stats = statSync(file, { throwIfNoEntry: false });
  if (stats === undefined || stats.isFile() || stats.isDirectory()) return;
  failAt(file, 'is a device, a pipe or a socket, which cannot be read a second time; restart, or use a regular file');
}

/** A file that was changed as short a time ago as this is looked at until it stays the same for a while, up to a second, ms. */
const FRESH_MS = 150;
const PAUSE_MS = 50;
const MAX_PAUSES = 20;

/**
 * Waits while somebody writes into the file: half a configuration may be a valid one. One that is renamed into place is never seen half
 * written, but seldom is it known how a file came.
 */
export async function untilWritten(
  file: string,
  pause: () => Promise<unknown> = () => sleep(PAUSE_MS),
  now: () => number = Date.now,
): Promise<void> {
  const look = () => statSync(file, { throwIfNoEntry: false });
  let before = look();
  if (before === undefined || Math.abs(now() - before.mtimeMs) > FRESH_MS) return;
  for (let pauses = 0; pauses < MAX_PAUSES; pauses++) {
    await pause();
    const after = look();
    if (after?.mtimeMs === before?.mtimeMs && after?.size === before?.size && after?.ino === before?.ino) return;
    before = after;
  }
}

/** All of it, up to slightly more than the maximum. */
function readBytes(file: string): Uint8Array {
  const fd = openSync(file, 'r');
  try {
    const chunks: Uint8Array[] = [];
    let length = 0;
    while (length <= MAX_BYTES) {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      const read = readSync(fd, chunk);
      if (read === 0) break;
      chunks.push(chunk.subarray(0, read));
      length += read;
    }
    return Buffer.concat(chunks);
  } finally {
    closeSync(fd);
  }
}

/** What a pipe gives, or null if `file` is none. Others read on meanwhile: until somebody writes, signals must be heard. */
export async function readPipe(file: string): Promise<Uint8Array | null> {
  let fd: number;
  try {
    if (!statSync(file).isFIFO()) return null;
    fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    // Reading it as a file says why.
    return null;
  }
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of new Socket({ fd, readable: true, writable: false }) as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MAX_BYTES) break;
  }
  return Buffer.concat(chunks);
}

/** For `-`, no file: empty. `content`: what the file has been found to hold. */
export function readText(file: string, content: Uint8Array | null = null): string {
  if (file === NO_FILE) return '';
  const fail = (message: string): never => failAt(file, message);
  let bytes: Uint8Array;
  try {
    bytes = content ?? readBytes(file);
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    return fail(UNREADABLE[code] ?? `cannot be read: ${message}; check the path given with -c`);
  }
  if (bytes.length > MAX_BYTES)
    fail(`has more than ${MAX_MIB}MiB, too much for a configuration; check the path given with -c`);
  if (bytes.includes(0)) fail('has NUL octets, as UTF-16 has; save it as UTF-8');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return fail('is not UTF-8 text; save it as UTF-8');
  }
}
