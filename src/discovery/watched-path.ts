// Watches one file, wherever its path leads: watches the directory in the path, and those of all symbolic links on the way. Kubernetes
// replaces a link in a separate directory, so the file itself never changes; others replace a link to a directory.
import { lstatSync, readlinkSync } from 'node:fs';
import { basename, dirname, isAbsolute, join } from 'node:path';
import type { DirectoryListener, DirectoryWatcher } from './directory-watcher.js';

/** The kernel's own limit. */
const MAX_LINKS = 40;

export class WatchedPath implements DirectoryListener {
  #directories: readonly string[] = [];
  /** There is a link in the path, so it may come to lead to another file. */
  #linked = false;
  #closed = false;

  /** `onChange` is called when something may have changed; `named`: the file itself has. */
  constructor(
    readonly path: string,
    private readonly directories: DirectoryWatcher,
    private readonly onChange: (named: boolean) => void,
  ) {}

  changed(named: boolean): void {
    if (!this.#closed && (named || this.#linked)) this.onChange(named);
  }

  /** Starts watching, or replaces useless watches. Called before the file is read, so that changes in between are noticed. */
  watch(): void {
    const places = new Map([[dirname(this.path), basename(this.path)]]);
    const way = placesOn(this.path);
    this.#linked = way.length !== 1;
    for (const place of way) if (!places.has(dirname(place))) places.set(dirname(place), basename(place));
    for (const directory of this.#directories) if (!places.has(directory)) this.directories.unwatch(directory, this);
    for (const [directory, name] of places) this.directories.watch(directory, name, this);
    this.#directories = [...places.keys()];
  }

  close(): void {
    this.#closed = true;
    for (const directory of this.#directories) this.directories.unwatch(directory, this);
    this.#directories = [];
  }
}

/** The links on the way of a path, as paths without links before them, and the file at the end; without that if the way ends early. */
function placesOn(path: string): string[] {
  const places: string[] = [];
  let parts = path.split('/');
  let at = '/';
  try {
    while (parts.length > 0) {
      const [part, ...rest] = parts;
      parts = rest;
      if (part === '' || part === '.') continue;
      if (part === '..') {
        at = dirname(at);
        continue;
      }
      const next = join(at, part);
      if (!lstatSync(next).isSymbolicLink()) {
        at = next;
        continue;
      }
      places.push(next);
      if (places.length > MAX_LINKS) return places;
      const target = readlinkSync(next);
      if (isAbsolute(target)) at = '/';
      parts = [...target.split('/'), ...parts];
    }
    places.push(at);
  } catch {
    // Something on the way does not exist, or is not a directory.
  }
  return places;
}
