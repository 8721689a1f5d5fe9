// Where results go: looked at before anything is measured, written to after every round, and never in the way of what was measured.
import { accessSync, constants, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HarnessResult } from './results.js';

const RESULT = 'result.json';

/** It can't be used; the message says why and what to do. */
export class DirectoryError extends Error {
  override readonly name = 'DirectoryError';
}

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));

export class ResultDirectory {
  /** Why the last attempt to write failed; null: it did not. */
  problem: string | null = null;

  /** Makes it where it is missing. Throws a DirectoryError, before anything is measured. */
  constructor(
    readonly path: string,
    { force }: { readonly force: boolean },
  ) {
    try {
      mkdirSync(path, { recursive: true });
      accessSync(path, constants.W_OK | constants.X_OK);
    } catch (error) {
      throw new DirectoryError(`${path}: no results can be written there: ${reason(error)}`);
    }
    if (existsSync(this.file) && !force)
      throw new DirectoryError(`${this.file} is there already; --force writes over it, --out writes elsewhere`);
    // What only root's rights allow is found out by doing it.
    this.#write('');
    if (this.problem !== null) throw new DirectoryError(`${path}: no results can be written there: ${this.problem}`);
  }

  get file(): string {
    return join(this.path, RESULT);
  }

  /** Writes it, whole or not at all; false where that failed, and `problem` says why. */
  save(result: HarnessResult): boolean {
    return this.#write(`${JSON.stringify(result)}\n`);
  }

  #write(text: string): boolean {
    const temporary = `${this.file}.new`;
    try {
      writeFileSync(temporary, text);
      if (text === '') rmSync(temporary);
      else renameSync(temporary, this.file);
      this.problem = null;
      return true;
    } catch (error) {
      this.problem = reason(error);
      rmSync(temporary, { force: true });
      return false;
    }
  }
}
