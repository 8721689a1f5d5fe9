// Checks the proxies in pods: whether they are ready, of the right version, and present where requested.

import { refusalOf } from '../../inject/inject-pod.js';
import { installation } from '../../inject/installation.js';
import { VERSION_ANNOTATION } from '../../inject/names.js';
import { textsOf } from '../../inject/plain.js';
import { podView } from '../../inject/pod.js';
import type { ApiClient } from '../../kubernetes/client.js';
import { type JsonObject, objectIn, objectsIn, textIn } from '../../kubernetes/json.js';
import { PROXY } from '../../kubernetes/names.js';
import { names } from '../network-policies/findings.js';
import { all, containerStates, longName, metadataOf, nameOf } from './reading.js';
import { checkError, checkWarning, type Report } from './report.js';

const OVER = ['Succeeded', 'Failed'];
const RESTART = 'kubectl rollout restart gives them one, of the version that is installed';

const hasProxy = (pod: JsonObject): boolean => {
  const spec = objectIn(pod, 'spec');
  const containers = [...objectsIn(spec, 'initContainers'), ...objectsIn(spec, 'containers')];
  return containers.some((container) => textIn(container, 'name') === PROXY);
};

const isReady = (pod: JsonObject): boolean =>
  containerStates(pod).some((state) => textIn(state, 'name') === PROXY && state.ready === true);

function versions(proxies: readonly JsonObject[], own: string): string {
  if (proxies.length === 0) return '';
  const byVersion = new Map<string, string[]>();
  for (const pod of proxies) {
    const version = textsOf(metadataOf(pod).annotations)[VERSION_ANNOTATION] ?? 'unknown';
    byVersion.set(version, [...(byVersion.get(version) ?? []), longName(pod)]);
  }
  const [first = own] = byVersion.keys();
  if (byVersion.size === 1 && first === own) return own;
  const said = [...byVersion].map(([version, pods]) => `${version}: ${names(pods)}`).join('; ');
  throw checkWarning(`this is ${own}, and they are ${said}`, RESTART);
}

async function without(client: ApiClient, pods: readonly JsonObject[]): Promise<string> {
  const namespaces = await all(client, '/api/v1/namespaces');
  const annotations = new Map(namespaces.map((it) => [nameOf(it), textsOf(metadataOf(it).annotations)]));
  // Whether a running pod has a token is visible in its own spec.
  const mesh = installation('', { trustAnchors: 'there are some' });
  const asking = pods.filter((pod) => {
    const namespace = textIn(metadataOf(pod), 'namespace');
    const namespaceAnnotations = annotations.get(namespace) ?? {};
    return refusalOf(podView(pod), { mesh, namespace, namespaceAnnotations, asked: false }) === null;
  });
  if (asking.length === 0) return '';
  throw checkWarning(
    `${names(asking.map(longName))}: asked for, and not there`,
    `${RESTART}; if it does not, the controller's log says why`,
  );
}

export async function checkDataPlane(report: Report, client: ApiClient, version: string): Promise<void> {
  report.section('sluice-data-plane');
  let pods: JsonObject[] = [];
  const read = await report.check('pods can be listed', async () => {
    const listed = await all(client, '/api/v1/pods');
    pods = listed.filter((pod) => !OVER.includes(textIn(objectIn(pod, 'status'), 'phase')));
    return `${pods.length} running or about to, ${pods.filter(hasProxy).length} with a proxy`;
  });
  const proxies = pods.filter(hasProxy);
  if (!read) return;
  await report.check('their proxies are ready', () => {
    const late = proxies.filter((pod) => !isReady(pod)).map(longName);
    if (late.length === 0) return '';
    throw checkError(`not ready: ${names(late)}`, `kubectl logs POD -c ${PROXY}`);
  });
  await report.check('proxies are of this version', () => versions(proxies, version));
  await report.check('pods that ask for a proxy have one', () =>
    without(
      client,
      pods.filter((pod) => !hasProxy(pod)),
    ),
  );
}
