// This proxy's identity: the last valid one, until it is replaced or expires. Nobody asks on the hot path: users are told when it changes.
import type { IdentityConfig } from '../config/identity-model.js';
import type { DiscoveryLogger } from '../discovery/source.js';
import { CertifyClient } from './certify-client.js';
import { type CheckedUpdate, checkUpdate } from './check-update.js';
import type { IdentityCounts } from './counts.js';
import { FileSource } from './file-source.js';
import type { IdentityMaterial } from './material.js';
import {
  type Clock,
  type IdentityProblem,
  type IdentitySource,
  type IdentityUpdate,
  problemOf,
  type SourceDeps,
  systemClock,
} from './source.js';
import { WorkloadApi } from './workload-api.js';

export interface IdentityDeps {
  readonly logger: DiscoveryLogger;
  readonly counts: IdentityCounts;
  /** Interval for checking files, ms. */
  pollMs(): number;
  /** It has changed, or none is wanted (any more). */
  changed(material: IdentityMaterial | null): void;
  readonly clock?: Clock;
  readonly random?: () => number;
}

export class Identity {
  readonly #deps: IdentityDeps;
  readonly #clock: Clock;
  readonly #random: () => number;
  #config: IdentityConfig | null = null;
  #source: IdentitySource | null = null;
  #material: IdentityMaterial | null = null;
  /** The source's problem since the last success; empty if none. */
  #problem = '';
  #expiry: unknown = null;

  constructor(deps: IdentityDeps) {
    this.#deps = deps;
    this.#clock = deps.clock ?? systemClock;
    this.#random = deps.random ?? Math.random;
  }

  /** The current one; it is kept after its expiry, because there is nothing better. */
  get material(): IdentityMaterial | null {
    return this.#material;
  }

  /** Applies the configuration. A new source starts while the last identity stays in use. */
  configure(config: IdentityConfig | null): void {
    if (JSON.stringify(config) === JSON.stringify(this.#config)) return;
    this.#source?.stop();
    this.#source = null;
    this.#config = config;
    this.#problem = '';
    this.#deps.counts.wanted = config !== null;
    if (config === null) {
      if (this.#material !== null) this.#use(null);
      return;
    }
    this.#source = this.#make(config);
    this.#source.start();
  }

  stop(): void {
    this.#source?.stop();
    this.#source = null;
    this.#clock.clear(this.#expiry);
  }

  /** Why this proxy is not ready because of its identity; null if it is. */
  unready(): string | null {
    if (this.#config === null) return null;
    const why = this.#problem === '' ? '' : `: ${this.#problem}`;
    if (this.#material === null) return `no identity yet${why}`;
    if (!this.#expired()) return null;
    return `the identity ${this.#material.name} expired at ${isoTime(this.#material.notAfterMs)}${why}`;
  }

  /** A note although it is ready: a new identity can't be had. */
  note(): string | null {
    if (this.#material === null || this.#problem === '' || this.#expired()) return null;
    return `the identity expires at ${isoTime(this.#material.notAfterMs)} and is not renewed: ${this.#problem}`;
  }

  #make(config: IdentityConfig): IdentitySource {
    const deps: SourceDeps = {
      clock: this.#clock,
      random: this.#random,
      update: (update) => this.#updated(update),
      failed: (problem) => this.#failed(problem),
    };
    const { source, name, timeoutMs, minBackoffMs, maxBackoffMs } = config;
    const patience = { timeoutMs, minBackoffMs, maxBackoffMs };
    switch (source.kind) {
      case 'files': {
        const { logger, pollMs } = this.#deps;
        return new FileSource(source, { ...deps, logger, pollMs, check: (update) => this.#check(update) });
      }
      case 'spiffe':
        return new WorkloadApi({ socket: source.socket, name, ...patience }, deps);
      case 'linkerd':
        return new CertifyClient({ ...source, name: name ?? '', ...patience }, deps);
    }
  }

  #check(update: IdentityUpdate): IdentityProblem | null {
    try {
      checkUpdate(update, this.#expected(), this.#clock.now());
      return null;
    } catch (error) {
      return problemOf(error);
    }
  }

  #expected(): Pick<IdentityConfig, 'name' | 'serverName' | 'trustDomain'> {
    return this.#config ?? { name: null, serverName: null, trustDomain: null };
  }

  #updated(update: IdentityUpdate): IdentityMaterial | null {
    let checked: CheckedUpdate;
    try {
      checked = checkUpdate(update, this.#expected(), this.#clock.now());
    } catch (error) {
      this.#failed(problemOf(error));
      return null;
    }
    const { material, warnings } = checked;
    const { logger } = this.#deps;
    if (this.#problem !== '') logger.info('the source of the identity works again', { name: material.name });
    this.#problem = '';
    if (!isSame(material, this.#material)) {
      this.#use(material);
      for (const problem of warnings) logger.warn('the identity is used in spite of a problem', { problem });
    }
    return material;
  }

  #failed(problem: IdentityProblem): void {
    this.#deps.counts.failures[problem.reason]++;
    // An unreachable source reports the same problem again and again.
    if (problem.message === this.#problem) return;
    this.#problem = problem.message;
    const { logger } = this.#deps;
    const fields = { reason: problem.reason, problem: problem.message };
    if (this.#material === null) logger.error('there is no identity yet; asking again', fields);
    else if (this.#expired()) logger.error('the identity has expired, and there is no new one', fields);
    else {
      const validUntil = isoTime(this.#material.notAfterMs);
      logger.warn('the identity is not renewed; the last one stays in use until it expires', { ...fields, validUntil });
    }
  }

  #use(material: IdentityMaterial | null): void {
    this.#material = material;
    const { counts, logger } = this.#deps;
    counts.notAfterMs = material?.notAfterMs ?? 0;
    counts.refreshedMs = material === null ? 0 : this.#clock.now();
    counts.anchors = material?.anchors.length ?? 0;
    if (material === null) logger.info('no identity any more, as the configuration has none');
    else {
      counts.refreshes++;
      logger.info('identity', {
        name: material.name,
        serverNames: material.serverNames,
        validUntil: isoTime(material.notAfterMs),
        anchors: material.anchors.length,
      });
    }
    this.#awaitExpiry();
    this.#deps.changed(material);
  }

  #expired(): boolean {
    return this.#material !== null && this.#clock.now() >= this.#material.notAfterMs;
  }

  #awaitExpiry(): void {
    this.#clock.clear(this.#expiry);
    const material = this.#material;
    if (material === null) return;
    // A timer may fire early, and is used in steps for times too far ahead.
    this.#expiry = this.#clock.set(() => {
      if (!this.#expired()) this.#awaitExpiry();
      else
        this.#deps.logger.error('the identity has expired: peers refuse it, and this proxy is not ready', {
          name: material.name,
          problem: this.#problem,
        });
    }, material.notAfterMs - this.#clock.now());
  }
}

const isoTime = (ms: number): string => new Date(ms).toISOString();

const isSame = (a: IdentityMaterial, b: IdentityMaterial | null): boolean => JSON.stringify(a) === JSON.stringify(b);
