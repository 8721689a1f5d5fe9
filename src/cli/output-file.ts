// Where a command's result goes: a file that is not written over by accident, or the standard output; and what becomes of it on a full disk.
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
import { complain, FAILURE, messageOf, print, UsageError } from './usage.js';

/** What could not be written, and why. */
export class OutputError extends Error {}

export interface Output {
  /** Resolves when it is written; rejects with an OutputError. */
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

/** Refuses a file that exists, unless `force`. Devices and pipes have nothing to lose. */
function refuseExisting(path: string, force: boolean): void {
  if (!force && statSync(path, { throwIfNoEntry: false })?.isFile() === true)
    throw new UsageError(`${path} exists; add --force to overwrite it`);
}

function refuseDirectory(path: string): void {
  if (existsSync(path) && statSync(path).isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' });
}

/** Before hours of work: whether `path` can be written. */
export function checkOutput(path: string, force: boolean): void {
  refuseExisting(path, force);
  try {
    refuseDirectory(path);
    accessSync(existsSync(path) ? path : dirname(path), constants.W_OK);
  } catch (error) {
    throw new UsageError(cannotWrite(path, error));
  }
}

/** Writes what took hours. Where that fails it says so, and gives it to the standard output rather than losing it. False then. */
export function writeOutput(path: string, text: string): boolean {
  try {
    writeFileSync(path, text);
    return true;
  } catch (error) {
    complain(`${cannotWrite(path, error)}; here it is instead:`);
    print(text.trimEnd());
    return false;
  }
}

/**
 * Opens a file for a result that comes in pieces; as `checkOutput`. Until something comes, what was there stays: where nothing does, there is
 * no file that was not there before.
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

/** The standard output. Who has closed it wants no more. */
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

/** Writes a command's result to a file, or to the standard output where none is named. Returns the exit code; the command says what went wrong. */
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
    complain(`${command}: ${error.message}`);
    return FAILURE;
  }
}
