// NetworkPolicies (networking.k8s.io/v1): who may reach which port.
import { type PlainMap, textOf, valueAt } from '../../inject/plain.js';
import type { PortSpan } from '../../redirect/port-list.js';
import { objectText, type SourcedObject } from '../objects.js';
import { type Block, readBlock } from './block.js';
import { Reading } from './reading.js';
import { readSelector, type Selector } from './selector.js';

export type Peer =
  /** Pods. `namespaces` null: in the policy's own namespace. */
  | { readonly kind: 'pods'; readonly namespaces: Selector | null; readonly pods: Selector }
  | { readonly kind: 'block'; readonly block: Block };

export interface PolicyPort {
  readonly protocol: string;
  /** Null: given by name. */
  readonly span: PortSpan | null;
  readonly name: string;
}

export interface Rule {
  readonly policy: Policy;
  /** `spec.ingress[0]`. */
  readonly path: string;
  /** Empty: everybody. */
  readonly peers: readonly Peer[];
  /** Empty: all. */
  readonly ports: readonly PolicyPort[];
}

export interface Policy {
  /** `NetworkPolicy shop/web`. */
  readonly text: string;
  readonly source: string;
  readonly namespace: string;
  readonly selector: Selector;
  /** Null: the policy does not cover this direction. */
  readonly ingress: readonly Rule[] | null;
  readonly egress: readonly Rule[] | null;
}

const PROTOCOLS = ['TCP', 'UDP', 'SCTP'];
const ALL: PortSpan = { first: 1, last: 65_535 };

const isPort = (value: unknown): value is number =>
  Number.isInteger(value) && Number(value) >= ALL.first && Number(value) <= ALL.last;

function readPort(reading: Reading, value: unknown, path: string): PolicyPort | null {
  const { protocol = 'TCP', port, endPort } = reading.map(value, path);
  if (typeof protocol !== 'string' || !PROTOCOLS.includes(protocol)) {
    reading.wrong(`${path}.protocol`, `${JSON.stringify(protocol)} is none of ${PROTOCOLS.join(', ')}`);
    return null;
  }
  const end = endPort ?? null;
  if (port === undefined || port === null || typeof port === 'string') {
    if (end !== null) reading.wrong(`${path}.endPort`, 'needs a port that is a number');
    if (typeof port !== 'string') return { protocol, span: ALL, name: '' };
    if (!/^(?=.*[a-z])[a-z0-9](-?[a-z0-9])*$/.test(port) || port.length > 15) {
      const instead = /^\d+$/.test(port) ? `; write it without quotes: ${port}` : '';
      reading.wrong(`${path}.port`, `${JSON.stringify(port)} is not the name of a port${instead}`);
      return null;
    }
    return { protocol, span: null, name: port };
  }
  if (!isPort(port)) {
    reading.wrong(`${path}.port`, `${JSON.stringify(port)} is not a port: they go from 1 to 65535`);
    return null;
  }
  if (end !== null && (!isPort(end) || end < port)) {
    reading.wrong(`${path}.endPort`, `${JSON.stringify(end)} is not a port from ${port} on`);
    return null;
  }
  return { protocol, span: { first: port, last: end === null ? port : Number(end) }, name: '' };
}

function readPeer(reading: Reading, value: unknown, path: string): Peer | null {
  const { namespaceSelector, podSelector, ipBlock } = reading.map(value, path);
  const namespaces = namespaceSelector ?? null;
  const pods = podSelector ?? null;
  if ((ipBlock ?? null) !== null) {
    if (namespaces !== null || pods !== null) reading.wrong(path, 'has an ipBlock and a selector; make two of it');
    const block = readBlock(reading, ipBlock, `${path}.ipBlock`);
    return block === null ? null : { kind: 'block', block };
  }
  if (namespaces === null && pods === null) {
    reading.wrong(path, 'has no namespaceSelector, no podSelector and no ipBlock');
    return null;
  }
  return {
    kind: 'pods',
    namespaces: namespaces === null ? null : readSelector(reading, namespaces, `${path}.namespaceSelector`),
    pods: readSelector(reading, pods, `${path}.podSelector`),
  };
}

const present = <T>(items: readonly (T | null)[]): T[] => items.filter((item): item is T => item !== null);

function readRules(reading: Reading, policy: Policy, spec: PlainMap, way: 'ingress' | 'egress'): Rule[] {
  const peersKey = way === 'ingress' ? 'from' : 'to';
  return reading.list(spec[way], `spec.${way}`).flatMap((entry, i): Rule[] => {
    const path = `spec.${way}[${i}]`;
    const rule = reading.map(entry, path);
    const said = reading.list(rule[peersKey], `${path}.${peersKey}`);
    const ports = reading.list(rule.ports, `${path}.ports`);
    const peers = present(said.map((peer, n) => readPeer(reading, peer, `${path}.${peersKey}[${n}]`)));
    const read = present(ports.map((port, n) => readPort(reading, port, `${path}.ports[${n}]`)));
    // Unreadable entries must not turn a rule into one for everybody, or for all ports.
    if ((said.length > 0 && peers.length === 0) || (ports.length > 0 && read.length === 0)) return [];
    return [{ policy, path, peers, ports: read }];
  });
}

/** Whether it is one. */
export const isPolicy = (object: PlainMap): boolean =>
  object.kind === 'NetworkPolicy' && textOf(object.apiVersion).startsWith('networking.k8s.io/');

/** `namespace`: that of objects without one. */
export function readPolicy({ source, object }: SourcedObject, namespace: string): { policy: Policy; reading: Reading } {
  const own = textOf(valueAt(object, ['metadata', 'namespace'])) || namespace;
  const text = objectText(object, own);
  const reading = new Reading(source, text);
  const spec = reading.map(object.spec, 'spec');
  const types = reading.list(spec.policyTypes, 'spec.policyTypes');
  types.forEach((type, i) => {
    if (type !== 'Ingress' && type !== 'Egress')
      reading.wrong(`spec.policyTypes[${i}]`, `${JSON.stringify(type)} is neither Ingress nor Egress`);
  });
  // By default a policy is for Ingress, and for Egress if it has such rules.
  const egress = types.length === 0 ? Array.isArray(spec.egress) && spec.egress.length > 0 : types.includes('Egress');
  const ingress = types.length === 0 || types.includes('Ingress');
  const policy: { -readonly [K in keyof Policy]: Policy[K] } = {
    text,
    source,
    namespace: own,
    selector: readSelector(reading, spec.podSelector, 'spec.podSelector'),
    ingress: null,
    egress: null,
  };
  if (ingress) policy.ingress = readRules(reading, policy, spec, 'ingress');
  if (egress) policy.egress = readRules(reading, policy, spec, 'egress');
  return { policy, reading };
}
