// An issuer in files, as a component of the controller: for a mesh without Kubernetes Secrets, or for experiments.
import { readAnchors } from '../identity/credential-files.js';
import type { Authority } from '../identity/issuing/authority.js';
import { Issuer, type IssuerDeps, type IssuerFiles } from '../identity/issuing/issuer.js';
import type { Component } from './component.js';
import type { MeshIssuer } from './mesh-issuer.js';

export interface FileIssuerFiles extends IssuerFiles {
  readonly anchors: string;
}

const POLL_MS = 1000;

export class FileIssuer implements MeshIssuer, Component {
  readonly name = 'issuer';
  #issuer: Issuer | null = null;
  #anchors = '';
  #timer: NodeJS.Timeout | null = null;
  readonly #changed: (() => void)[] = [];

  constructor(
    private readonly files: FileIssuerFiles,
    private readonly deps: IssuerDeps,
  ) {}

  /** Rejects with the problem of the files. */
  async start(): Promise<void> {
    this.#issuer = await Issuer.load(this.files, this.deps);
    this.#anchors = this.#readAnchors();
    this.#timer = setInterval(() => void this.#look(), POLL_MS);
  }

  async close(): Promise<boolean> {
    if (this.#timer !== null) clearInterval(this.#timer);
    return true;
  }

  get authority(): Authority {
    if (this.#issuer === null) throw new Error('there is no issuer yet');
    return this.#issuer.authority;
  }

  get anchors(): string {
    return this.#anchors;
  }

  get problem(): string | null {
    return this.#issuer?.problem ?? null;
  }

  unusable(): string | null {
    return this.#issuer === null ? 'the issuer has not been read yet' : this.#issuer.unusable();
  }

  unready(): string | null {
    return this.unusable();
  }

  onChange(changed: () => void): void {
    this.#changed.push(changed);
  }

  #readAnchors(): string {
    return readAnchors(this.files.anchors, this.deps.now()).anchors.join('');
  }

  async #look(): Promise<void> {
    const replaced = (await this.#issuer?.refresh()) ?? false;
    let anchors = this.#anchors;
    try {
      // Invalid anchors are reported as the issuer's problem.
      if (this.problem === null) anchors = this.#readAnchors();
    } catch (error) {
      this.deps.logger.warn('anchors refused; the previous ones stay in use', { error });
    }
    if (!replaced && anchors === this.#anchors) return;
    this.#anchors = anchors;
    for (const changed of this.#changed) changed();
  }
}
