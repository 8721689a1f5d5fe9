// What is known of a cluster, or will be there once the manifests are applied.
import { isEverybody, isPeer, peerCovers, peersOf } from './allowed.js';
import { names } from './findings.js';
import type { Peer, Policy, Rule } from './policy.js';
import { selects } from './selector.js';
import type { Namespaces, Workload } from './workloads.js';

export interface CheckOptions {
  /** Of objects without one. */
  readonly namespace: string;
  /** The controller's namespace. */
  readonly controllerNamespace: string;
}

export interface CheckContext {
  readonly options: CheckOptions;
  readonly namespaces: Namespaces;
  readonly workloads: readonly Workload[];
  readonly policies: readonly Policy[];
}

/** Policies that apply to traffic to or from a workload's pods. */
export const policiesOf = ({ policies }: CheckContext, workload: Workload, way: 'ingress' | 'egress'): Policy[] =>
  policies.filter(
    (policy) =>
      policy[way] !== null && policy.namespace === workload.namespace && selects(policy.selector, workload.labels),
  );

/**
 * Whether peers that a rule admits to applications' ports are not admitted to `port` by any rule. Peers in the manifests are checked one by
 * one, and matter only if they have a proxy; of others only the selectors are known.
 */
export function isCut(context: CheckContext, rule: Rule, peer: Peer, passing: readonly Rule[]): boolean {
  const { namespaces } = context;
  const { namespace } = rule.policy;
  const passes = (test: (other: Peer) => boolean): boolean => passing.some((other) => peersOf(other).some(test));
  if (passes((other) => peerCovers(other, peer, namespace, namespaces))) return false;
  if (isEverybody(peer)) return true;
  const known = context.workloads.filter((workload) => isPeer(peer, workload, namespace, namespaces));
  if (known.length === 0) return true;
  const meshed = known.filter(({ proxy }) => proxy !== null);
  return meshed.some((workload) => !passes((other) => isPeer(other, workload, namespace, namespaces)));
}

/** Names the other policies that select the same pods. */
export const also = ([, ...others]: readonly Policy[]): string =>
  others.length === 0 ? '' : `with ${names(others.map(({ text }) => text))}: `;
