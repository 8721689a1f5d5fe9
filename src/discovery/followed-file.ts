// One file that is followed, wherever its path leads: the directory in the path is watched, and those of all links on the way to the
// file. Kubernetes replaces a link in a directory of its own, so that the file itself never changes; others replace a link to a directory.
import { lstatSync, readlinkSync } from 'node:fs';
import { basename, dirname, isAbsolute, join } from 'node:path';
import type { Directories, Follower } from './directories.js';

/** As many as the kernel follows. */
const MAX_LINKS = 40;

export class FollowedFile implements Follower {
  #followed: readonly string[] = [];
  /** A link is part of the path, so that it may come to mean another file. */
  #linked = false;
  #closed = false;

  /** `tell` is called when something may have changed; `named`: the file itself has. */
  constructor(
    readonly path: string,
    private readonly directories: Directories,
    private readonly tell: (named: boolean) => void,
  ) {}

  changed(named: boolean): void {
    if (!this.#closed && (named || this.#linked)) this.tell(named);
  }

  /** Begins, or renews what has become useless. Before the file is read: a change in between is seen. */
  follow(): void {
    const places = new Map([[dirname(this.path), basename(this.path)]]);
    const way = placesOn(this.path);
    this.#linked = way.length !== 1;
    for (const place of way) if (!places.has(dirname(place))) places.set(dirname(place), basename(place));
    for (const directory of this.#followed) if (!places.has(directory)) this.directories.unfollow(directory, this);
    for (const [directory, name] of places) this.directories.follow(directory, name, this);
    this.#followed = [...places.keys()];
  }

  close(): void {
    this.#closed = true;
    for (const directory of this.#followed) this.directories.unfollow(directory, this);
    this.#followed = [];
  }
}

/** The links on the way of a path, as paths without links before them, and the file at its end; without that where the way ends early. */
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
    // Something on the way does not exist, or is no directory.
  }
  return places;
}
