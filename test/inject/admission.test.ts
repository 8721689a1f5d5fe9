// AdmissionReview: what API servers ask, and what they get.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type AdmissionContext, review } from '../../src/inject/admission.js';
import { asMap, type PlainMap, valueAt } from '../../src/inject/plain.js';
import { applyPatch } from './apply-patch.js';
import { injected, mesh, pod } from './pods.js';

const namespaces: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  shop: { 'linkerd.io/inject': 'enabled', 'config.linkerd.io/opaque-ports': '4406' },
};
const context: AdmissionContext = { mesh: mesh(), namespaceAnnotations: (name) => namespaces[name] ?? null };

const asking = (object: PlainMap, more: PlainMap = {}): PlainMap => ({
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request: {
    uid: '705ab4f5-6393-11e8-b7cc-42010a800002',
    kind: { group: '', version: 'v1', kind: object.kind ?? 'Pod' },
    namespace: 'plain',
    operation: 'CREATE',
    object,
    ...more,
  },
});

interface Answer {
  readonly uid: string;
  readonly allowed: boolean;
  readonly patchType?: string;
  readonly patch?: string;
  readonly warnings?: string[];
}

const answered = (asked: PlainMap): Answer => asMap(review(asked, context).answer).response as Answer;
const patchOf = ({ patch }: Answer): { op: string; path: string; value: unknown }[] =>
  patch === undefined ? [] : JSON.parse(Buffer.from(patch, 'base64').toString());

describe('a review of a pod', () => {
  it('answers with a patch that makes what injecting makes, and nothing that was there', () => {
    const asked = pod();
    const answer = answered(asking(asked));
    assert.equal(answer.uid, '705ab4f5-6393-11e8-b7cc-42010a800002');
    assert.equal(answer.allowed, true);
    assert.equal(answer.patchType, 'JSONPatch');
    const patch = patchOf(answer);
    assert.deepEqual([...new Set(patch.map(({ op }) => op))], ['add']);
    assert.deepEqual(applyPatch(asked, patch), injected(asked, { namespace: 'plain' }).pod);
  });

  it('adds to lists item by item, and names keys with slashes as RFC 6901 does', () => {
    const init = { name: 'migrate', image: 'm' };
    const asked = pod({}, { initContainers: [init], volumes: [{ name: 'data', emptyDir: {} }] });
    const patch = patchOf(answered(asking(asked)));
    assert.deepEqual(
      patch.map(({ path }) => path),
      [
        '/metadata/annotations/sluice.io~1proxy-version',
        '/metadata/labels',
        '/spec/initContainers/0',
        '/spec/initContainers/1',
        '/spec/volumes/0',
        '/spec/volumes/1',
      ],
    );
    assert.deepEqual(applyPatch(asked, patch), injected(asked, { namespace: 'plain' }).pod);
  });

  it('goes by the namespace, and copies its opaque ports', () => {
    const bare = { kind: 'Pod', metadata: { generateName: 'web-' }, spec: { containers: [{ name: 'a', image: 'a' }] } };
    assert.deepEqual(patchOf(answered(asking(bare))), []);
    const result = applyPatch(bare, patchOf(answered(asking(bare, { namespace: 'shop' }))));
    assert.deepEqual(valueAt(result, ['metadata', 'annotations']), {
      'config.linkerd.io/opaque-ports': '4406',
      'sluice.io/proxy-version': '1.2.3',
    });
    const { outcome } = review(asking(bare), context);
    assert.deepEqual([outcome?.result, outcome?.reason], ['skipped', 'not-asked']);
  });

  it('patches once: what has the proxy is allowed as it is', () => {
    const { outcome, answer } = review(asking(injected(pod()).pod), context);
    assert.deepEqual([outcome?.result, outcome?.reason], ['skipped', 'injected']);
    assert.deepEqual(asMap(answer).response, { uid: '705ab4f5-6393-11e8-b7cc-42010a800002', allowed: true });
  });

  it('tells whoever applies it of bad entries, and the controller of whom to tell', () => {
    const asked = pod({ 'config.linkerd.io/opaque-ports': '3306,4O06' });
    const owner = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-1', uid: 'u', controller: true };
    const metadata = { ...asMap(asked.metadata), ownerReferences: [owner] };
    const { answer, outcome } = review(asking({ ...asked, metadata }, { dryRun: true }), context);
    const { warnings = [] } = asMap(answer).response as Answer;
    assert.match(warnings[0], /^sluice: config\.linkerd\.io\/opaque-ports of the pod: "4O06"/);
    assert.deepEqual(outcome?.owner, { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-1', uid: 'u' });
    assert.equal(outcome?.problems[0].entry, '4O06');
    assert.equal(outcome?.dryRun, true);
  });
});

describe('a review of something else', () => {
  const service = (annotations?: PlainMap): PlainMap => ({
    kind: 'Service',
    metadata: { name: 'db', ...(annotations === undefined ? {} : { annotations }) },
  });

  it('gives a Service the opaque ports of its namespace, if it has none', () => {
    const asked = service();
    for (const operation of ['CREATE', 'UPDATE']) {
      const patch = patchOf(answered(asking(asked, { namespace: 'shop', operation })));
      assert.deepEqual(patch, [
        { op: 'add', path: '/metadata/annotations', value: { 'config.linkerd.io/opaque-ports': '4406' } },
      ]);
    }
    for (const prefix of ['config.linkerd.io/', 'config.sluice.io/'])
      assert.deepEqual(
        patchOf(answered(asking(service({ [`${prefix}opaque-ports`]: '' }), { namespace: 'shop' }))),
        [],
      );
    assert.deepEqual(patchOf(answered(asking(asked))), []);
  });

  it('tells of a Service with bad entries', () => {
    const { answer, outcome } = review(
      asking(service({ 'config.linkerd.io/opaque-ports': 'mysql,4O06,9-1' })),
      context,
    );
    assert.deepEqual(
      outcome?.problems.map(({ object, entry }) => [object, entry]),
      [['the Service', '9-1']],
    );
    assert.equal((asMap(answer).response as Answer).warnings?.length, 1);
  });

  it('allows what is not injected', () => {
    const asked = pod();
    for (const more of [
      { kind: { group: 'apps', version: 'v1', kind: 'Deployment' } },
      { operation: 'UPDATE' },
      { operation: 'DELETE', object: null },
      { operation: 'CREATE', subResource: 'ephemeralcontainers' },
      { object: null },
      { object: 'nonsense', namespace: 7 },
      { kind: null },
    ])
      assert.deepEqual(answered(asking(asked, more)), { uid: '705ab4f5-6393-11e8-b7cc-42010a800002', allowed: true });
  });
});

describe('what is no review', () => {
  it('gets a Status that says what is wrong', () => {
    const wrong: [unknown, RegExp][] = [
      [null, /found null/],
      [{}, /kind is nothing/],
      [
        { ...asking(pod()), apiVersion: 'admission.k8s.io/v1beta1' },
        /v1beta1"; this port takes admission\.k8s\.io\/v1/,
      ],
      [{ ...asking(pod()), kind: 'ConversionReview' }, /ConversionReview/],
      [{ ...asking(pod()), request: [] }, /request is \[\]/],
      [asking(pod(), { uid: 7 }), /request\.uid is missing/],
    ];
    for (const [asked, message] of wrong) {
      const { answer, outcome } = review(asked, context);
      assert.equal(outcome, null);
      assert.deepEqual([answer.kind, answer.status, answer.code], ['Status', 'Failure', 400]);
      assert.match(String(answer.message), message);
    }
  });

  it('never throws, and never forbids', () => {
    const keys = fc.constantFrom(
      'metadata',
      'annotations',
      'labels',
      'spec',
      'containers',
      'initContainers',
      'volumes',
      'securityContext',
      'ports',
      'name',
      'livenessProbe',
      'httpGet',
      'linkerd.io/inject',
      'config.linkerd.io/opaque-ports',
      'config.linkerd.io/proxy-additional-env',
      'config.sluice.io/x',
      '__proto__',
    );
    const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 6, depthSize: 'large' },
        fc.constantFrom<unknown>('enabled', '+1,a-b', '[{}]', '', null, true, 0, -1, 70_000, 'Always'),
        fc.array(tie('tree'), { maxLength: 3 }),
        fc.dictionary(keys, tie('tree'), { maxKeys: 6 }),
      ),
    }));
    fc.assert(
      fc.property(tree, tree, (object, annotations) => {
        const asked = asking(pod(), { object });
        const more = asking({
          ...pod(),
          metadata: { annotations: { ...asMap(annotations), 'linkerd.io/inject': 'enabled' } },
        });
        for (const it of [asked, more, object]) {
          const { answer, outcome } = review(it, context);
          if (outcome === null) assert.equal(answer.kind, 'Status');
          else assert.equal((answer.response as Answer).allowed, true);
        }
      }),
      { numRuns: 500 },
    );
  });
});
