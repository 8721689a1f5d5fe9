// The manifests of k8s/ and a real Kubernetes: what it takes, what becomes of them, and what each right of the controller is for.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Kubectl, kustomize, lackingKubectl } from '../support/kubectl.js';
import { Kubernetes, lackingKubernetes } from '../support/kubernetes.js';
import { LimitedController } from '../support/limited-controller.js';
import { controllerRights, type Right, rightText, uses } from '../support/role-rights.js';
import { AT_FIRST, leaveIssuer, QUIET, WORKS } from './controller-rights.js';

const folder = (name: string): string => fileURLToPath(new URL(`../../../k8s/${name}`, import.meta.url));
/** With what each adds to the base. */
const OVERLAYS: Readonly<Record<string, RegExp>> = {
  'fail-closed': /failurePolicy: Fail\b/,
  'cert-manager-csi': /- --csi-issuer=sluice-workloads\n[\s\S]*kind: ClusterIssuer/,
  'cert-manager': /- --issuer=given\n[\s\S]*kind: Certificate/,
  'io-uring': /io_uring_setup[\s\S]*kind: DaemonSet/,
  monitoring: /kind: PodMonitor/,
  demo: /linkerd\.io\/inject: enabled[\s\S]*config\.linkerd\.io\/opaque-ports: "4406"/,
};
const WEBHOOK = 'mutatingwebhookconfiguration/sluice-injector';

interface Deployment {
  readonly replicas: number;
  readonly strategy: { readonly rollingUpdate: object };
  readonly template: { readonly spec: { readonly containers: readonly { readonly image: string }[] } };
}

/** Kinds of others, which are there only where those are installed. */
const FOREIGN = /no matches for kind "(PodMonitor|Certificate|Issuer|ClusterIssuer)"/;

describe('on a real API server', { skip: lackingKubernetes() || lackingKubectl() }, () => {
  let kubernetes: Kubernetes;
  let kubectl: Kubectl;

  before(async () => {
    kubernetes = await Kubernetes.start(undefined, true);
    kubectl = new Kubectl(kubernetes);
  });
  after(() => kubernetes?.stop());

  describe('the manifests', () => {
    it('are applied as a whole, and again without a change', async () => {
      const first = await kubectl.apply(folder(''));
      assert.match(first, /^namespace\/sluice created$/m);
      assert.match(first, /^deployment\.apps\/sluice-controller created$/m);
      await kubectl.apply(folder(''));
      // Exit code 1 where anything differs.
      assert.equal(await kubectl.done(['diff', '-k', folder('')]), '');
    });

    it('become those of the next version, and leave alone what the controller has written', async () => {
      const bundle = Buffer.from('anchors').toString('base64');
      const written = [{ op: 'add', path: '/webhooks/0/clientConfig/caBundle', value: bundle }];
      await kubectl.done(['patch', WEBHOOK, '--type=json', `--patch=${JSON.stringify(written)}`]);
      const next = (await kustomize(folder(''))).replaceAll(/image: sluice:\S+/g, 'image: sluice:next');
      const second = await kubectl.done(['apply', '--validate=strict', '-f', '-'], next);
      assert.match(second, /^deployment\.apps\/sluice-controller configured$/m);
      assert.match(second, /^mutatingwebhookconfiguration\S* unchanged$/m);
      const said = await kubectl.done(['get', 'deployment', 'sluice-controller', '-n', 'sluice', '-o', 'json']);
      const { spec } = JSON.parse(said) as { spec: Deployment };
      const { replicas, strategy, template } = spec;
      assert.deepEqual([replicas, template.spec.containers[0].image], [2, 'sluice:next']);
      // One after the other, and none ends before the next one is ready.
      assert.deepEqual(strategy.rollingUpdate, { maxUnavailable: 0, maxSurge: 1 });
      const path = ['-o', 'jsonpath={.webhooks[0].clientConfig.caBundle}'];
      assert.equal(await kubectl.done(['get', WEBHOOK, ...path]), bundle);
      await kubectl.apply(folder(''));
    });

    for (const [overlay, adds] of Object.entries(OVERLAYS))
      it(`with ${overlay}`, async () => {
        const text = await kustomize(folder(`overlays/${overlay}`));
        assert.match(text, adds);
        const applied = await kubectl.run(['apply', '--validate=strict', '-k', folder(`overlays/${overlay}`)]);
        const wrong = applied.stderr.split('\n').filter((line) => /error|invalid|denied|warning|not found/i.test(line));
        for (const line of wrong) assert.match(line, FOREIGN, applied.stderr);
        assert.equal(wrong.length > 0, /^(cert-manager|monitoring)/.test(overlay), applied.stderr);
        // Of its own pods, all that are made are allowed by the standards of their namespaces.
        assert.doesNotMatch(applied.stderr, /would violate PodSecurity/);
      });
  });

  describe('a controller', () => {
    const rights = controllerRights();
    /** By the text of the right that it lacks; those with all rights begin with an issuer of before, or with nothing. */
    const controllers = new Map<string, LimitedController>();
    const whole = { before: 'all rights', fresh: 'all rights and nothing there' };
    const of = (name: string): LimitedController => {
      const found = controllers.get(name);
      assert.ok(found !== undefined, name);
      return found;
    };
    const refused = (right: Right): boolean =>
      kubernetes
        .audited(of(rightText(right)).user)
        .some((record) => record.responseStatus?.code === 403 && uses(record, inNamespace(right)));
    const inNamespace = (right: Right): Right =>
      right.namespace === '' ? right : { ...right, namespace: of(rightText(right)).namespace };

    before(async () => {
      const lacking = [...rights.map(rightText), ...Object.values(whole)];
      await Promise.all(
        lacking.map(async (name, index) => {
          const controller = new LimitedController(kubernetes, `rights-${index}`);
          controllers.set(name, controller);
          await controller.prepare(rights.filter((right) => rightText(right) !== name));
          if (!AT_FIRST.includes(name) && name !== whole.fresh) await leaveIssuer(kubernetes, controller.namespace);
        }),
      );
      await Promise.all([...controllers.values()].map((controller) => controller.start()));
    });
    after(() => Promise.all([...controllers.values()].map((controller) => controller.stop())));

    it('has rights of which it is known what each is for', () => {
      assert.deepEqual(Object.keys(WORKS).sort(), rights.map(rightText).sort());
    });

    it('with all of them does all that they are for, and is refused nothing', async () => {
      for (const name of Object.values(whole)) {
        const controller = of(name);
        for (const [right, works] of Object.entries(WORKS))
          if (name !== whole.fresh || !right.startsWith('update secrets'))
            await controller.until(() => works(controller), right);
        const records = kubernetes.audited(controller.user);
        assert.deepEqual(
          records.filter(({ responseStatus }) => responseStatus?.code === 403),
          [],
        );
      }
    });

    for (const right of rights) {
      const name = rightText(right);
      it(`lacks what it needs where it may not ${name}`, async () => {
        const controller = of(name);
        await controller.until(async () => !(await WORKS[name](controller)) && refused(right), 'is refused');
        if (!QUIET.includes(name)) {
          const said = `cannot ${right.verb} resource ${right.resource}`;
          await controller.until(() => controller.saysOf(said), said);
        }
        // Nothing else has been refused: no right stands for another.
        const others = kubernetes
          .audited(controller.user)
          .filter((record) => record.responseStatus?.code === 403 && !uses(record, inNamespace(right)));
        assert.deepEqual(others, []);
      });
    }

    it('goes on once it has the right', async () => {
      const goesOn = async (name: string): Promise<void> => {
        const controller = of(name);
        await controller.allow(rights);
        // It ends where it does not know what it is to write into pods, and is started again as a pod's container is.
        if (controller.failure !== '') await controller.start();
        await controller.until(() => WORKS[name](controller), `${name} works`);
      };
      await Promise.all(rights.map((right) => goesOn(rightText(right))));
    });
  });

  it('leave nothing that concerns others when they are deleted', async () => {
    // The namespace itself goes when controllers of Kubernetes have emptied it.
    await kubectl.done(['delete', '--wait=false', '-k', folder('')]);
    const others = [WEBHOOK, 'clusterrole/sluice-controller', 'clusterrolebinding/sluice-controller'];
    for (const object of others) {
      const { code, stderr } = await kubectl.run(['get', object]);
      assert.equal(code, 1, object);
      assert.match(stderr, /NotFound/);
    }
    const { metadata } = await kubernetes.done('GET', '/api/v1/namespaces/sluice');
    assert.notEqual((metadata as { deletionTimestamp?: string }).deletionTimestamp, undefined);
    const name = 'after';
    await kubernetes.namespace(name);
    await kubernetes.account(name, 'default');
    const pod = { metadata: { name }, spec: { containers: [{ name, image: name }] } };
    await kubernetes.done('POST', `/api/v1/namespaces/${name}/pods`, pod);
  });
});
