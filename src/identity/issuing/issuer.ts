// The issuer: an authority from files, checked before it is used, and loaded again when they change. Files that are wrong leave the
// one of before in use.
import type { X509Certificate } from 'node:crypto';
import { fileSignature, readFile } from '../../discovery/read-file.js';
import type { Logger } from '../../log/logger.js';
import { Authority, certificatesOf, selfSigned } from './authority.js';

export interface IssuerFiles {
  readonly certificate: string;
  readonly key: string;
  /** What peers trust; null: the issuer is not compared with it. */
  readonly anchors: string | null;
}

export interface IssuerDeps {
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly now: () => number;
  /** For the metrics: `ok`, or `refused`. */
  readonly loaded: (result: 'ok' | 'refused') => void;
}

const MAX_FILE_BYTES = 1 << 20;

export class Issuer {
  #signature: string;
  #problem: string | null = null;

  private constructor(
    private readonly files: IssuerFiles,
    private readonly deps: IssuerDeps,
    private current: Authority,
  ) {
    this.#signature = this.#sign();
  }

  /** Rejects with what is wrong with the files. */
  static async load(files: IssuerFiles, deps: IssuerDeps): Promise<Issuer> {
    // Before they are read: a change in between is seen.
    const before = signatureOf(files);
    const issuer = new Issuer(files, deps, await loadFiles(files, deps.now()));
    issuer.#signature = before;
    deps.loaded('ok');
    return issuer;
  }

  get authority(): Authority {
    return this.current;
  }

  /** Why nothing can be signed now; null: it can. */
  unusable(): string | null {
    const now = this.deps.now();
    const { notBefore, notAfter } = this.current;
    if (now >= notAfter.getTime()) return `${this.files.certificate}: the issuer ended at ${notAfter.toISOString()}`;
    if (now < notBefore.getTime()) return `${this.files.certificate}: the issuer begins at ${notBefore.toISOString()}`;
    return null;
  }

  /** What is wrong with the files as they are now, while what they were before is in use. */
  get problem(): string | null {
    return this.#problem;
  }

  /** Loads the files if they have changed; true if there is another issuer now. */
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
        this.deps.logger.error('issuer refused; the one of before stays in use', { problem });
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

/** What `read` returns; what it throws, with the file's name before it. */
async function of<T>(file: string, read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw new Error(`${file}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

async function loadFiles({ certificate, key, anchors }: IssuerFiles, now: number): Promise<Authority> {
  const chain = await of(certificate, () => readFile(certificate, MAX_FILE_BYTES).text);
  const keyText = await of(key, () => readFile(key, MAX_FILE_BYTES).text);
  if (/ENCRYPTED/.test(keyText)) throw new Error(`${key}: the key has a passphrase; store it without one`);
  const authority = await of(certificate, () => Authority.load(chain, keyText));
  const ended = authority.notAfter.getTime() <= now;
  if (ended) throw new Error(`${certificate}: it ended at ${authority.notAfter.toISOString()}; a new issuer is due`);
  if (anchors === null) return authority;
  const trusted = await of(anchors, () => certificatesOf(readFile(anchors, MAX_FILE_BYTES).text));
  const problem = chainProblem(authority.chain, trusted, now);
  if (problem !== null) throw new Error(`${certificate}: ${problem} ${anchors}`);
  return authority;
}

const issued = (certificate: X509Certificate, by: X509Certificate): boolean =>
  certificate.checkIssued(by) && certificate.verify(by.publicKey);

/** Why a chain does not end in one of the anchors; null if it does. */
function chainProblem(
  chain: readonly X509Certificate[],
  anchors: readonly X509Certificate[],
  now: number,
): string | null {
  for (const [index, certificate] of chain.slice(0, -1).entries())
    if (!issued(certificate, chain[index + 1]))
      return `certificate ${index + 1} of its chain is not signed by the next one, so it does not lead to`;
  const last = chain[chain.length - 1];
  const good = anchors.filter((anchor) => Date.parse(anchor.validTo) > now);
  const found = good.some((anchor) =>
    selfSigned(last) ? anchor.fingerprint256 === last.fingerprint256 : issued(last, anchor),
  );
  return found ? null : 'it is not signed by a certificate that is good now in';
}
