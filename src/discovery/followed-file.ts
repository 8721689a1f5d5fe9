// One file that is followed, wherever its path leads: the directory in the path is watched, and the one that the path leads to through
// links. Kubernetes replaces a link in a directory of its own, so that the file itself never changes.
import { realpathSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Directories, Follower } from './directories.js';

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
    const real = realPath(this.path);
    this.#linked = real !== this.path;
    if (real !== null && !places.has(dirname(real))) places.set(dirname(real), basename(real));
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

function realPath(path: string): string | null {
  try {
    return realpathSync(path);
  } catch {
    return null;
  }
}
