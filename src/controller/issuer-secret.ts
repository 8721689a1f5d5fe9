// The mesh's issuer, from a Secret: made where it is missing, checked, read again when it changes, renewed in time where it is the
// controller's own. Several replicas do this at once: who is too late reads what the other has made.
import type { Authority } from '../identity/issuing/authority.js';
import type { IssuerInUse } from '../identity/issuing/issuer.js';
import type { Logger } from '../log/logger.js';
import {
  BUNDLE_KEY,
  checkIssuer,
  isOwned,
  issuerAnchors,
  OWNED,
  readAuthority,
  trustedAnchors,
} from './issuer-material.js';
import { type IssuerLifetimes, makeIssuer, renewal } from './issuer-renewal.js';
import type { Objects, StoredObject } from './objects.js';
import type { Part } from './part.js';

export const ISSUER_SECRET = 'sluice-identity-issuer';
export const TRUST_ROOTS = 'sluice-identity-trust-roots';

export interface IssuerSecretOptions {
  readonly namespace: string;
  /** Whether it is made where it is missing; otherwise somebody else brings it, such as cert-manager. */
  readonly own: boolean;
  readonly lifetimes: IssuerLifetimes;
  /** How often the objects are looked at. */
  readonly pollMs: number;
}

export interface IssuerSecretDeps {
  readonly objects: Objects;
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly now: () => number;
  /** For the metrics: `ok`, or `refused`. */
  readonly loaded: (result: 'ok' | 'refused') => void;
}

interface InUse {
  readonly authority: Authority;
  /** PEM, one each. */
  readonly anchors: readonly string[];
}

/** What others have changed while we looked; the next look sees it. */
const LOST = Symbol('lost');

export class IssuerSecret implements IssuerInUse, Part {
  readonly name = 'issuer';
  #inUse: InUse | null = null;
  #problem: string | null = 'the issuer has not been read yet';
  /** Versions of what was read last, and what is wrong with that. */
  #read = '';
  #timer: NodeJS.Timeout | null = null;
  #looking: Promise<void> | null = null;
  readonly #changed = new Set<() => void>();
  readonly #secret: string;
  readonly #bundle: string;

  constructor(
    private readonly options: IssuerSecretOptions,
    private readonly deps: IssuerSecretDeps,
  ) {
    this.#secret = `/api/v1/namespaces/${options.namespace}/secrets`;
    this.#bundle = `/api/v1/namespaces/${options.namespace}/configmaps`;
  }

  /** Looks at the objects from now on; resolves when there is an issuer. */
  start(): Promise<void> {
    this.#timer = setInterval(() => void this.look(), this.options.pollMs);
    void this.look();
    return new Promise((resolve) => {
      const ready = (): void => {
        this.#changed.delete(ready);
        resolve();
      };
      if (this.#inUse === null) this.#changed.add(ready);
      else resolve();
    });
  }

  async close(): Promise<boolean> {
    if (this.#timer !== null) clearInterval(this.#timer);
    return true;
  }

  unready(): string | null {
    return this.unusable();
  }

  /** Called when there is another issuer, or other anchors. */
  onChange(changed: () => void): void {
    this.#changed.add(changed);
  }

  /** Whether there is one. */
  get present(): boolean {
    return this.#inUse !== null;
  }

  get authority(): Authority {
    return this.#used.authority;
  }

  /** What proxies trust, PEM. */
  get anchors(): string {
    return this.#used.anchors.join('');
  }

  get problem(): string | null {
    return this.#problem;
  }

  unusable(): string | null {
    if (this.#inUse === null) return this.#problem;
    const { notAfter, notBefore } = this.#inUse.authority;
    const now = this.deps.now();
    const place = `Secret ${this.options.namespace}/${ISSUER_SECRET}`;
    if (now >= notAfter.getTime()) return `${place}: the issuer ended at ${notAfter.toISOString()}`;
    if (now < notBefore.getTime()) return `${place}: the issuer begins at ${notBefore.toISOString()}`;
    return null;
  }

  get #used(): InUse {
    if (this.#inUse === null) throw new Error('there is no issuer yet');
    return this.#inUse;
  }

  /** One look at the objects; those who come meanwhile wait for the same. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null;
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    try {
      const secret = await this.#readSecret();
      if (secret === null) return;
      const authority = await readAuthority(secret);
      const bundle = await this.#readBundle(secret);
      if (bundle === LOST) return;
      const inUse = { authority, anchors: trustedAnchors(bundle, this.deps.now()) };
      // One that has ended, while nobody was there, is no problem where another one follows it: the next look finds that.
      const ours = this.options.own && isOwned(secret);
      if (ours && (await this.#renew(secret, inUse)) && this.#ended(authority)) return;
      checkIssuer(authority, secret, bundle, this.deps.now());
      this.#use(inUse, versionsOf(secret, bundle));
    } catch (error) {
      this.#refuse(error instanceof Error ? error.message : String(error));
    }
  }

  #use({ authority, anchors }: InUse, versions: string): void {
    const before = this.#inUse;
    this.#problem = null;
    if (this.#read !== versions) this.deps.loaded('ok');
    this.#read = versions;
    const same = before !== null && before.authority.pem === authority.pem;
    if (same && before.anchors.join('') === anchors.join('')) return;
    this.#inUse = { authority: same ? before.authority : authority, anchors };
    const { own, notAfter } = authority;
    const said = { subject: own.subject, serial: own.serialNumber, until: notAfter.toISOString() };
    this.deps.logger.info(before === null ? 'issuer in use' : 'issuer replaced', { ...said, anchors: anchors.length });
    for (const changed of [...this.#changed]) changed();
  }

  #refuse(problem: string): void {
    if (problem === this.#problem) return;
    this.#problem = problem;
    this.#read = '';
    this.deps.loaded('refused');
    const what = this.#inUse === null ? 'no issuer' : 'issuer refused; the one of before stays in use';
    this.deps.logger.error(what, { problem });
  }

  /** null: it is not there, or was not a moment ago. */
  async #readSecret(): Promise<StoredObject | null> {
    const { objects, logger, now } = this.deps;
    const { namespace, own, lifetimes } = this.options;
    const path = `${this.#secret}/${ISSUER_SECRET}`;
    const found = await objects.get(path);
    if (found !== null) return found;
    if (!own) {
      this.#refuse(`Secret ${namespace}/${ISSUER_SECRET} is not there; whoever issues it has not done so yet`);
      return null;
    }
    const made = await objects.create(this.#secret, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: ISSUER_SECRET, namespace, labels: OWNED },
      type: 'kubernetes.io/tls',
      data: await makeIssuer(lifetimes, now()),
    });
    if (made) logger.info('issuer made', { secret: `${namespace}/${ISSUER_SECRET}` });
    return objects.get(path);
  }

  /** The anchors, with those that come with the issuer among them. */
  async #readBundle(secret: StoredObject): Promise<StoredObject | typeof LOST> {
    const { objects, now } = this.deps;
    const { namespace } = this.options;
    const path = `${this.#bundle}/${TRUST_ROOTS}`;
    const brought = issuerAnchors(secret, now());
    const found = await objects.get(path);
    if (found === null) {
      if (brought.length === 0)
        throw new Error(
          `ConfigMap ${namespace}/${TRUST_ROOTS} is not there, and Secret ${namespace}/${ISSUER_SECRET} has no key ca.crt: nobody says what proxies trust`,
        );
      await objects.create(this.#bundle, {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: TRUST_ROOTS, namespace, labels: OWNED },
        data: { [BUNDLE_KEY]: brought.join('') },
      });
      return (await objects.get(path)) ?? LOST;
    }
    if (!isOwned(found)) return found;
    // What was trusted goes on to be until it ends: certificates of the issuer before are still in use.
    const trusted = trustedOrNone(found, now());
    const all = [...new Set([...trusted, ...brought])];
    if (all.length === trusted.length) return found;
    const replaced = await objects.replace(path, { ...found, data: { [BUNDLE_KEY]: all.join('') } });
    return replaced ? ((await objects.get(path)) ?? LOST) : LOST;
  }

  #ended({ notAfter }: Authority): boolean {
    return notAfter.getTime() <= this.deps.now();
  }

  /** Whether it was due. */
  async #renew(secret: StoredObject, { authority, anchors }: InUse): Promise<boolean> {
    const { objects, logger, now } = this.deps;
    const due = await renewal(secret, authority, anchors, this.options.lifetimes, now());
    if (due === null) return false;
    const path = `${this.#secret}/${ISSUER_SECRET}`;
    // Another replica may have been quicker: then there is nothing to do. What is new is read with the next look.
    if (await objects.replace(path, { ...secret, data: due.data })) logger.info(due.what, {});
    return true;
  }
}

const versionsOf = (...objects: readonly StoredObject[]): string =>
  objects.map(({ metadata }) => metadata.resourceVersion).join();

/** What cannot be read of a bundle of our own is written anew. */
function trustedOrNone(bundle: StoredObject, nowMs: number): readonly string[] {
  try {
    return trustedAnchors(bundle, nowMs);
  } catch {
    return [];
  }
}
