// Texts of manifests: what is none, and how little of one changes.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MAX_BYTES, ManifestProblem, objectsOf, readManifest, rewritten } from '../../src/inject/manifests.js';
import { type PlainMap, withEntries } from '../../src/inject/plain.js';

const POD = 'apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n';

function problemOf(text: string): string {
  try {
    readManifest(text, 'some.yaml');
  } catch (error) {
    if (error instanceof ManifestProblem) return error.message;
    throw error;
  }
  return 'none';
}

const annotate = (object: PlainMap): PlainMap => withEntries(object, ['metadata', 'annotations'], { 'a/b': 'c' });

describe('a text that is no manifest', () => {
  it('is refused with file, document and line', () => {
    const wrong: [string, RegExp][] = [
      [`${POD}---\n${POD}  x: [1,\n`, /^some\.yaml: document 2, line 1?\d: is not valid YAML: /],
      [`${POD}  labels:\n    a: b\n    a: c\n`, /document 1, line 7: is not valid YAML: a map has a key twice$/],
      ['{apiVersion: v1, kind: Pod, kind: Pod}', /document 1, line 1: is not valid YAML: a map has a key twice$/],
      [`${POD}---\n- a\n- b\n`, /^some\.yaml: document 2, line 6: is not a Kubernetes object: it is not a map$/],
      [
        `${POD}---\n# c\n\nname: a\n`,
        /^some\.yaml: document 2, line 8: is not a Kubernetes object: it has no apiVersion$/,
      ],
      ['apiVersion: v1\nkind: 7\n', /document 1, line 1: is not a Kubernetes object: it has no kind$/],
      [`${POD}  x: {{ .Values.x }}\n`, /document 1, line 5: has a map for a key: a template that was not filled in\?$/],
      ['a: 1\na: 2\n', /document 1, line 2: is not valid YAML: /],
      [
        `${POD}{{- if .Values.x }}\n  x: y\n`,
        /document 1, line \d: is not valid YAML: .*; a template that was not filled in\?$/,
      ],
      ['{"apiVersion": "v1", "kind": "Pod", }}', /document 1, line 1: is not valid YAML/],
      ['{"apiVersion": "v1", "kind": "Pod"}\n\n {"kind": "Pod"}', /document 2, line 3: .* it has no apiVersion$/],
      ['{"apiVersion": "v1", "kind": "Pod"} {"a": }', /document 1, line 1: is not valid YAML/],
      [
        'apiVersion: v1\nkind: List\nitems: [null]',
        /document 1, line 1: is not a list of objects: items\[0\] is not a map$/,
      ],
      [
        'apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: List, items: [{apiVersion: v1}]}]',
        /is not a list of objects: items\[0\]\.items\[0\] has no kind$/,
      ],
      ['just a text', /it is not a map$/],
      ['a: *b\n', /document 1, line 1: /],
      [
        `x: &x {labels: {a: b}}\n${POD}  labels: {c: d}\n  <<: *x\n`,
        /document 1, line 6: has "labels" in front of <<, which brings it too, and wins: put << first$/,
      ],
      [`${POD}  <<: [{a: b}, {<<: {name: c}}]\n`, /line 4: has "name" in front of <</],
    ];
    for (const [text, message] of wrong) assert.match(problemOf(text), message, text);
  });

  it('is refused where it would cost too much', () => {
    assert.match(problemOf(' '.repeat(MAX_BYTES + 1)), /^some\.yaml: is larger than 8 MiB$/);
    const bomb = ['a0: &a0 [x, x]', ...Array.from({ length: 30 }, (_, i) => `a${i + 1}: &a${i + 1} [*a${i}, *a${i}]`)];
    assert.match(problemOf(`${POD}${bomb.join('\n')}\n`), /has too many aliases$/);
    const deep = '['.repeat(200_000);
    assert.match(problemOf(`{"apiVersion": "v1", "kind": "Pod", "x": ${deep}`), /nested too deeply|is not valid YAML/);
    assert.match(problemOf('---\n'.repeat(10_002)), /has more than 10000 documents$/);
  });
});

it('a map of very many keys is read once, and not once for each of them', { timeout: 120_000 }, () => {
  // Each key against all others would take several minutes.
  const keys = Array.from({ length: 150_000 }, (_, i) => `  key${i}: v\n`).join('');
  const text = `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\ndata:\n${keys}`;
  assert.equal(Object.keys(readManifest(text, 'some.yaml').parts[0].value?.data ?? {}).length, 150_000);
});

describe('a list', () => {
  const kinds = (value: unknown): unknown[] =>
    objectsOf(readManifest(JSON.stringify(value), 'a')).map(
      ({ value: object }) => `${object.apiVersion}/${object.kind}`,
    );

  it('says what its items are, where they do not, and they stay as they are', () => {
    const text = 'apiVersion: apps/v1\nkind: DeploymentList\nitems:\n- metadata: {}\n- kind: Pod\n  apiVersion: v1\n';
    const manifest = readManifest(text, 'a');
    const seen: unknown[] = [];
    const result = rewritten(manifest, (object) => {
      seen.push([object.apiVersion, object.kind]);
      return object.kind === 'Deployment' ? annotate(object) : object;
    });
    assert.deepEqual(seen, [
      ['apps/v1', 'Deployment'],
      ['v1', 'Pod'],
    ]);
    assert.equal(result, text.replace('{}', '{"annotations": {"a/b": "c"}}'));
  });

  it('has lists in it, and is an object like others where its items are none', () => {
    const pod = { apiVersion: 'v1', kind: 'Pod' };
    const list = (...items: unknown[]): object => ({ apiVersion: 'v1', kind: 'List', items });
    assert.deepEqual(kinds(list(pod, list(list(pod)), list())), ['v1/Pod', 'v1/Pod']);
    assert.deepEqual(kinds({ apiVersion: 'x.test/v1', kind: 'AllowList', items: ['a', {}] }), ['x.test/v1/AllowList']);
    assert.deepEqual(kinds({ apiVersion: 'v1', kind: 'PodList', items: null }), ['v1/PodList']);
  });
});

describe('a text of which little changes', () => {
  const cases: Readonly<Record<string, readonly [string, string]>> = {
    'a map that is missing': [POD, 'apiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\n    a/b: c\n  name: a\n'],
    'no metadata at all': [
      'apiVersion: v1\nkind: Pod\n',
      'metadata:\n  annotations:\n    a/b: c\napiVersion: v1\nkind: Pod\n',
    ],
    'a comment behind the key': [
      'apiVersion: v1\nkind: Pod\nmetadata: # m\n  # n\n  name: a\n',
      'apiVersion: v1\nkind: Pod\nmetadata: # m\n  annotations:\n    a/b: c\n  # n\n  name: a\n',
    ],
    'a key without a value, at the end of the text': [
      'apiVersion: v1\nkind: Pod\nmetadata:',
      'apiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\n    a/b: c',
    ],
    'an item of a list': [
      'apiVersion: v1\nkind: PodList\nitems:\n  - apiVersion: v1 # x\n    kind: Pod\n',
      'apiVersion: v1\nkind: PodList\nitems:\n  - metadata:\n      annotations:\n        a/b: c\n    apiVersion: v1 # x\n    kind: Pod\n',
    ],
    'a value that differs, in its quotes': [
      "apiVersion: v1\nkind: Pod\nmetadata: {annotations: {a/b: 'd' }} # x\n",
      'apiVersion: v1\nkind: Pod\nmetadata: {annotations: {a/b: "c" }} # x\n',
    ],
    'single quotes': [
      "apiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\n    a/b: 'd'   # x\n",
      "apiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\n    a/b: 'c'   # x\n",
    ],
    'a byte order mark': [
      `\ufeff${POD}`,
      `\ufeffapiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\n    a/b: c\n  name: a\n`,
    ],
    'an anchor on its own line': [
      'apiVersion: v1\nkind: Pod\nmetadata:\n  &m\n  name: a\nspec: *m\n',
      'apiVersion: v1\nkind: Pod\nmetadata:\n  &m\n  annotations:\n    a/b: c\n  name: a\nspec:\n  name: a\n',
    ],
    'a merge, behind which keys count': [
      'x: &x {a: b}\napiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  <<: *x # x\n  labels: {}',
      'x: &x {a: b}\napiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  <<: *x # x\n  annotations:\n    a/b: c\n  labels: {}',
    ],
    'a merge at the end, and of several maps': [
      'x: [&x {a: b}, &y {c: d}]\napiVersion: v1\nkind: Pod\nmetadata:\n  <<: [*x, *y]',
      'x: [&x {a: b}, &y {c: d}]\napiVersion: v1\nkind: Pod\nmetadata:\n  <<: [*x, *y]\n  annotations:\n    a/b: c',
    ],
    'a merge in braces': [
      'x: &x {a: b}\napiVersion: v1\nkind: Pod\nmetadata: {name: a, <<: *x, labels: {}}\n',
      'x: &x {a: b}\napiVersion: v1\nkind: Pod\nmetadata: {name: a, <<: *x, "annotations": {"a/b": "c"}, labels: {}}\n',
    ],
    'annotations that a merge brings': [
      'x: &x {annotations: {d: e}}\napiVersion: v1\nkind: Pod\nmetadata:\n  <<: *x\n',
      'x: &x {annotations: {d: e}}\napiVersion: v1\nkind: Pod\nmetadata:\n  <<: *x\n  annotations:\n    d: e\n    a/b: c\n',
    ],
    'tabs in JSON': [
      '{\n\t"apiVersion": "v1",\n\t"kind": "Pod",\n\t"metadata": {}\n}\n',
      '{\n\t"apiVersion": "v1",\n\t"kind": "Pod",\n\t"metadata": {\n\t\t"annotations": {\n\t\t\t"a/b": "c"\n\t\t}\n\t}\n}\n',
    ],
  };
  for (const [name, [before, after]] of Object.entries(cases))
    it(name, () => {
      const manifest = readManifest(before, 'a.yaml');
      assert.equal(rewritten(manifest, annotate), after);
      assert.equal(rewritten(readManifest(after, 'a.yaml'), annotate), after);
    });

  it('is the very same where nothing changes', () => {
    const text = '# only\n\n---\n   \n---\nkind:   Pod\napiVersion: v1\n...\n# end';
    assert.equal(
      rewritten(readManifest(text, 'a.yaml'), (object) => object),
      text,
    );
  });
});
