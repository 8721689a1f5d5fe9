// The issuer: an authority from files, validated before use, and reloaded when they change. Invalid files leave the previous one in use.
import { X509Certificate } from 'node:crypto';
import { fileSignature } from '../../discovery/read-file.js';
import type { Logger } from '../../log/logger.js';
import { trustProblem } from '../chain.js';
import { readAnchors, readPart } from '../credential-files.js';
import { CredentialProblem } from '../problem.js';
import { Authority } from './authority.js';

export interface IssuerFiles {
  readonly certificate: string;
  readonly key: string;
  /** Trusted anchors; null: the issuer is not checked against them. */
  readonly anchors: string | null;
}

/** An issuer that may be replaced. */
export interface IssuerInUse {
  readonly authority: Authority;
  /** The problem with its replacement, while the current one stays in use. */
  readonly problem: string | null;
  /** Why nothing can be signed now; null: signing works. */
  unusable(): string | null;
}

export interface IssuerDeps {
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly now: () => number;
  /** For the metrics: `ok`, or `refused`. */
  readonly loaded: (result: 'ok' | 'refused') => void;
}

export class Issuer implements IssuerInUse {
  #signature: string;
  #problem: string | null = null;

  private constructor(
    private readonly files: IssuerFiles,
    private readonly deps: IssuerDeps,
    private current: Authority,
  ) {
    this.#signature = this.#sign();
  }

  /** Rejects with the problem of the files. */
  static async load(files: IssuerFiles, deps: IssuerDeps): Promise<Issuer> {
    // Before they are read, so that changes in between are noticed.
    const before = signatureOf(files);
    const issuer = new Issuer(files, deps, await loadFiles(files, deps.now()));
    issuer.#signature = before;
    deps.loaded('ok');
    return issuer;
  }

  get authority(): Authority {
    return this.current;
  }

  unusable(): string | null {
    const now = this.deps.now();
    const { notBefore, notAfter } = this.current;
    if (now >= notAfter.getTime()) return `${this.files.certificate}: the issuer expired at ${notAfter.toISOString()}`;
    if (now < notBefore.getTime())
      return `${this.files.certificate}: the issuer is not valid before ${notBefore.toISOString()}`;
    return null;
  }

  get problem(): string | null {
    return this.#problem;
  }

  /** Reloads the files if they have changed; true if there is a new issuer. */
  async refresh(force = false): Promise<boolean> {
    const signature = this.#sign();
    if (!force && signature === this.#signature) return false;
    this.#signature = signature;
    try {
      const authority = await loadFiles(this.files, this.deps.now());
      this.#problem = null;
      this.deps.loaded('ok');
      if (authority.pem === this.current.pem) return false;
      this.current = authority;
      const { subject, serialNumber } = authority.own;
      this.deps.logger.info('issuer replaced', {
        subject,
        serial: serialNumber,
        until: authority.notAfter.toISOString(),
      });
      return true;
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      this.deps.loaded('refused');
      if (problem !== this.#problem)
        this.deps.logger.error('issuer refused; the previous one stays in use', { problem });
      this.#problem = problem;
      return false;
    }
  }

  #sign(): string {
    return signatureOf(this.files);
  }
}

const signatureOf = ({ certificate, key, anchors }: IssuerFiles): string =>
  [certificate, key, ...(anchors === null ? [] : [anchors])].map(fileSignature).join('\n');

async function loadFiles({ certificate, key, anchors }: IssuerFiles, now: number): Promise<Authority> {
  const authority = await Authority.load(readPart(certificate), readPart(key));
  const ended = authority.notAfter.getTime() <= now;
  if (ended)
    throw new CredentialProblem(certificate, `expired at ${authority.notAfter.toISOString()}; a new issuer is due`);
  if (anchors === null) return authority;
  const trusted = readAnchors(anchors, now).anchors.map((text) => new X509Certificate(text));
  const problem = trustProblem(authority.chain, trusted, anchors);
  if (problem !== null) throw new CredentialProblem(certificate, problem);
  return authority;
}
