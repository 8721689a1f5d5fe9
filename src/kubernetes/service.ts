// The properties of a Service that determine where its traffic goes.
import { isIP } from 'node:net';
import type { Family } from '../config/addresses.js';
import type { InternPool } from './intern-pool.js';
import { type JsonObject, objectIn, objectsIn, portIn, textIn, textsIn } from './json.js';
import { keyOf, setting } from './names.js';

export interface ServicePort {
  readonly name: string;
  readonly port: number;
  /** The name of its pods' port; empty if it is a number. */
  readonly targetName: string;
  readonly appProtocol: string;
}

export interface Service {
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** In Node.js's notation; none for a headless Service. */
  readonly clusterIps: readonly string[];
  /** The preferred address family; 0: not set. */
  readonly family: Family | 0;
  /** It is an alias for an external name. */
  readonly external: boolean;
  /** TCP only. */
  readonly ports: readonly ServicePort[];
  /** Text of the annotation; null: none. */
  readonly opaque: string | null;
  /** Only endpoints on the client's own node serve. */
  readonly local: boolean;
}

const isTcp = (port: JsonObject): boolean => port.protocol === undefined || port.protocol === 'TCP';

/** Null: it has no name. */
export function readService(object: JsonObject, texts: InternPool): Service | null {
  const metadata = objectIn(object, 'metadata');
  const name = textIn(metadata, 'name');
  const namespace = texts.one(textIn(metadata, 'namespace'));
  if (name === '' || namespace === '') return null;
  const spec = objectIn(object, 'spec');
  const addresses = textsIn(spec, 'clusterIPs');
  const [family] = textsIn(spec, 'ipFamilies');
  const ports = objectsIn(spec, 'ports').filter(isTcp);
  return {
    key: keyOf(namespace, name),
    namespace,
    name,
    uid: textIn(metadata, 'uid'),
    clusterIps: (addresses.length > 0 ? addresses : [textIn(spec, 'clusterIP')]).filter(
      (address) => isIP(address) !== 0,
    ),
    family: family === 'IPv4' ? 4 : family === 'IPv6' ? 6 : 0,
    external: spec.type === 'ExternalName',
    ports: ports
      .map((port) => ({
        name: texts.one(textIn(port, 'name')),
        port: portIn(port, 'port'),
        targetName: texts.one(textIn(port, 'targetPort')),
        appProtocol: texts.one(textIn(port, 'appProtocol')),
      }))
      .filter(({ port }) => port !== 0),
    opaque: setting(objectIn(metadata, 'annotations'), 'opaque-ports'),
    local: spec.internalTrafficPolicy === 'Local',
  };
}
