// Writes a command's result to a file, which is not overwritten by accident, or to standard output; also handles a full disk.
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  ftruncateSync,
  openSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { EXIT_FAILURE, messageOf, print, printError, UsageError } from './usage.js';

/** Says what could not be written, and why. */
export class OutputError extends Error {}

export interface Output {
  /** Resolves when the text is written; rejects with an OutputError. */
  write(text: string): Promise<void>;
  close(): void;
}

const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota is used up',
  EACCES: 'it may not be written',
  EROFS: 'the file system is read-only',
  ENOENT: 'there is no such directory',
  ENOTDIR: 'a part of its path is not a directory',
  EISDIR: 'it is a directory',
};

function reason(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  return code in REASONS ? `${REASONS[code]} (${code})` : messageOf(error);
}

const cannotWrite = (path: string, error: unknown): string => `cannot write ${path}: ${reason(error)}`;

/** Refuses an existing file, unless `force` is set. Devices and pipes are never refused. */
function refuseExisting(path: string, force: boolean): void {
  if (!force && statSync(path, { throwIfNoEntry: false })?.isFile() === true)
    throw new UsageError(`${path} exists; add --force to overwrite it`);
}

function refuseDirectory(path: string): void {
  if (existsSync(path) && statSync(path).isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' });
}

/** Checks before hours of work that `path` can be written. */
export function checkOutput(path: string, force: boolean): void {
  refuseExisting(path, force);
  try {
    refuseDirectory(path);
    accessSync(existsSync(path) ? path : dirname(path), constants.W_OK);
  } catch (error) {
    throw new UsageError(cannotWrite(path, error));
  }
}

/** Writes the result. If that fails, says so, prints it on standard output so that it is not lost, and returns false. */
export function writeOutput(path: string, text: string): boolean {
  try {
    writeFileSync(path, text);
    return true;
  } catch (error) {
    printError(`${cannotWrite(path, error)}; here it is instead:`);
    print(text.trimEnd());
    return false;
  }
}

/**
 * Opens a file for a result that arrives in pieces, with the checks of `checkOutput`. The file is created or replaced only when the first
 * piece arrives.
 */
export function outputFile(path: string, force: boolean): Output {
  refuseExisting(path, force);
  const before = statSync(path, { throwIfNoEntry: false });
  let file: number;
  try {
    refuseDirectory(path);
    file = openSync(path, 'a');
  } catch (error) {
    throw new OutputError(cannotWrite(path, error));
  }
  let begun = false;
  return {
    write: async (text) => {
      const octets = Buffer.from(text);
      try {
        if (!begun && before?.isFile() === true) ftruncateSync(file);
        begun = true;
        for (let at = 0; at < octets.length; ) at += writeSync(file, octets, at);
      } catch (error) {
        throw new OutputError(cannotWrite(path, error));
      }
    },
    close: () => {
      closeSync(file);
      if (!begun && before === undefined) unlinkSync(path);
    },
  };
}

/** Standard output. If its reader has closed it, that is not an error. */
export const standardOutput: Output = {
  write: (text) =>
    new Promise((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException): void => {
        if (error.code === 'EPIPE') resolve();
        else reject(new OutputError(`cannot write to the standard output: ${reason(error)}`));
      };
      process.stdout.once('error', failed);
      process.stdout.write(text, (error) => {
        if (error != null) return failed(error);
        process.stdout.off('error', failed);
        resolve();
      });
    }),
  close: () => undefined,
};

/** Writes a command's result to a file, or to standard output if none is named. Returns the exit code, and reports errors under the command's name. */
export async function deliver(command: string, text: string, out: unknown, force: boolean): Promise<number> {
  try {
    const output = typeof out === 'string' ? outputFile(out, force) : standardOutput;
    try {
      await output.write(text);
    } finally {
      output.close();
    }
    return 0;
  } catch (error) {
    if (!(error instanceof OutputError)) throw error;
    printError(`${command}: ${error.message}`);
    return EXIT_FAILURE;
  }
}
