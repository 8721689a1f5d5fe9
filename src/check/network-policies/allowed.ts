// Which ports rules admit, and for whom.
import { SIDECAR_PORTS } from '../../config/sidecar.js';
import type { PortNames } from '../../inject/layers.js';
import { ADMIN_PORT, type Ports } from '../../inject/settings.js';
import { ADMIN_PORT_NAME, INBOUND_PORT_NAME } from '../../kubernetes/names.js';
import { joinSpans, type PortSpan } from '../../redirect/port-list.js';
import { blockCovers, mayHavePods } from './block.js';
import type { Peer, Rule } from './policy.js';
import { covers, type Selector, selects } from './selector.js';
import type { Namespaces, Workload } from './workloads.js';

/** Everybody in the cluster: the meaning of a missing list of peers, for pods. */
export const ALL_PODS: Peer = { kind: 'pods', namespaces: [], pods: [] };

export const peersOf = ({ peers }: Rule): readonly Peer[] => (peers.length === 0 ? [ALL_PODS] : peers);

/** Whether it is limited to certain ports. */
export const isLimited = ({ ports }: Rule): boolean => ports.length > 0;

/** Container ports of proxies, by name. */
const PROXY_PORTS: PortNames = new Map([
  [INBOUND_PORT_NAME, [SIDECAR_PORTS.inbound]],
  [ADMIN_PORT_NAME, [ADMIN_PORT]],
]);

/** Whether a port name is not one of the proxy's. */
export const isUnknown = (name: string): boolean => name !== '' && !PROXY_PORTS.has(name);

/** The proxy's ports of a workload; the defaults if the workload is unknown. */
export const portsOf = (workload: Workload | null): Pick<Ports, 'inbound' | 'admin'> =>
  workload?.proxy?.ports ?? { inbound: SIDECAR_PORTS.inbound, admin: ADMIN_PORT };

/** Ports that a rule admits by number, and by names of `workload`'s ports. Null: the workload is unknown. */
export function allowed({ ports }: Rule, protocol: string, workload: Workload | null): PortSpan[] {
  if (ports.length === 0) return [{ first: 1, last: 65_535 }];
  const spans = ports.flatMap((port) => {
    if (port.protocol !== protocol) return [];
    if (port.span !== null) return [port.span];
    return ((workload?.names ?? PROXY_PORTS).get(port.name) ?? []).map((number) => ({ first: number, last: number }));
  });
  return joinSpans(spans);
}

export const includes = (spans: readonly PortSpan[], port: number): boolean =>
  spans.some(({ first, last }) => first <= port && port <= last);

export const single = (port: number): PortSpan => ({ first: port, last: port });

/** `spans` without `others`. */
export function without(spans: readonly PortSpan[], others: readonly PortSpan[]): PortSpan[] {
  let left = [...spans];
  for (const { first, last } of others)
    left = left.flatMap((span) =>
      span.last < first || last < span.first
        ? [span]
        : [
            { first: span.first, last: first - 1 },
            { first: last + 1, last: span.last },
          ].filter((part) => part.first <= part.last),
    );
  return left;
}

/** Whether a pod of `workload` matches `peer` of a policy in `namespace`. */
export function isPeer(peer: Peer, workload: Workload, namespace: string, namespaces: Namespaces): boolean {
  if (peer.kind === 'block') return mayHavePods(peer.block);
  return inNamespace(peer.namespaces, workload.namespace, namespace, namespaces) && selects(peer.pods, workload.labels);
}

export const inNamespace = (selector: Selector | null, name: string, own: string, namespaces: Namespaces): boolean =>
  selector === null ? name === own : selects(selector, namespaces.labels(name));

/** Whether `wide` includes everybody in `narrow`; both are in policies of `namespace`. */
export function peerCovers(wide: Peer, narrow: Peer, namespace: string, namespaces: Namespaces): boolean {
  if (wide.kind === 'block')
    return narrow.kind === 'block' ? blockCovers(wide.block, narrow.block) : mayHavePods(wide.block);
  if (narrow.kind === 'block') return wide.namespaces?.length === 0 && wide.pods.length === 0;
  if (!covers(wide.pods, narrow.pods)) return false;
  if (wide.namespaces === null) {
    const own = namespaces.labels(namespace)['kubernetes.io/metadata.name'];
    const named = [{ key: 'kubernetes.io/metadata.name', operator: 'In' as const, values: [own] }];
    return narrow.namespaces === null || covers(named, narrow.namespaces);
  }
  if (narrow.namespaces === null) return selects(wide.namespaces, namespaces.labels(namespace));
  return covers(wide.namespaces, narrow.namespaces);
}

/** Whether it means everybody. */
export const isEverybody = (peer: Peer): boolean =>
  peer.kind === 'pods' && peer.namespaces?.length === 0 && peer.pods.length === 0;

/** Whether a rule for addresses cuts off no mesh pods: it includes none, or another rule admits them. */
export const isAllowedBlock = (
  { namespaces }: { readonly namespaces: Namespaces },
  peer: Peer,
  { policy }: Rule,
  passing: readonly Rule[],
): boolean =>
  (peer.kind === 'block' && !mayHavePods(peer.block)) ||
  passing.some((other) => peersOf(other).some((it) => peerCovers(it, peer, policy.namespace, namespaces)));
