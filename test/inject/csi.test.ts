// Pods whose proxies find their certificates in a volume of cert-manager's csi-driver.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { controllerOptions } from '../../src/cli/controller.js';
import { UsageError } from '../../src/cli/usage.js';
import { csiIssuer } from '../../src/inject/csi.js';
import { asMap, mapsIn, type PlainMap } from '../../src/inject/plain.js';
import { uninjectObject } from '../../src/inject/uninject.js';
import { containerOf, injected, mesh, pod, variablesOf } from './pods.js';

const MESH = mesh({ csiIssuer: csiIssuer('sluice-workloads') });
const volumeOf = (from: PlainMap, name: string): PlainMap | undefined =>
  mapsIn(asMap(from.spec).volumes).find((volume) => volume.name === name);

describe('certificates from a csi-driver', () => {
  it('are in a volume of the pod, for its account, that the proxy alone has', () => {
    const { pod: after } = injected(pod({}, { serviceAccountName: 'web' }), { mesh: MESH });
    assert.deepEqual(volumeOf(after, 'sluice-identity'), {
      name: 'sluice-identity',
      csi: {
        driver: 'csi.cert-manager.io',
        readOnly: true,
        volumeAttributes: {
          'csi.cert-manager.io/issuer-name': 'sluice-workloads',
          'csi.cert-manager.io/issuer-kind': 'ClusterIssuer',
          'csi.cert-manager.io/issuer-group': 'cert-manager.io',
          // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the driver's to replace.
          'csi.cert-manager.io/dns-names': 'web.${POD_NAMESPACE}.serviceaccount.identity.sluice.cluster.local',
          'csi.cert-manager.io/key-usages': 'digital signature,key encipherment,server auth,client auth',
          'csi.cert-manager.io/key-encoding': 'PKCS8',
          'csi.cert-manager.io/duration': '24h',
          'csi.cert-manager.io/fs-group': '2102',
          'csi.cert-manager.io/certificate-file': 'tls.crt',
          'csi.cert-manager.io/privatekey-file': 'tls.key',
          'csi.cert-manager.io/ca-file': 'ca.crt',
        },
      },
    });
    const mount = { name: 'sluice-identity', mountPath: '/var/run/secrets/sluice', readOnly: true };
    assert.deepEqual(containerOf(after, 'sluice-proxy').volumeMounts, [mount]);
    assert.equal(containerOf(after, 'app').volumeMounts, undefined);
    const identity = Object.entries(variablesOf(after)).filter(([name]) => name.startsWith('SLUICE_IDENTITY_'));
    assert.deepEqual(Object.fromEntries(identity), {
      SLUICE_IDENTITY_NAME:
        '$(SLUICE_SIDECAR_ACCOUNT).$(SLUICE_SIDECAR_NAMESPACE).serviceaccount.identity.sluice.cluster.local',
      SLUICE_IDENTITY_FILES_CERTIFICATE: '/var/run/secrets/sluice/tls.crt',
      SLUICE_IDENTITY_FILES_KEY: '/var/run/secrets/sluice/tls.key',
      SLUICE_IDENTITY_FILES_ANCHORS: '/var/run/secrets/sluice/ca.crt',
    });
  });

  it('need no token, and are the group of the proxy to read', () => {
    const annotations = { 'config.linkerd.io/proxy-gid': '3000' };
    const { pod: after } = injected(pod(annotations, { automountServiceAccountToken: false }), { mesh: MESH });
    assert.equal(volumeOf(after, 'sluice-identity-token'), undefined);
    const { volumeAttributes } = asMap(volumeOf(after, 'sluice-identity')?.csi);
    assert.equal(asMap(volumeAttributes)['csi.cert-manager.io/fs-group'], '3000');
    assert.match(String(asMap(volumeAttributes)['csi.cert-manager.io/dns-names']), /^default\./);
    assert.equal(asMap(containerOf(after, 'sluice-proxy').securityContext).runAsGroup, 3000);
  });

  it('go with the proxy when that is taken out again', () => {
    const { pod: after } = injected(pod(), { mesh: MESH });
    assert.equal(asMap(uninjectObject(after).object.spec).volumes, undefined);
  });

  it('are from the issuer that is named', () => {
    const env = { KUBERNETES_SERVICE_HOST: '10.0.0.1' };
    const named = (text: string) => controllerOptions({ 'csi-issuer': text }, env).csiIssuer;
    assert.equal(controllerOptions({}, env).csiIssuer, null);
    assert.deepEqual(named('mesh'), { name: 'mesh', kind: 'ClusterIssuer', group: 'cert-manager.io' });
    assert.deepEqual(named('Issuer/mesh.a'), { name: 'mesh.a', kind: 'Issuer', group: 'cert-manager.io' });
    assert.deepEqual(named('PrivateCA.ca.example.com/mesh'), {
      name: 'mesh',
      kind: 'PrivateCA',
      group: 'ca.example.com',
    });
    for (const text of ['', 'a/', '/a', 'a b', 'Issuer/a/b', 'Issuer./a', 'Mesh'])
      assert.throws(
        () => named(text),
        (error) => error instanceof UsageError && error.message.startsWith('--csi-issuer: '),
        text,
      );
  });
});
