// An identity from three files, as cert-manager's csi-driver-spiffe or SPIRE's helper write them; read again when any of them changes.
import { DirectoryWatcher } from '../discovery/directory-watcher.js';
import { fileSignature } from '../discovery/read-file.js';
import type { DiscoveryLogger } from '../discovery/source.js';
import { WatchedPath } from '../discovery/watched-path.js';
import { readPart } from './credential-files.js';
import {
  type IdentityProblem,
  type IdentitySource,
  type IdentityUpdate,
  problemOf,
  type SourceDeps,
} from './source.js';

/** Files that do not match are read again after this time: most tools write them one after the other. */
const SETTLE_MS = 1000;

export interface FileOptions {
  readonly certificate: string;
  readonly key: string;
  readonly anchors: string;
}

export interface FileSourceDeps extends SourceDeps {
  readonly logger: DiscoveryLogger;
  /** Interval for checking the files, in case the kernel reports no change, ms. */
  pollMs(): number;
  /** The problem with an update; null if it would be accepted. */
  check(update: IdentityUpdate): IdentityProblem | null;
}

export class FileSource implements IdentitySource {
  readonly #directories: DirectoryWatcher;
  readonly #files: readonly WatchedPath[];
  #signature = '';
  /** The current files can't be used. */
  #wrong = false;
  #poll: unknown = null;
  #settle: unknown = null;

  constructor(
    private readonly options: FileOptions,
    private readonly deps: FileSourceDeps,
  ) {
    const { clock, logger } = deps;
    this.#directories = new DirectoryWatcher(logger, { set: clock.set, clear: clock.clear });
    const paths = [...new Set([options.certificate, options.key, options.anchors])];
    this.#files = paths.map((path) => new WatchedPath(path, this.#directories, () => this.#changed()));
  }

  start(): void {
    this.#load(false);
    this.#look();
  }

  stop(): void {
    this.deps.clock.clear(this.#poll);
    this.deps.clock.clear(this.#settle);
    for (const file of this.#files) file.close();
    this.#directories.close();
  }

  #changed(): void {
    if (this.#settle === null) this.#load(true);
  }

  /** Unusable files are tried again: a certificate may not have been valid yet. */
  #look(): void {
    this.#poll = this.deps.clock.set(() => {
      if (this.#settle === null) {
        const changed = this.#current() !== this.#signature;
        if (changed || this.#wrong) this.#load(changed);
        else for (const file of this.#files) file.watch();
      }
      this.#look();
    }, this.deps.pollMs());
  }

  #current(): string {
    return this.#files.map(({ path }) => fileSignature(path)).join('\n');
  }

  /** `patient`: a problem may go away in a moment. */
  #load(patient: boolean): void {
    // Before they are read, so that changes in between are noticed.
    for (const file of this.#files) file.watch();
    this.#signature = this.#current();
    let problem: IdentityProblem | null = null;
    let update: IdentityUpdate | null = null;
    try {
      update = this.#read();
      problem = this.deps.check(update);
    } catch (error) {
      problem = problemOf(error);
    }
    this.#wrong = problem !== null;
    if (problem !== null && patient) {
      this.#settle = this.deps.clock.set(() => {
        this.#settle = null;
        this.#load(false);
      }, SETTLE_MS);
    } else if (problem !== null) this.deps.failed(problem);
    else if (update !== null) this.deps.update(update);
  }

  #read(): IdentityUpdate {
    const { certificate, key, anchors } = this.options;
    return { certificate: readPart(certificate), key: readPart(key), anchors: readPart(anchors) };
  }
}
