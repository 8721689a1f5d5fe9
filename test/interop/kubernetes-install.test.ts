// The manifests of k8s/ and a real Kubernetes: what it takes, and what becomes of them.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Kubectl, kustomize, lackingKubectl } from '../support/kubectl.js';
import { Kubernetes, lackingKubernetes } from '../support/kubernetes.js';

const folder = (name: string): string => fileURLToPath(new URL(`../../../k8s/${name}`, import.meta.url));
/** With what each adds to the base. */
const OVERLAYS: Readonly<Record<string, RegExp>> = {
  'fail-closed': /failurePolicy: Fail\b/,
  'cert-manager': /- --issuer=given\n[\s\S]*kind: Certificate/,
  'io-uring': /io_uring_setup[\s\S]*kind: DaemonSet/,
  monitoring: /kind: PodMonitor/,
  demo: /linkerd\.io\/inject: enabled[\s\S]*config\.linkerd\.io\/opaque-ports: "4406"/,
};
/** Kinds of others, which are there only where those are installed. */
const FOREIGN = /no matches for kind "(PodMonitor|Certificate|Issuer)"/;

describe('the manifests', { skip: lackingKubernetes() || lackingKubectl() }, () => {
  let kubernetes: Kubernetes;
  let kubectl: Kubectl;

  before(async () => {
    kubernetes = await Kubernetes.start();
    kubectl = new Kubectl(kubernetes);
  });
  after(() => kubernetes?.stop());

  it('are applied as a whole, and again without a change', async () => {
    const first = await kubectl.apply(folder(''));
    assert.match(first, /^namespace\/sluice created$/m);
    assert.match(first, /^deployment\.apps\/sluice-controller created$/m);
    await kubectl.apply(folder(''));
    // Exit code 1 where anything differs.
    assert.equal(await kubectl.done(['diff', '-k', folder('')]), '');
  });

  for (const [overlay, adds] of Object.entries(OVERLAYS))
    it(`with ${overlay}`, async () => {
      const text = await kustomize(folder(`overlays/${overlay}`));
      assert.match(text, adds);
      const applied = await kubectl.run(['apply', '--validate=strict', '-k', folder(`overlays/${overlay}`)]);
      const wrong = applied.stderr.split('\n').filter((line) => /error|invalid|denied|warning|not found/i.test(line));
      for (const line of wrong) assert.match(line, FOREIGN, applied.stderr);
      assert.equal(wrong.length > 0, ['cert-manager', 'monitoring'].includes(overlay), applied.stderr);
      // Of its own pods, all that are made are allowed by the standards of their namespaces.
      assert.doesNotMatch(applied.stderr, /would violate PodSecurity/);
    });
});
