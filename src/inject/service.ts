// Opaque ports of Services, and copying a namespace's opaque ports to its objects.
import { APP_PROTOCOLS, appProtocol } from '../kubernetes/app-protocol.js';
import { settingKey } from '../kubernetes/names.js';
import { Layers, type PortNames } from './layers.js';
import { mapsIn, type PlainMap, textOf, textsOf, valueAt, withEntries } from './plain.js';
import type { InjectProblem } from './problem.js';

type Annotations = Readonly<Record<string, string>>;

/**
 * A namespace's opaque ports as an annotation for an object without its own: clients then know what its proxy does, whatever the namespace
 * says later.
 */
export function inheritedOpaque(own: Annotations, namespace: Annotations): Annotations {
  if (settingKey(own, 'opaque-ports') !== undefined) return {};
  const key = settingKey(namespace, 'opaque-ports');
  return key === undefined ? {} : { [key]: namespace[key] };
}

/** A Service with its namespace's opaque ports; null if there is nothing to do. */
export function injectService(service: PlainMap, namespaceAnnotations: Annotations): PlainMap | null {
  const own = textsOf(valueAt(service, ['metadata', 'annotations']));
  const added = inheritedOpaque(own, namespaceAnnotations);
  return Object.keys(added).length === 0 ? null : withEntries(service, ['metadata', 'annotations'], added);
}

/** Names of its ports, and of the pods' ports behind them. */
function portNames(service: PlainMap): PortNames {
  const names = new Map<string, number[]>();
  for (const { name, targetPort, port } of mapsIn(valueAt(service, ['spec', 'ports'])))
    for (const known of [name, targetPort])
      if (typeof known === 'string') names.set(known, [...(names.get(known) ?? []), Number(port)]);
  return names;
}

/** Problems with a Service's ports. `namesPorts`: port names must be its own; false for its namespace's list. */
export function serviceProblems(service: PlainMap, namesPorts: boolean): readonly InjectProblem[] {
  const layers = new Layers(
    [{ object: 'the Service', annotations: textsOf(valueAt(service, ['metadata', 'annotations'])), namesPorts }],
    portNames(service),
  );
  layers.spans('opaque-ports', true);
  const unknown = mapsIn(valueAt(service, ['spec', 'ports'])).flatMap((port): InjectProblem[] => {
    const text = textOf(port.appProtocol);
    if (text === '' || appProtocol(text) !== null) return [];
    const message = `${JSON.stringify(text)} is unknown, so the protocol of port ${String(port.port)} is detected; expected one of ${APP_PROTOCOLS.join(', ')}`;
    return [{ object: 'the Service', annotation: 'appProtocol', entry: text, message, severity: 'warning' }];
  });
  return [...layers.problems, ...unknown];
}
