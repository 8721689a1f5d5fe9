// Settings that do not come from the configuration: discovery of the addresses that clients dial, the services found by it, and the mesh's
// rules.
import type { Config, DestinationConfig } from '../config/model.js';
import type { LookupCounts } from '../destination/counts.js';
import type { RulesMessage } from '../destination/rules-message.js';
import type { DiscoveryLogger } from '../discovery/source.js';
import type { IdentityMaterial } from '../identity/material.js';
import type { LiveState } from '../policy/explain.js';
import { DynamicServices, type DynamicServicesDeps } from './dynamic-services.js';
import type { Lookups } from './lookups.js';
import { type DestinationResolver, holderOf, workerPrefix } from './original-destinations.js';

export interface DynamicConfigDeps extends DynamicServicesDeps {
  readonly logger: DiscoveryLogger;
  readonly counts: LookupCounts;
  config(): Config;
  /** Null while there is none yet. */
  identity(): IdentityMaterial | null;
  /** The answer about an address is outdated. */
  changed(address: { readonly host: string; readonly port: number }): void;
}

export class DynamicConfig {
  readonly services: DynamicServices;
  readonly resolver: DestinationResolver;
  #lookups: Lookups | null = null;
  /** The last rules received, and who is told of changes. */
  #rules: RulesMessage | null = null;
  #onRules: (rules: RulesMessage | null) => void = () => undefined;

  constructor(private readonly deps: DynamicConfigDeps) {
    this.services = new DynamicServices(deps);
    this.resolver = { resolve: async (...asked) => (await this.#lookups?.resolver.resolve(...asked)) ?? null };
  }

  /** Loaded only if needed: Node's HTTP/2 takes memory. */
  async start(config: Config, destination: DestinationConfig): Promise<void> {
    const { startLookups } = await import('./lookups.js');
    const { logger, counts, identity, changed } = this.deps;
    this.#lookups = await startLookups(config, destination, {
      logger,
      counts,
      identity: () => (config.identity === null ? undefined : identity()),
      waitMs: () => this.deps.config().destinations.resolveTimeoutMs,
      max: () => this.deps.config().destinations.max,
      services: this.services,
      changed,
      rulesChanged: (rules) => {
        this.#rules = rules;
        this.#onRules(rules);
      },
    });
  }

  stop(): void {
    this.#lookups?.stop();
  }

  /** Reports the mesh's rules, now and whenever they change. */
  followRules(report: (rules: RulesMessage | null) => void): void {
    this.#onRules = report;
    if (this.#rules !== null) report(this.#rules);
  }

  identityChanged(): void {
    this.#lookups?.running.identityChanged();
  }

  /** What is known of an address, for explanations. */
  readonly peek: NonNullable<LiveState['discovered']> = (host, port) => this.#lookups?.resolver.peek(host, port);

  /** A worker's listener has dropped the address. */
  forget(worker: number, listener: number, host: string, port: number): void {
    this.#lookups?.resolver.forget(host, port, holderOf(worker, listener));
  }

  /** A worker is gone, with everything it knew. */
  died(worker: number): void {
    this.#lookups?.resolver.forgetAll(workerPrefix(worker));
  }
}
