// The mesh's issuer in a Secret: created if missing, checked, read again when it changes, and renewed in time if it is the controller's
// own. Several replicas do this at once: the slower one reads what the other has created.
import type { Authority } from '../identity/issuing/authority.js';
import type { IssuerInUse } from '../identity/issuing/issuer.js';
import type { Logger } from '../log/logger.js';
import type { Component } from './component.js';
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

export const ISSUER_SECRET = 'sluice-identity-issuer';
export const TRUST_ROOTS = 'sluice-identity-trust-roots';

export interface IssuerSecretOptions {
  readonly namespace: string;
  /** Whether to create it if missing; otherwise somebody else provides it, such as cert-manager. */
  readonly own: boolean;
  readonly lifetimes: IssuerLifetimes;
  /** Interval for checking the objects. */
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

/** Somebody has changed an object meanwhile; the next check sees it. */
const LOST = Symbol('lost');

export class IssuerSecret implements IssuerInUse, Component {
  readonly name = 'issuer';
  #inUse: InUse | null = null;
  #problem: string | null = 'the issuer has not been read yet';
  /** Versions last read, and their problem. */
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

  /** Checks the objects from now on; resolves once there is an issuer. */
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

  /** Called when the issuer or the anchors have changed. */
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

  /** Trusted anchors, PEM. */
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
    if (now >= notAfter.getTime()) return `${place}: the issuer expired at ${notAfter.toISOString()}`;
    if (now < notBefore.getTime()) return `${place}: the issuer is not valid before ${notBefore.toISOString()}`;
    return null;
  }

  get #used(): InUse {
    if (this.#inUse === null) throw new Error('there is no issuer yet');
    return this.#inUse;
  }

  /** One check of the objects; concurrent callers share it. */
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
      // An issuer that expired while no controller ran is not a problem if it can be renewed: the next check does that.
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
    const what = this.#inUse === null ? 'no issuer' : 'issuer refused; the previous one stays in use';
    this.deps.logger.error(what, { problem });
  }

  /** null: it does not exist, or did not a moment ago. */
  async #readSecret(): Promise<StoredObject | null> {
    const { objects, logger, now } = this.deps;
    const { namespace, own, lifetimes } = this.options;
    const path = `${this.#secret}/${ISSUER_SECRET}`;
    const found = await objects.get(path);
    if (found !== null) return found;
    if (!own) {
      this.#refuse(`Secret ${namespace}/${ISSUER_SECRET} does not exist; its issuer has not created it yet`);
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

  /** The trusted anchors, including those that come with the issuer. */
  async #readBundle(secret: StoredObject): Promise<StoredObject | typeof LOST> {
    const { objects, now } = this.deps;
    const { namespace } = this.options;
    const path = `${this.#bundle}/${TRUST_ROOTS}`;
    const brought = issuerAnchors(secret, now());
    const found = await objects.get(path);
    if (found === null) {
      if (brought.length === 0)
        throw new Error(
          `ConfigMap ${namespace}/${TRUST_ROOTS} does not exist, and Secret ${namespace}/${ISSUER_SECRET} has no key ca.crt: proxies have no trust anchors`,
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
    // Anchors stay trusted until they expire: certificates of the previous issuer are still in use.
    const trusted = trustedOrNone(found, now());
    const all = [...new Set([...trusted, ...brought])];
    if (all.length === trusted.length) return found;
    const replaced = await objects.replace(path, { ...found, data: { [BUNDLE_KEY]: all.join('') } });
    return replaced ? ((await objects.get(path)) ?? LOST) : LOST;
  }

  #ended({ notAfter }: Authority): boolean {
    return notAfter.getTime() <= this.deps.now();
  }

  /** Whether renewal was due. */
  async #renew(secret: StoredObject, { authority, anchors }: InUse): Promise<boolean> {
    const { objects, logger, now } = this.deps;
    const due = await renewal(secret, authority, anchors, this.options.lifetimes, now());
    if (due === null) return false;
    const path = `${this.#secret}/${ISSUER_SECRET}`;
    // Another replica may have been faster; then there is nothing to do. The next check reads the result.
    if (await objects.replace(path, { ...secret, data: due.data })) logger.info(due.what, {});
    return true;
  }
}

const versionsOf = (...objects: readonly StoredObject[]): string =>
  objects.map(({ metadata }) => metadata.resourceVersion).join();

/** Unreadable parts of our own bundle are rewritten. */
function trustedOrNone(bundle: StoredObject, nowMs: number): readonly string[] {
  try {
    return trustedAnchors(bundle, nowMs);
  } catch {
    return [];
  }
}
