// The section `destination`: the destination service for addresses that clients dial. Its shape, contradictions in it, and its model.
import * as v from 'valibot';
import { parseWorkloadName } from '../identity/names.js';
import { bounds } from './bounds.js';
import type { Finding } from './finding.js';
import { parseHostAddress, parseServerName, parseTrustDomain } from './identity-values.js';
import type { DestinationConfig, ServiceConfig } from './model.js';
import { boolean, integer, optionalTimeout, section, size, timeout, value } from './schema-parts.js';
import { serviceDefaults } from './service-schema.js';
import type { LookupSource } from './sidecar-model.js';
import { parseFilePath } from './values.js';

type Tree = Readonly<Record<string, unknown>>;

const KiB = 2 ** 10;
const MiB = 2 ** 20;

/** Written as an empty map, or set by a single environment variable. */
const kubernetes = section({
  enabled: v.optional(boolean(), true),
  kubeconfig: v.optional(value(parseFilePath)),
  clusterDomain: v.optional(value(parseServerName), 'cluster.local'),
  trustDomain: v.optional(value(parseTrustDomain)),
  meshNamespace: v.optional(value(parseServerName)),
});

export const destination = section({
  address: v.optional(value(parseHostAddress)),
  serverName: v.optional(value(parseServerName)),
  timeout: v.optional(timeout(), '3s'),
  minBackoff: v.optional(timeout(), '100ms'),
  maxBackoff: v.optional(timeout(), '10s'),
  keepAlive: v.optional(optionalTimeout(), '10s'),
  keepAliveTimeout: v.optional(timeout(), '3s'),
  maxMessage: v.optional(size(64 * KiB, 64 * MiB), '4MiB'),
  maxEndpoints: v.optional(integer(1, 65_535), 10_000),
  kubernetes: v.optional(kubernetes),
  defaults: serviceDefaults,
});

export type DestinationTree = v.InferOutput<typeof destination>;

const asked = (kubernetes: unknown): boolean =>
  typeof kubernetes === 'object' && kubernetes !== null && (kubernetes as Tree).enabled !== false;

/** The server's name in the mesh of `identity.name`, by Linkerd's convention; empty if it can't be derived. */
function serverNameOf(identity: string): string {
  const parsed = parseWorkloadName(identity);
  if (typeof parsed === 'string' || parsed.kind !== 'dns' || parsed.account === null) return '';
  const { mesh, trustDomain } = parsed.account;
  return `linkerd-destination.${mesh}.serviceaccount.identity.${mesh}.${trustDomain}`;
}

/** Checks on the raw tree that the schema can't express. */
export function destinationChecks(tree: Tree, identity: Tree | null): Finding[] {
  const path = ['destination'];
  if (asked(tree.kubernetes)) {
    if (tree.address === undefined) return [];
    const message = 'names a destination service where destination.kubernetes asks the API server; remove one of them';
    return [{ path: [...path, 'address'], message, at: 'key' }];
  }
  if (tree.address === undefined)
    return [
      {
        path: [...path, 'address'],
        message: 'is missing; add host:port of a destination service, or destination.kubernetes',
        at: 'key',
      },
    ];
  if (identity === null || tree.serverName !== undefined) return [];
  if (typeof identity.name === 'string' && serverNameOf(identity.name) !== '') return [];
  const message =
    'is missing, and cannot be derived from identity.name; add the name that the certificate of the destination service has';
  return [{ path: [...path, 'serverName'], message, at: 'key' }];
}

function sourceOf(tree: DestinationTree, identity: string | null, inDirectory: (path: string) => string): LookupSource {
  const { kubernetes, address = '' } = tree;
  if (kubernetes?.enabled !== true)
    return {
      kind: 'linkerd',
      address,
      serverName: identity === null ? '' : (tree.serverName ?? serverNameOf(identity)),
    };
  const name = parseWorkloadName(identity ?? '');
  const own = typeof name !== 'string' && name.kind === 'dns' ? name.account : null;
  const { kubeconfig, clusterDomain } = kubernetes;
  return {
    kind: 'kubernetes',
    kubeconfig: kubeconfig === undefined ? null : inDirectory(kubeconfig),
    clusterDomain,
    trustDomain: kubernetes.trustDomain ?? own?.trustDomain ?? 'cluster.local',
    mesh: kubernetes.meshNamespace ?? own?.mesh ?? 'sluice',
  };
}

/** `identity`: this proxy's name; null if it has no identity at all. */
export function buildDestination(
  tree: DestinationTree,
  written: Tree | undefined,
  identity: string | null,
  defaults: ServiceConfig,
  inDirectory: (path: string) => string,
): DestinationConfig {
  const backoff = bounds(tree.minBackoff, tree.maxBackoff, written, 'minBackoff');
  return {
    source: sourceOf(tree, identity, inDirectory),
    timeoutMs: tree.timeout,
    minBackoffMs: backoff.low,
    maxBackoffMs: backoff.high,
    keepAliveMs: tree.keepAlive,
    keepAliveTimeoutMs: tree.keepAliveTimeout,
    maxMessageBytes: tree.maxMessage,
    maxEndpoints: tree.maxEndpoints,
    defaults,
  };
}
