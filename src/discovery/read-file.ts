// Safely reads a file that others write: anything but a text file of acceptable size is refused before it can block or fill the memory.
import { closeSync, constants, fstatSync, openSync, readSync, type Stats, statSync } from 'node:fs';
import { formatSize } from '../config/values.js';

export interface FileText {
  readonly text: string;
  /** Changes whenever the file does. */
  readonly signature: string;
}

export interface FileBytes {
  readonly bytes: Uint8Array;
  readonly signature: string;
  /** Permission bits. */
  readonly mode: number;
}

/** Creates the error for a file that is too large, given its size. */
export type DescribeTooLarge = (size: string) => FileTooLarge;

/** What is wrong with a file as a whole, and what to do. */
export class FileProblem extends Error {
  override readonly name: string = 'FileProblem';
}

/** It is larger than `discovery.maxFileSize`. */
export class FileTooLarge extends FileProblem {
  override readonly name = 'FileTooLarge';
}

const UNREADABLE: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist; create it, or correct the path',
  EACCES: 'may not be read by this user; give it read permission',
  EPERM: 'may not be read by this user; give it read permission',
  ENOTDIR: 'is inside something that is not a directory; correct the path',
  ELOOP: 'is a symbolic link that leads back to itself; correct the link',
};

function explain(error: unknown): FileProblem {
  if (error instanceof FileProblem) return error;
  const { code = '', message } = error as NodeJS.ErrnoException;
  return new FileProblem(UNREADABLE[code] ?? `cannot be read: ${message}; check the path`);
}

const signatureOf = ({ dev, ino, size, mtimeMs, ctimeMs }: Stats): string =>
  `${dev} ${ino} ${size} ${mtimeMs} ${ctimeMs}`;

function check(stats: Stats, maxBytes: number, tooLarge: DescribeTooLarge): void {
  if (stats.isDirectory()) throw new FileProblem('is a directory; name the file in it');
  if (!stats.isFile()) throw new FileProblem('is a device, a pipe or a socket; name a regular file');
  if (stats.size > maxBytes) throw tooLarge(formatSize(stats.size));
}

const tooManyEndpoints = (size: string, maxBytes: number): FileTooLarge =>
  new FileTooLarge(
    `has ${size}, more than discovery.maxFileSize (${formatSize(maxBytes)}); divide it, or raise the limit`,
  );

/** The current signature of the file at `path`; the text of the problem if it has none. */
export function fileSignature(path: string): string {
  try {
    return signatureOf(statSync(path));
  } catch (error) {
    return explain(error).message;
  }
}

/** At most `maxBytes`; files in /proc and growing files have more than their reported size. */
function readAll(fd: number, size: number, maxBytes: number, tooLarge: DescribeTooLarge): Buffer {
  let buffer = Buffer.allocUnsafe(Math.min(size, maxBytes) + 1);
  let length = 0;
  for (;;) {
    const read = readSync(fd, buffer, length, buffer.length - length, null);
    length += read;
    if (length > maxBytes) throw tooLarge('more bytes than it says');
    if (read === 0) return buffer.subarray(0, length);
    if (length === buffer.length) buffer = Buffer.concat([buffer], Math.min(2 * length, maxBytes + 1));
  }
}

/** Reads a file of endpoints as text. Throws a FileProblem. */
export function readFile(path: string, maxBytes: number): FileText {
  const { bytes, signature } = readBytes(path, maxBytes, (size) => tooManyEndpoints(size, maxBytes));
  return { text: decode(bytes), signature };
}

/** Throws a FileProblem. */
export function readBytes(path: string, maxBytes: number, tooLarge: DescribeTooLarge): FileBytes {
  let fd = -1;
  try {
    // Merely opening a device may have effects, and opening a pipe without a writer blocks.
    check(statSync(path), maxBytes, tooLarge);
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = fstatSync(fd);
    check(stats, maxBytes, tooLarge);
    const bytes = readAll(fd, stats.size, maxBytes, tooLarge);
    return { bytes, signature: signatureOf(stats), mode: stats.mode & 0o777 };
  } catch (error) {
    throw explain(error);
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new FileProblem('is not UTF-8 text; save it as UTF-8');
  }
}
