// Detects changed files through the kernel: one watch per directory, however many of its files are of interest. Watching the directory also
// catches a file replaced by rename, and one that does not exist yet.
import { type FSWatcher, statSync, watch } from 'node:fs';
import type { DiscoveryLogger, Timers } from './source.js';

/** Maximum number of kernel watches; anything beyond is polled. */
const MAX_DIRECTORIES = 256;
/** A file being written is read after QUIET_MS without changes, or after MAX_DELAY_MS in any case. */
const QUIET_MS = 50;
const MAX_DELAY_MS = 500;

/** A watched file, in one of its directories. */
export interface DirectoryListener {
  /**
   * Something happened in its directory. `named`: to the file itself; otherwise to something else, which matters if the file is reached
   * through a symbolic link.
   */
  changed(named: boolean): void;
}

interface Directory {
  readonly watcher: FSWatcher;
  readonly inode: number;
  readonly listeners: Map<DirectoryListener, string>;
  /** Names that have changed; null stands for any. */
  readonly pending: Set<string | null>;
  timer: unknown;
  since: number;
}

export class DirectoryWatcher {
  readonly #open = new Map<string, Directory>();
  readonly #logger: DiscoveryLogger;
  readonly #timers: Timers;
  #warned = false;

  constructor(logger: DiscoveryLogger, timers: Timers) {
    this.#logger = logger;
    this.#timers = timers;
  }

  /** Number of kernel watches. */
  get size(): number {
    return this.#open.size;
  }

  /** Watches the file `name` in a directory. No effect if that is already so; replaces a useless watch. */
  watch(path: string, name: string, follower: DirectoryListener): void {
    const inode = inodeOf(path);
    let directory = this.#open.get(path);
    if (directory !== undefined && directory.inode !== inode) {
      // It has been replaced: the watch is on the old directory.
      const { listeners } = directory;
      this.#close(path, directory);
      directory = this.#watch(path, inode);
      for (const [other, otherName] of listeners) directory?.listeners.set(other, otherName);
    }
    directory ??= this.#watch(path, inode);
    directory?.listeners.set(follower, name);
  }

  unwatch(path: string, follower: DirectoryListener): void {
    const directory = this.#open.get(path);
    if (directory === undefined) return;
    directory.listeners.delete(follower);
    if (directory.listeners.size === 0) this.#close(path, directory);
  }

  close(): void {
    for (const [path, directory] of this.#open) this.#close(path, directory);
  }

  #watch(path: string, inode: number): Directory | undefined {
    if (inode < 0 || this.#open.size >= MAX_DIRECTORIES) return undefined;
    let watcher: FSWatcher;
    try {
      watcher = watch(path, { persistent: false });
    } catch (error) {
      this.#warn(path, error);
      return undefined;
    }
    const directory: Directory = { watcher, inode, listeners: new Map(), pending: new Set(), timer: null, since: 0 };
    watcher.on('change', (_kind, name) => this.#changed(directory, typeof name === 'string' ? name : null));
    watcher.on('error', (error) => {
      this.#warn(path, error);
      if (this.#open.get(path) === directory) this.#close(path, directory);
    });
    this.#open.set(path, directory);
    return directory;
  }

  #changed(directory: Directory, name: string | null): void {
    const now = performance.now();
    if (directory.pending.size === 0) directory.since = now;
    directory.pending.add(name);
    if (directory.timer !== null) this.#timers.clear(directory.timer);
    const delayMs = Math.max(0, Math.min(QUIET_MS, directory.since + MAX_DELAY_MS - now));
    directory.timer = this.#timers.set(() => this.#notify(directory), delayMs);
  }

  #notify(directory: Directory): void {
    const { pending } = directory;
    const names = new Set(pending);
    directory.timer = null;
    pending.clear();
    for (const [follower, name] of [...directory.listeners]) follower.changed(names.has(name) || names.has(null));
  }

  #close(path: string, directory: Directory): void {
    this.#open.delete(path);
    if (directory.timer !== null) this.#timers.clear(directory.timer);
    directory.watcher.close();
  }

  #warn(path: string, error: unknown): void {
    if (this.#warned) return;
    this.#warned = true;
    this.#logger.warn('a directory cannot be watched; its files are looked at every discovery.pollInterval', {
      directory: path,
      reason: error instanceof Error ? error.message : String(error),
    });
  }
}

function inodeOf(path: string): number {
  try {
    return statSync(path).ino;
  } catch {
    return -1;
  }
}
