// What becomes of objects of manifests, whatever somebody has written into them.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { injectObject, type ObjectOptions, type ObjectReport } from '../../src/inject/inject-object.js';
import { type PlainMap, valueAt } from '../../src/inject/plain.js';
import { problemText } from '../../src/inject/problem.js';
import { uninjectObject } from '../../src/inject/uninject.js';
import { container, context } from './pods.js';

function inject(object: PlainMap, wish: Partial<ObjectOptions> = {}): ObjectReport {
  return injectObject(object, {
    manual: false,
    word: 'enabled',
    annotations: {},
    context: context({ namespace: '', asked: true }),
    ...wish,
  });
}

const deployment = (annotations?: unknown, more: PlainMap = {}): PlainMap => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web' },
  spec: {
    template: {
      ...(annotations === undefined ? {} : { metadata: { annotations } }),
      spec: { containers: [container()], ...more },
    },
  },
});
const written = ({ object }: ObjectReport): unknown => valueAt(object, ['spec', 'template', 'metadata', 'annotations']);
const told = ({ problems }: ObjectReport): string[] => problems.map(problemText);

describe('kinds', () => {
  const template = { spec: { containers: [container()] } };
  const kinds: Readonly<Record<string, readonly string[]>> = {
    'apps/v1': ['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet'],
    v1: ['ReplicationController', 'DeploymentConfig'],
    'batch/v1': ['Job'],
    'apps.openshift.io/v1': ['DeploymentConfig'],
    'extensions/v1beta1': ['Deployment', 'DaemonSet', 'ReplicaSet'],
  };
  for (const [apiVersion, names] of Object.entries(kinds))
    for (const kind of names)
      it(`${kind} of ${apiVersion}`, () => {
        const object = { apiVersion, kind, metadata: { name: 'a' }, spec: { template } };
        for (const manual of [false, true]) {
          const report = inject(object, { manual });
          assert.equal(report.result, 'injected');
          assert.deepEqual(uninjectObject(report.object).object, object);
          assert.notEqual(inject(report.object, { manual }).result, 'injected');
        }
      });

  it('CronJob, with its pods two templates below', () => {
    const spec = { jobTemplate: { spec: { template } } };
    const { object } = inject({ apiVersion: 'batch/v1', kind: 'CronJob', metadata: { name: 'a' }, spec });
    assert.deepEqual(valueAt(object, ['spec', 'jobTemplate', 'spec', 'template', 'metadata', 'annotations']), {
      'linkerd.io/inject': 'enabled',
    });
  });

  it('others are left alone; of those that have pods it is said how these get a proxy', () => {
    const rollout = {
      apiVersion: 'argoproj.io/v1alpha1',
      kind: 'Rollout',
      metadata: { name: 'a' },
      spec: { template },
    };
    const report = inject(rollout);
    assert.equal(report.object, rollout);
    assert.match(
      report.message,
      /^Rollout of argoproj\.io\/v1alpha1 is not a kind that Sluice changes; .*spec\.template\.metadata/,
    );
    const knative = { apiVersion: 'serving.knative.dev/v1', kind: 'Service', spec: { template: {} } };
    assert.equal(inject(knative).message, 'nothing in it to inject');
  });
});

describe('a no', () => {
  const refused = (annotations: PlainMap, namespaceAnnotations: Record<string, string> = {}): string[] =>
    [false, true].map((manual) => {
      const object = deployment(annotations);
      const report = inject(object, {
        manual,
        context: context({ namespace: 'shop', namespaceAnnotations, asked: true }),
      });
      if (report.result === 'skipped') assert.equal(report.object, object);
      return report.result === 'skipped' ? report.message : report.result;
    });

  it('is not written over, however it is spelt, and whoever says it', () => {
    const cases: [PlainMap, Record<string, string>, RegExp][] = [
      [{ 'linkerd.io/inject': 'disabled' }, {}, /^linkerd\.io\/inject of the pod is disabled$/],
      [{ 'linkerd.io/inject': ' disabled ' }, {}, /^linkerd\.io\/inject of the pod is disabled$/],
      [{ 'linkerd.io/inject': false }, {}, /^linkerd\.io\/inject of the pod is "false"; write enabled, disabled/],
      [{ 'sluice.io/inject': 'disabled', 'linkerd.io/inject': 'enabled' }, {}, /^sluice\.io\/inject of the pod/],
      [{}, { 'linkerd.io/inject': 'disabled' }, /^linkerd\.io\/inject of namespace shop is disabled$/],
    ];
    for (const [annotations, namespace, message] of cases)
      for (const said of refused(annotations, namespace)) assert.match(said, message);
  });

  it('counts only where nothing above it says yes', () => {
    const yes: PlainMap = { 'sluice.io/inject': 'enabled', 'linkerd.io/inject': 'disabled' };
    assert.deepEqual(refused(yes), ['unchanged', 'injected']);
    assert.deepEqual(refused({ 'linkerd.io/inject': 'enabled' }, { 'linkerd.io/inject': 'disabled' }), [
      'unchanged',
      'injected',
    ]);
    const report = inject(deployment(yes), { annotations: { 'config.linkerd.io/opaque-ports': '4406' } });
    assert.deepEqual(written(report), { ...yes, 'config.linkerd.io/opaque-ports': '4406' });
  });

  it('holds for a namespace that says it', () => {
    const metadata = { name: 'shop', annotations: { 'linkerd.io/inject': 'off' } };
    const { result, message } = inject({ apiVersion: 'v1', kind: 'Namespace', metadata });
    assert.deepEqual(
      [result, message],
      ['skipped', 'linkerd.io/inject of namespace shop is "off"; write enabled, disabled or ingress'],
    );
  });
});

describe('annotations that are there', () => {
  it('are changed where they say the same by another name, and count', () => {
    const wish = { annotations: { 'config.linkerd.io/opaque-ports': '4406' } };
    for (const key of ['config.sluice.io/opaque-ports', 'config.alpha.linkerd.io/opaque-ports'])
      assert.deepEqual(written(inject(deployment({ [key]: '1' }), wish)), {
        [key]: '4406',
        'linkerd.io/inject': 'enabled',
      });
    const both = { 'config.linkerd.io/opaque-ports': '1', 'config.sluice.io/opaque-ports': '2' };
    assert.deepEqual(written(inject(deployment(both), wish)), {
      ...both,
      'config.sluice.io/opaque-ports': '4406',
      'linkerd.io/inject': 'enabled',
    });
  });

  it('stay where Linkerd’s name means something else', () => {
    const linkerd = { 'config.linkerd.io/proxy-image': 'cr.l5d.io/linkerd/proxy' };
    const wish = { annotations: { 'config.sluice.io/proxy-image': 'registry.test/sluice' } };
    assert.deepEqual(written(inject(deployment(linkerd), wish)), {
      ...linkerd,
      ...wish.annotations,
      'linkerd.io/inject': 'enabled',
    });
  });

  it('are told of where they lack their quotes', () => {
    const report = inject(deployment({ 'config.linkerd.io/proxy-uid': 2103, 'team/number': 7 }));
    assert.deepEqual(told(report), [
      'config.linkerd.io/proxy-uid of the pod: 2103 is not a string, and API servers accept nothing else here; put it in quotes',
    ]);
  });

  it('are read of a namespace as well', () => {
    const annotations = { 'config.linkerd.io/opaque-port': '1', 'config.linkerd.io/skip-inbound-ports': '9-1,web' };
    const report = inject({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', annotations } });
    assert.equal(report.result, 'annotated');
    assert.deepEqual(told(report), [
      'config.linkerd.io/skip-inbound-ports of namespace shop: "9-1" ends before it begins; write 1-9',
      'config.linkerd.io/opaque-port of namespace shop: is not known; did you mean "opaque-ports"?',
    ]);
  });
});

describe('a Service', () => {
  const service = (list: string): PlainMap => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'db', annotations: { 'config.linkerd.io/opaque-ports': list } },
    spec: {
      ports: [
        { name: 'db', port: 3306, targetPort: 'mysql' },
        { port: 80, appProtocol: 'kubernetes.io/h3' },
        { port: 81, appProtocol: 'grpc' },
      ],
    },
  });

  it('knows its own ports by name, and is told of what it says that nobody knows', () => {
    assert.deepEqual(told(inject(service('db,mysql,galera,1e3'))), [
      'config.linkerd.io/opaque-ports of the Service: "galera" is not a port, nor the name of one that the Service has',
      'config.linkerd.io/opaque-ports of the Service: "1e3" is not a port, nor the name of one that the Service has',
      'appProtocol of the Service: "kubernetes.io/h3" is unknown, so the protocol of port 80 is detected; expected one of http, kubernetes.io/ws, kubernetes.io/h2c, grpc, https, tls, kubernetes.io/wss, linkerd.io/opaque, linkerd.io/tcp',
    ]);
  });

  it('gets opaque ports, and nothing else of what is asked for', () => {
    const annotations = { 'config.linkerd.io/opaque-ports': '4406', 'config.linkerd.io/proxy-log-level': 'debug' };
    const bare = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'db' } };
    const { object, result } = inject(bare, { annotations });
    assert.equal(result, 'annotated');
    assert.deepEqual(valueAt(object, ['metadata', 'annotations']), { 'config.linkerd.io/opaque-ports': '4406' });
    assert.deepEqual(uninjectObject(object).object, bare);
  });
});

describe('an object that is not what it says it is', () => {
  it('stays as it is, and the field is named', () => {
    const pod = (spec: unknown, metadata: unknown = {}): PlainMap => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata,
      spec,
    });
    const cases: [PlainMap, string][] = [
      [pod(undefined), 'spec is missing'],
      [pod('x'), 'spec is not a map'],
      [pod({ containers: { a: 1 } }), 'spec.containers is not a list'],
      [pod({ containers: ['a'] }), 'spec.containers[0] is not a map'],
      [pod({ containers: [container()], volumes: 'none' }), 'spec.volumes is not a list'],
      [pod({ containers: [container(), null] }), 'spec.containers[1] is not a map'],
      [pod({ containers: [container()] }, []), 'metadata is not a map'],
      [pod({ containers: [container()] }, { annotations: ['a'] }), 'metadata.annotations is not a map'],
      [pod({ containers: [container()] }, { labels: 'a' }), 'metadata.labels is not a map'],
      [pod({}), 'it has no containers'],
      [deployment('x'), 'spec.template.metadata.annotations is not a map'],
      [{ apiVersion: 'apps/v1', kind: 'Deployment', spec: {} }, 'spec.template is missing'],
      [{ apiVersion: 'batch/v1', kind: 'CronJob', spec: { jobTemplate: [] } }, 'spec.jobTemplate is not a map'],
      [{ apiVersion: 'v1', kind: 'Service', metadata: { annotations: 'x' } }, 'metadata.annotations is not a map'],
      [{ apiVersion: 'v1', kind: 'Namespace', metadata: 7 }, 'metadata is not a map'],
    ];
    for (const [object, message] of cases)
      for (const manual of [false, true]) {
        const report = inject(object, { manual, annotations: { 'config.linkerd.io/opaque-ports': '1' } });
        assert.deepEqual([report.result, report.message], ['skipped', message]);
        assert.equal(report.object, object);
      }
  });
});
