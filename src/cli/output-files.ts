// Files that results are written to. What exists is not overwritten unasked; and what cannot be written is not lost.
import { accessSync, constants, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { complain, messageOf, print, UsageError } from './usage.js';

/** Before hours of work: whether `file`, given by `option`, can be written. */
export function checkOutput(option: string, file: string, force: boolean): void {
  const found = statSync(file, { throwIfNoEntry: false });
  if (found?.isDirectory() === true)
    throw new UsageError(`${option} ${file}: that is a directory; write the name of a file`);
  // What is no regular file, such as /dev/stdout, has nothing to lose.
  if (found?.isFile() === true && !force)
    throw new UsageError(`${option} ${file}: the file exists; add --force to overwrite it`);
  try {
    accessSync(found === undefined ? dirname(file) : file, constants.W_OK);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : '';
    const why = code === 'ENOENT' ? `there is no directory ${dirname(file)}` : messageOf(error);
    throw new UsageError(`${option} ${file}: cannot write there: ${why}`);
  }
}

/** Writes a result. Where that fails it says so, and gives it to the standard output rather than losing it. False then. */
export function writeOutput(option: string, file: string, text: string): boolean {
  try {
    writeFileSync(file, text);
    return true;
  } catch (error) {
    const full = error instanceof Error && 'code' in error && error.code === 'ENOSPC';
    complain(
      `${option} ${file}: ${full ? 'no space is left there' : messageOf(error)}; here is what was to be written:`,
    );
    print(text.trimEnd());
    return false;
  }
}
