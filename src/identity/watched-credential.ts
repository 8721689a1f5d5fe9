// Watches certificate, key and bundle files: their current content is used if valid, otherwise the last valid one.
import type { DirectoryWatcher } from '../discovery/directory-watcher.js';
import { fileSignature } from '../discovery/read-file.js';
import type { DiscoveryLogger, Timers } from '../discovery/source.js';
import { WatchedPath } from '../discovery/watched-path.js';
import { CredentialProblem } from './problem.js';

/** Properties of all kinds. */
export interface Credential {
  readonly notAfterMs: number;
  readonly warnings: readonly string[];
}

export interface WatchDeps {
  readonly directories: DirectoryWatcher;
  readonly timers: Timers;
  readonly logger: DiscoveryLogger;
  now(): number;
  /** Files have been read. */
  loaded(ok: boolean): void;
  /** The problem, or whether there is one, may have changed. */
  settled(): void;
  /** A new one is in use. */
  changed(): void;
}

const date = (ms: number): string => new Date(ms).toISOString();

export class WatchedCredential<T extends Credential> {
  /** The last valid one. */
  #value: T;
  #text: string;
  /** The problem with the current files; empty if none. */
  #problem = '';
  #signature = '';
  #timer: unknown = null;
  #expired = false;
  readonly #said = new Set<string>();
  readonly #files: readonly WatchedPath[];

  /** Throws a CredentialProblem if the files can't be used. */
  constructor(
    readonly paths: readonly string[],
    private readonly load: () => T,
    private readonly deps: WatchDeps,
  ) {
    this.#files = [...new Set(paths)].map((path) => new WatchedPath(path, deps.directories, () => this.#soon()));
    try {
      this.#value = this.#read();
    } catch (error) {
      this.close();
      throw error;
    }
    this.#text = JSON.stringify(this.#value);
    this.#warn();
  }

  get value(): T {
    return this.#value;
  }

  get problem(): string {
    return this.#problem;
  }

  get expired(): boolean {
    return this.#value.notAfterMs <= this.deps.now();
  }

  /** Checks for changes. Unusable files are tried again: a certificate may not have been valid yet. */
  poll(): void {
    if (this.#problem !== '' || this.#current() !== this.#signature) this.refresh();
    else for (const file of this.#files) file.watch();
    if (this.expired === this.#expired) return;
    this.#expired = this.expired;
    if (this.#expired)
      this.deps.logger.error('a certificate has expired: peers refuse it', {
        file: this.paths[0],
        notAfter: date(this.#value.notAfterMs),
      });
  }

  refresh(): void {
    let value: T;
    try {
      value = this.#read();
    } catch (error) {
      if (!(error instanceof CredentialProblem)) throw error;
      if (error.message !== this.#problem)
        this.deps.logger.error('a certificate cannot be used; the last usable one stays in use', {
          file: error.file,
          problem: error.reason,
          until: date(this.#value.notAfterMs),
        });
      this.#problem = error.message;
      this.deps.settled();
      return;
    }
    const text = JSON.stringify(value);
    const { logger } = this.deps;
    if (text !== this.#text) {
      logger.info('certificate taken over', { file: this.paths[0], notAfter: date(value.notAfterMs) });
    } else if (this.#problem !== '') logger.info('certificate is usable again', { file: this.paths[0] });
    this.#problem = '';
    this.deps.settled();
    if (text === this.#text) return;
    this.#value = value;
    this.#text = text;
    this.#warn();
    this.deps.changed();
  }

  close(): void {
    for (const file of this.#files) file.close();
    if (this.#timer !== null) this.deps.timers.clear(this.#timer);
    this.#timer = null;
  }

  /** Files that change together are read once. */
  #soon(): void {
    this.#timer ??= this.deps.timers.set(() => {
      this.#timer = null;
      this.refresh();
    }, 0);
  }

  #read(): T {
    for (const file of this.#files) file.watch();
    // Before they are read, so that changes in between are noticed.
    this.#signature = this.#current();
    try {
      const value = this.load();
      this.deps.loaded(true);
      return value;
    } catch (error) {
      this.deps.loaded(false);
      if (error instanceof CredentialProblem) throw error;
      // An unexpected error; the current value stays in use. Its message might quote the file.
      const name = error instanceof Error ? error.name : typeof error;
      throw new CredentialProblem(this.paths[0] ?? '', `cannot be checked (${name}); please report this file's kind`);
    }
  }

  #current(): string {
    return this.paths.map(fileSignature).join('\n');
  }

  #warn(): void {
    for (const problem of this.#value.warnings) {
      if (this.#said.has(problem)) continue;
      this.#said.add(problem);
      this.deps.logger.warn('a certificate is used in spite of a problem', { file: this.paths[0], problem });
    }
  }
}
