// The lookup that the configuration asks for, and the resolver built on it. Loaded only if there is one.
import type { Config, DestinationConfig } from '../config/model.js';
import { parseHostPort } from '../config/values.js';
import { DestinationClient } from '../destination/client/client.js';
import type { LookupCounts } from '../destination/counts.js';
import type { DestinationLookup, Requester } from '../destination/lookup.js';
import type { RulesMessage } from '../destination/rules-message.js';
import type { DiscoveryLogger } from '../discovery/source.js';
import type { IdentityMaterial } from '../identity/material.js';
import { LookupResolver, type ResolverDeps } from './lookup-resolver.js';
import { reachableFamily } from './reachable-family.js';

interface RunningLookup {
  readonly lookup: DestinationLookup;
  /** Reports the mesh's rules for an account, once known and whenever they change. */
  followRules(requester: Requester & { readonly account: string }, report: (rules: RulesMessage | null) => void): void;
  /** There is an identity, or a new one. */
  identityChanged(): void;
  stop(): void;
}

interface LookupDeps {
  readonly logger: DiscoveryLogger;
  readonly counts: LookupCounts;
  /** Null while there is none yet; undefined if none is configured. */
  identity(): IdentityMaterial | null | undefined;
}

export interface Lookups {
  readonly running: RunningLookup;
  readonly resolver: LookupResolver;
  stop(): void;
}

async function start(
  config: DestinationConfig,
  opaquePorts: ReadonlySet<number>,
  deps: LookupDeps,
): Promise<RunningLookup> {
  const { source } = config;
  switch (source.kind) {
    case 'linkerd': {
      const { host, port } = parseHostPort(source.address, 'destination.example:8086');
      const { serverName } = source;
      const client = new DestinationClient({ ...config, host, port, serverName }, { ...deps, random: Math.random });
      client.start();
      return {
        lookup: client,
        followRules: (requester, report) => void client.watchRules(requester, report),
        identityChanged: () => client.identityChanged(),
        stop: () => client.stop(),
      };
    }
    case 'kubernetes': {
      const { startClusterLookup } = await import('./cluster-lookup.js');
      const lookup = await startClusterLookup(source, config, opaquePorts, deps);
      return {
        lookup,
        followRules: ({ namespace, account }, report) => lookup.followRules(namespace, account, report),
        identityChanged: () => undefined,
        stop: () => lookup.stop(),
      };
    }
  }
}

export async function startLookups(
  { sidecar, identity, opaquePorts }: Config,
  destination: DestinationConfig,
  deps: LookupDeps &
    Pick<ResolverDeps, 'waitMs' | 'max' | 'services' | 'changed'> & { rulesChanged(rules: RulesMessage | null): void },
): Promise<Lookups> {
  const running = await start(destination, opaquePorts, deps);
  const family = reachableFamily();
  const { namespace, pod, node, account } = sidecar;
  const requester = { namespace, pod, node, ...(family !== undefined && { family }) };
  running.followRules({ ...requester, account }, (rules) => deps.rulesChanged(rules));
  const resolver = new LookupResolver({
    ...deps,
    lookup: running.lookup,
    requester,
    networks: sidecar.clusterNetworks,
    meshed: identity !== null,
    defaults: destination.defaults,
  });
  return {
    running,
    resolver,
    stop: () => {
      resolver.stop();
      running.stop();
    },
  };
}
