// Directory of results: checked before anything is measured, written after every round, and never a reason to lose measurements.
import { accessSync, constants, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type HarnessResult, RESULT_FILE } from './results.js';

/** It can't be used; the message says why and what to do. */
export class DirectoryError extends Error {
  override readonly name = 'DirectoryError';
}

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));

export class ResultDirectory {
  /** Why the last write failed; null: it did not. */
  problem: string | null = null;

  /** Creates it if missing. Throws a DirectoryError, before anything is measured. */
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
      throw new DirectoryError(`${this.file} exists already; add --force to overwrite it, or --out to write elsewhere`);
    // Permissions are found out by writing, because root may do more.
    this.#write('');
    if (this.problem !== null) throw new DirectoryError(`${path}: no results can be written there: ${this.problem}`);
  }

  get file(): string {
    return join(this.path, RESULT_FILE);
  }

  /** Writes it, completely or not at all. Returns false on failure; `problem` says why. */
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
