// Expands `sidecar` to the listeners and the shutdown settings of a proxy that shares a pod with its application. This happens in the tree
// before validation, so the result is no more than anybody could write. Explicit settings in the file are kept.
import { readFileSync } from 'node:fs';
import { AUTHORIZATION_DEFAULTS } from './authorization-model.js';
import { parseNetworkList, parsePortList, parseProbeList } from './lists.js';
import type { ListenerConfig } from './model.js';
import type { SidecarConfig } from './sidecar-model.js';
import { attempt } from './values.js';

type Tree = Readonly<Record<string, unknown>>;

export const SIDECAR_PORTS = { inbound: 4143, outbound: 4140 } as const;
/** Names of the listeners that are added. No others may have them then. */
const INBOUND = 'inbound';
const OUTBOUND = 'outbound';
const OUTBOUND_IPV6 = 'outbound-ipv6';
/** Reachable for probes and scrapes from outside of the pod. */
const ADMIN = ':4191';

/** A column of if_inet6, and its value for most addresses (linux/ipv6.h: IPV6_ADDR_SCOPE_MASK). */
const SCOPE = 3;
const GLOBAL = '00';

const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Whether this network namespace has any IPv6 address. */
export function speaksIpv6(): boolean {
  try {
    return readFileSync('/proc/net/if_inet6', 'latin1') !== '';
  } catch {
    return false;
  }
}

/** Whether an address in the kernel's table (if_inet6) has global scope: pods are not reached by loopback or link-local addresses. */
export const hasGlobalIpv6 = (table: string): boolean =>
  table.split('\n').some((line) => line.trim().split(/\s+/)[SCOPE] === GLOBAL);

/** The same for this network namespace. */
export function isReachedByIpv6(): boolean {
  try {
    return hasGlobalIpv6(readFileSync('/proc/net/if_inet6', 'latin1'));
  } catch {
    return false;
  }
}

/** Opaque ports of the pod. An invalid list is reported at its place. */
function opaquePorts({ opaquePorts: written }: Tree): Tree {
  const ports = attempt(() => parsePortList(written));
  return ports === undefined ? {} : { opaquePorts: ports.map(({ first, last }) => `${first}-${last}`) };
}

/** An invalid one is reported at its place. */
const isPolicy = (written: unknown): boolean => AUTHORIZATION_DEFAULTS.some((policy) => policy === written);

/** Who may reach the application. Its kubelet has no identity, but may always probe it. */
function authorization({ inboundPolicy, clusterNetworks, probes }: Tree, top: unknown): Tree {
  const shared = isTree(top) ? top : {};
  const networks = attempt(() => parseNetworkList(clusterNetworks)) ?? [];
  const rules = Array.isArray(shared.rules) ? (shared.rules as unknown[]) : [];
  const open =
    (shared.default ?? inboundPolicy ?? 'all-unauthenticated') === 'all-unauthenticated' && rules.length === 0;
  const asked = open ? [] : (attempt(() => parseProbeList(probes)) ?? []);
  const allowed = asked.map(({ port, path }, index) => ({
    name: `probe-${index + 1}`,
    ports: [port],
    methods: ['GET'],
    path,
  }));
  const own = {
    // The mesh's rules override the pod's own.
    ...(isPolicy(inboundPolicy) && shared.default === undefined ? { default: inboundPolicy } : {}),
    ...(networks.length === 0 ? {} : { clusterNetworks: networks.map(({ text }) => text) }),
    ...(allowed.length === 0 ? {} : { rules: [...allowed, ...rules] }),
  };
  return Object.keys(own).length === 0 ? {} : { authorization: own };
}

/** Discovered services get the same connect timeout as addresses. */
function destination(written: unknown, connect: Tree): Tree {
  if (!isTree(written) || Object.keys(connect).length === 0) return {};
  const { defaults = {} } = written;
  return isTree(defaults) ? { destination: { ...written, defaults: { ...connect, ...defaults } } } : {};
}

/** Where the port of the listener at `index` is written: of those that a sidecar adds, what they are made of. */
export function placeOfListen(
  { sidecar, listeners }: { readonly sidecar: SidecarConfig; readonly listeners: readonly ListenerConfig[] },
  index: number,
): string {
  const name = sidecar.enabled ? listeners[index].name : '';
  const key = name === INBOUND ? 'inbound' : name === OUTBOUND || name === OUTBOUND_IPV6 ? 'outbound' : null;
  if (key === null) return `listeners[${index}].listen`;
  const variable = `SLUICE_SIDECAR_${key.toUpperCase()}`;
  return `sidecar.${key} (or ${variable}; of an injected pod, the annotation config.linkerd.io/${key}-port)`;
}

/** The tree with what `sidecar` stands for; the same tree where it is off. */
export function expandSidecar(tree: unknown, ipv6: boolean): unknown {
  if (!isTree(tree) || !isTree(tree.sidecar) || tree.sidecar.enabled !== true) return tree;
  // An invalid port is reported at its place.
  const port = (name: keyof typeof SIDECAR_PORTS): number => {
    const written = isTree(tree.sidecar) ? tree.sidecar[name] : undefined;
    return Number.isInteger(written) && Number(written) >= 0 && Number(written) < 65_536
      ? Number(written)
      : SIDECAR_PORTS[name];
  };
  const { admin, drain, listeners = [], services = {}, sidecar } = tree;
  if (!Array.isArray(listeners)) return tree;
  const { connectTimeoutInbound, connectTimeoutOutbound } = sidecar;
  const connect = (written: unknown): Tree => (written === undefined ? {} : { connectTimeout: written });
  const outbound = { originalDestination: true, direction: 'outbound', ...connect(connectTimeoutOutbound) };
  const added = [
    {
      name: INBOUND,
      listen: `${ipv6 ? '' : '0.0.0.0'}:${port('inbound')}`,
      originalDestination: true,
      mesh: tree.identity !== undefined && tree.identity !== null,
      ...opaquePorts(sidecar),
      ...authorization(sidecar, tree.authorization),
      ...connect(connectTimeoutInbound),
    },
    { name: OUTBOUND, listen: `127.0.0.1:${port('outbound')}`, ...outbound },
    ...(ipv6 ? [{ name: OUTBOUND_IPV6, listen: `[::1]:${port('outbound')}`, ...outbound }] : []),
  ];
  return {
    ...tree,
    admin: admin === undefined ? { listen: ADMIN } : isTree(admin) ? { listen: ADMIN, ...admin } : admin,
    drain: drain === undefined ? { outbound: 'last' } : isTree(drain) ? { outbound: 'last', ...drain } : drain,
    ...destination(tree.destination, connect(connectTimeoutOutbound)),
    // The file's own listeners come first, so that their indices stay the same.
    listeners: [...listeners, ...added],
    services,
  };
}
