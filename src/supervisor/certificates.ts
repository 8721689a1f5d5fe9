// Certificate, key and CA files named in the configuration. Each is read once, however many listeners and services use it, and watched
// while any does.
import type { CertificateConfig } from '../config/tls-model.js';
import { DirectoryWatcher } from '../discovery/directory-watcher.js';
import { type DiscoveryLogger, nodeTimers, type Timers } from '../discovery/source.js';
import { readAnchors, readCertificate } from '../identity/credential-files.js';
import type { CheckedAnchors, CheckedCertificate } from '../identity/credentials.js';
import { systemAnchors, systemTrustFile } from '../identity/system-trust.js';
import { type Credential, WatchedCredential } from '../identity/watched-credential.js';
import type { CertificateCounts } from '../metrics/certificate-counts.js';

export interface CertificatesDeps {
  readonly logger: DiscoveryLogger;
  /** How often to check the files, in case the kernel did not report a change, ms. */
  pollMs(): number;
  readonly counts: CertificateCounts;
  /** One of them has changed. */
  changed(): void;
  readonly timers?: Timers;
  readonly now?: () => number;
  readonly env?: NodeJS.ProcessEnv;
}

type Kept = WatchedCredential<Credential>;

export class Certificates {
  readonly #deps: CertificatesDeps;
  readonly #timers: Timers;
  readonly #directories: DirectoryWatcher;
  readonly #known = new Map<string, Kept>();
  #timer: unknown = null;

  constructor(deps: CertificatesDeps) {
    this.#deps = deps;
    this.#timers = deps.timers ?? nodeTimers;
    this.#directories = new DirectoryWatcher(deps.logger, this.#timers);
  }

  get now(): number {
    return (this.#deps.now ?? Date.now)();
  }

  /** Throws a CredentialProblem if it can't be used, and never could. So do the other methods. */
  certificate(files: CertificateConfig, purpose: 'server' | 'client'): WatchedCredential<CheckedCertificate> {
    const { certificate, key, names } = files;
    return this.#get(JSON.stringify([purpose, certificate, key, names]), [certificate, key], () =>
      readCertificate(files, { purpose, names, nowMs: this.now }),
    );
  }

  /** `file` null: the system's CAs. */
  anchors(file: string | null): WatchedCredential<CheckedAnchors> {
    if (file !== null) return this.#get(`anchors ${file}`, [file], () => readAnchors(file, this.now));
    const system = systemTrustFile(this.#deps.env ?? process.env);
    return this.#get(`system ${system}`, system === null ? [] : [system], () => systemAnchors(system, this.now));
  }

  /** Stops watching what is not in `used`. */
  keep(used: ReadonlySet<unknown>): void {
    for (const [key, credential] of this.#known) {
      if (used.has(credential)) continue;
      credential.close();
      this.#known.delete(key);
    }
    this.#count();
    this.#poll();
  }

  /** Checks all files. */
  poll(): void {
    for (const credential of this.#known.values()) credential.poll();
    this.#count();
  }

  close(): void {
    this.keep(new Set());
    this.#directories.close();
  }

  #get<T extends Credential>(key: string, paths: readonly string[], load: () => T): WatchedCredential<T> {
    const known = this.#known.get(key);
    if (known !== undefined) return known as unknown as WatchedCredential<T>;
    const { counts, logger, changed } = this.#deps;
    const made = new WatchedCredential(paths, load, {
      directories: this.#directories,
      timers: this.#timers,
      logger,
      now: () => this.now,
      loaded: (ok) => {
        counts[ok ? 'loaded' : 'failed']++;
      },
      settled: () => this.#count(),
      changed,
    });
    this.#known.set(key, made as unknown as Kept);
    return made;
  }

  #count(): void {
    this.#deps.counts.broken = [...this.#known.values()].filter(({ problem }) => problem !== '').length;
  }

  #poll(): void {
    if (this.#known.size === 0 && this.#timer !== null) {
      this.#timers.clear(this.#timer);
      this.#timer = null;
    }
    if (this.#known.size === 0 || this.#timer !== null) return;
    this.#timer = this.#timers.set(() => {
      this.#timer = null;
      this.poll();
      this.#poll();
    }, this.#deps.pollMs());
  }
}
