// Unintelligible content of objects, for an event and for the log.
import { appProtocol } from './app-protocol.js';
import type { Namespace } from './namespace.js';
import { readPortAnnotation } from './opaque-ports.js';
import type { Pod } from './pod.js';
import type { Service } from './service.js';
import type { Kind } from './stores.js';

export interface ObjectProblem {
  readonly kind: 'Service' | 'Pod' | 'Namespace';
  /** Empty for a Namespace. */
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly field: string;
  readonly message: string;
}

const OBJECT_KINDS = { services: 'Service', pods: 'Pod', namespaces: 'Namespace' } as const;

export function problemsOf(object: Service | Pod | Namespace, kind: Kind): readonly ObjectProblem[] {
  if (kind === 'slices') return [];
  const found: { field: string; message: string }[] = [];
  if (object.opaque !== null) {
    for (const message of readPortAnnotation(object.opaque).problems)
      found.push({ field: 'metadata.annotations[config.linkerd.io/opaque-ports]', message });
  }
  if (kind === 'services') {
    for (const { port, appProtocol: text } of (object as Service).ports) {
      if (text !== '' && appProtocol(text) === null)
        found.push({
          field: `spec.ports[${port}].appProtocol`,
          message: `${JSON.stringify(text)} is unknown; the protocol of the port is detected`,
        });
    }
  }
  if (found.length === 0) return [];
  const { key, uid } = object;
  const slash = key.indexOf('/');
  const place = {
    kind: OBJECT_KINDS[kind],
    namespace: key.slice(0, Math.max(slash, 0)),
    name: key.slice(slash + 1),
    uid,
  };
  return found.map((problem) => ({ ...place, ...problem }));
}
