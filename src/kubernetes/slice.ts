// An EndpointSlice: some of a Service's endpoints, of one family.
import { isIP } from 'node:net';
import type { Family } from '../config/addresses.js';
import type { InternPool } from './intern-pool.js';
import { type JsonObject, objectIn, objectsIn, portIn, textIn, textsIn } from './json.js';
import { keyOf, SERVICE_NAME } from './names.js';

export interface SlicePort {
  readonly name: string;
  readonly port: number;
}

export interface SliceEndpoint {
  readonly address: string;
  readonly ready: boolean;
  /** It is terminating, but still serves. */
  readonly terminating: boolean;
  /** Key of its pod; empty if it is not a pod. */
  readonly pod: string;
  readonly hostname: string;
  readonly node: string;
  readonly zone: string;
  /** Zones whose clients should use it; null: not set. */
  readonly hints: readonly string[] | null;
}

export interface Slice {
  readonly key: string;
  /** Key of its Service. */
  readonly service: string;
  readonly family: Family;
  /** TCP only. */
  readonly ports: readonly SlicePort[];
  readonly endpoints: readonly SliceEndpoint[];
}

const NO_PORTS: readonly SlicePort[] = [];

/** Null: it belongs to no Service, or has names instead of addresses. */
export function readSlice(object: JsonObject, texts: InternPool): Slice | null {
  const metadata = objectIn(object, 'metadata');
  const name = textIn(metadata, 'name');
  const namespace = textIn(metadata, 'namespace');
  const service = textIn(objectIn(metadata, 'labels'), SERVICE_NAME);
  const family = object.addressType === 'IPv4' ? 4 : object.addressType === 'IPv6' ? 6 : 0;
  if (name === '' || namespace === '' || service === '' || family === 0) return null;
  const ports = objectsIn(object, 'ports')
    .filter(({ protocol }) => protocol === undefined || protocol === null || protocol === 'TCP')
    .map((port) => ({ name: texts.one(textIn(port, 'name')), port: portIn(port, 'port') }))
    .filter(({ port }) => port !== 0);
  return {
    key: keyOf(namespace, name),
    service: keyOf(namespace, service),
    family,
    ports: ports.length === 0 ? NO_PORTS : ports,
    endpoints: objectsIn(object, 'endpoints').flatMap((endpoint) => readEndpoint(endpoint, namespace, family, texts)),
  };
}

function readEndpoint(endpoint: JsonObject, namespace: string, family: Family, texts: InternPool): SliceEndpoint[] {
  const [address] = textsIn(endpoint, 'addresses');
  if (address === undefined || isIP(address) !== family) return [];
  const conditions = objectIn(endpoint, 'conditions');
  // Unset means ready, and serving if it is ready.
  const ready = conditions.ready !== false;
  const serving = typeof conditions.serving === 'boolean' ? conditions.serving : ready;
  const target = objectIn(endpoint, 'targetRef');
  const pod = target.kind === 'Pod' ? textIn(target, 'name') : '';
  const hints = objectIn(endpoint, 'hints');
  return [
    {
      address,
      ready,
      terminating: serving && conditions.terminating === true,
      pod: pod === '' ? '' : keyOf(textIn(target, 'namespace') || namespace, pod),
      hostname: textIn(endpoint, 'hostname'),
      node: texts.one(textIn(endpoint, 'nodeName')),
      zone: texts.one(textIn(endpoint, 'zone')),
      hints: Array.isArray(hints.forZones)
        ? objectsIn(hints, 'forZones').map((zone) => texts.one(textIn(zone, 'name')))
        : null,
    },
  ];
}
