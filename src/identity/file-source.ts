// An identity from three files, as cert-manager's csi-driver-spiffe or SPIRE's helper write them: read when any of them changes.
import { realpathSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { Directories, type Follower } from '../discovery/directories.js';
import { fileSignature } from '../discovery/read-file.js';
import type { DiscoveryLogger } from '../discovery/source.js';
import { readPart } from './credential-files.js';
import { type IdentityProblem, type IdentitySource, type Offer, problemOf, type SourceDeps } from './source.js';

/** Files that do not go together are read again after this: most who write them write one after the other. */
const SETTLE_MS = 1000;

export interface FileOptions {
  readonly certificate: string;
  readonly key: string;
  readonly anchors: string;
}

export interface FileSourceDeps extends SourceDeps {
  readonly logger: DiscoveryLogger;
  /** How often the files are looked at where the kernel reports no change, ms. */
  pollMs(): number;
  /** Whether an offer would be taken; what is wrong with it otherwise. */
  check(offer: Offer): IdentityProblem | null;
}

export class FileSource implements IdentitySource, Follower {
  readonly #directories: Directories;
  readonly #paths: readonly string[];
  #followed: readonly string[] = [];
  #signature = '';
  #poll: unknown = null;
  #settle: unknown = null;
  #stopped = false;

  constructor(
    private readonly options: FileOptions,
    private readonly deps: FileSourceDeps,
  ) {
    const { clock, logger } = deps;
    this.#directories = new Directories(logger, { set: clock.set, clear: clock.clear });
    this.#paths = [options.certificate, options.key, options.anchors];
  }

  start(): void {
    this.#load(false);
    this.#look();
  }

  stop(): void {
    this.#stopped = true;
    this.deps.clock.clear(this.#poll);
    this.deps.clock.clear(this.#settle);
    this.#directories.close();
  }

  /** Something in one of the directories has changed. */
  changed(): void {
    if (!this.#stopped && this.#settle === null) this.#load(true);
  }

  #look(): void {
    this.#poll = this.deps.clock.set(() => {
      if (this.#settle === null && this.#current() !== this.#signature) this.#load(true);
      this.#look();
    }, this.deps.pollMs());
  }

  #current(): string {
    return this.#paths.map(fileSignature).join('\n');
  }

  /** `patient`: what is wrong may be right in a moment. */
  #load(patient: boolean): void {
    this.#follow();
    this.#signature = this.#current();
    let problem: IdentityProblem | null = null;
    let offer: Offer | null = null;
    try {
      offer = this.#read();
      problem = this.deps.check(offer);
    } catch (error) {
      problem = problemOf(error);
    }
    if (problem !== null && patient) {
      this.#settle = this.deps.clock.set(() => {
        this.#settle = null;
        this.#load(false);
      }, SETTLE_MS);
    } else if (problem !== null) this.deps.failed(problem);
    else if (offer !== null) this.deps.offer(offer);
  }

  #read(): Offer {
    const { certificate, key, anchors } = this.options;
    return {
      certificate: readPart(certificate),
      key: readPart(key),
      anchors: readPart(anchors),
    };
  }

  /** Both directories of each file: the one in its path, and the one that the path leads to through links. */
  #follow(): void {
    const places = new Map<string, string>();
    for (const path of this.#paths) {
      places.set(dirname(path), basename(path));
      try {
        const real = realpathSync(path);
        places.set(dirname(real), basename(real));
      } catch {
        // It is not there yet; the directory of its path says when it is.
      }
    }
    for (const directory of this.#followed) if (!places.has(directory)) this.#directories.unfollow(directory, this);
    for (const [directory, name] of places) this.#directories.follow(directory, name, this);
    this.#followed = [...places.keys()];
  }
}
