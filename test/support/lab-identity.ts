// The identity service of a mesh, as a pod of a lab without an API server: it knows the tokens that its kubelet gives to pods.
import { type Installation, installation } from '../../src/inject/installation.js';
import type { GivenObjects, Kubelet, RunningPod } from './kubelet.js';
import { plainPod } from './meshed-pods.js';
import { Pki } from './pki.js';
import type { LabService } from './pod-lab.js';

const NAMESPACE = 'sluice';
const FOLDER = '/etc/identity';
const PORT = 8080;

export interface LabIdentity {
  readonly mesh: Installation;
  /** What pods find it by. */
  readonly service: LabService;
}

/** `accounts` are those that get certificates, as NAMESPACE/ACCOUNT. */
export async function startLabIdentity(
  kubelet: Kubelet,
  objects: GivenObjects,
  accounts: readonly string[],
): Promise<LabIdentity> {
  const pki = await Pki.make();
  const { chain, key } = await pki.issuer;
  const tokens = accounts.map((account) => `token-of-${account.replace('/', '-')} ${account}\n`).join('');
  objects.configMaps.set('identity', { 'tls.crt': chain, 'tls.key': key, 'ca.crt': pki.anchor, tokens });
  const files = { issuer: 'tls.crt', 'issuer-key': 'tls.key', anchors: 'ca.crt', tokens: 'tokens' };
  const named = Object.entries(files).flatMap(([name, file]) => [`--${name}`, `${FOLDER}/${file}`]);
  const ports = ['--listen', `0.0.0.0:${PORT}`, '--admin', '0.0.0.0:9990'];
  const container = {
    name: 'identity',
    image: 'sluice:test',
    args: ['identity', 'serve', ...named, '--mesh', NAMESPACE, '--tls', ...ports],
    startupProbe: { httpGet: { path: '/ready', port: 9990 }, periodSeconds: 1, failureThreshold: 60 },
    volumeMounts: [{ name: 'identity', mountPath: FOLDER }],
  };
  const volumes = [{ name: 'identity', configMap: { name: 'identity' } }];
  const pod: RunningPod = kubelet.run(plainPod('identity', { namespace: NAMESPACE, volumes, containers: [container] }));
  await pod.untilReady();
  return {
    mesh: installation('test', { namespace: NAMESPACE, trustAnchors: pki.anchor }),
    service: {
      name: 'sluice-identity',
      namespace: NAMESPACE,
      addresses: ['10.96.0.8'],
      ports: [{ port: PORT, targets: [{ host: pod.ip, port: PORT }] }],
    },
  };
}
