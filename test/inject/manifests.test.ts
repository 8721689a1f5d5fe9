// Texts of manifests: what is none, and how little of one changes.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { stringify, type ToStringOptions } from 'yaml';
import { same } from '../../src/inject/difference.js';
import { injectObject } from '../../src/inject/inject-object.js';
import { ManifestProblem, MOST_BYTES, objectsOf, readManifest, rewritten } from '../../src/inject/manifests.js';
import { type PlainMap, withEntries } from '../../src/inject/plain.js';
import { uninjectObject } from '../../src/inject/uninject.js';
import { context } from './pods.js';

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
      [`${POD}---\n${POD}  x: [1,\n`, /^some\.yaml: document 2, line 1?\d: is no YAML: /],
      [`${POD}---\n- a\n- b\n`, /^some\.yaml: document 2, line 6: is no object of Kubernetes: it is no map$/],
      [
        `${POD}---\n# c\n\nname: a\n`,
        /^some\.yaml: document 2, line 8: is no object of Kubernetes: it has no apiVersion$/,
      ],
      ['apiVersion: v1\nkind: 7\n', /document 1, line 1: is no object of Kubernetes: it has no kind$/],
      [`${POD}  x: {{ .Values.x }}\n`, /document 1, line 5: has a map for a key: a template that was not filled in\?$/],
      ['a: 1\na: 2\n', /document 1, line 2: is no YAML: /],
      ['{"apiVersion": "v1", "kind": "Pod", }}', /document 1, line 1: is no YAML/],
      ['just a text', /it is no map$/],
      ['a: *b\n', /document 1, line 1: /],
    ];
    for (const [text, message] of wrong) assert.match(problemOf(text), message, text);
  });

  it('is refused where it would cost too much', () => {
    assert.match(problemOf(' '.repeat(MOST_BYTES + 1)), /^some\.yaml: is larger than 8 MiB$/);
    const bomb = ['a0: &a0 [x, x]', ...Array.from({ length: 30 }, (_, i) => `a${i + 1}: &a${i + 1} [*a${i}, *a${i}]`)];
    assert.match(problemOf(`${POD}${bomb.join('\n')}\n`), /has too many aliases$/);
    const deep = '['.repeat(200_000);
    assert.match(problemOf(`{"apiVersion": "v1", "kind": "Pod", "x": ${deep}`), /nested too deeply|is no YAML/);
    assert.match(problemOf('---\n'.repeat(10_002)), /has more than 10000 documents$/);
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

/** Pods of all shapes. */
const annotations = fc.option(
  fc.dictionary(
    fc.constantFrom('team', 'linkerd.io/inject', 'config.linkerd.io/opaque-ports', 'a b', 'yes', '"'),
    fc.constantFrom('enabled', 'x: y', '3306,a', '# no', "it's", '', 'a\nb\n', '1e3', 'null', ' lead'),
  ),
  { nil: undefined },
);
const metadata = fc.record({ name: fc.constantFrom('a', 'yes', '007'), annotations }, { requiredKeys: [] });
const containers = fc.array(
  fc.record({
    name: fc.constantFrom('a', 'b'),
    image: fc.constant('i'),
    args: fc.array(fc.constantFrom('- a', 'x\n\ny', 'x\n', '|', '{}', ''), { maxLength: 2 }),
  }),
  { minLength: 1, maxLength: 2 },
);
const spec = fc.record(
  {
    containers,
    initContainers: containers,
    volumes: fc.constantFrom<unknown>([], [{ name: 'v', emptyDir: {} }], null),
    hostNetwork: fc.constantFrom(true, false),
  },
  { requiredKeys: ['containers'] },
);
const template = fc.record({ metadata: fc.option(metadata, { nil: null }), spec }, { requiredKeys: ['spec'] });
const object = fc.oneof(
  fc.record({ apiVersion: fc.constant('v1'), kind: fc.constant('Pod'), metadata, spec }),
  fc.record({
    apiVersion: fc.constant('apps/v1'),
    kind: fc.constantFrom('Deployment', 'StatefulSet'),
    metadata,
    spec: fc.record({ template }),
  }),
  fc.record({ apiVersion: fc.constant('v1'), kind: fc.constantFrom('Service', 'Namespace', 'ConfigMap'), metadata }),
);
const whole = fc.oneof(
  object,
  fc.record({ apiVersion: fc.constant('v1'), kind: fc.constant('List'), items: fc.array(object, { maxLength: 3 }) }),
);
type Writer = (value: unknown) => string;
const writer: fc.Arbitrary<Writer> = fc.oneof(
  fc
    .record({
      indent: fc.constantFrom(2, 4),
      indentSeq: fc.boolean(),
      defaultStringType: fc.constantFrom('PLAIN', 'QUOTE_DOUBLE', 'QUOTE_SINGLE', 'BLOCK_LITERAL'),
      collectionStyle: fc.constantFrom('any', 'flow'),
      lineWidth: fc.constantFrom(0, 20),
      nullStr: fc.constantFrom('', 'null', '~'),
    })
    .map(
      (options): Writer =>
        (value) =>
          stringify(value, { version: '1.1', ...options } as ToStringOptions),
    ),
  fc.constantFrom<string | number | undefined>(undefined, 2, '\t').map(
    (unit): Writer =>
      (value) =>
        `${JSON.stringify(value, null, unit)}\n`,
  ),
);

const texts = fc
  .tuple(fc.array(whole, { minLength: 1, maxLength: 3 }), writer, fc.boolean())
  .map(([all, write, isWindows]) => {
    const text = all.map((value) => write(value)).join('---\n');
    return isWindows ? text.replaceAll('\n', '\r\n') : text;
  });

describe('texts of all shapes', () => {
  it('are injected, injected again without a change, and uninjected', () => {
    const check = (text: string, manual: boolean): void => {
      const inject = (value: PlainMap): PlainMap =>
        injectObject(value, {
          manual,
          word: 'enabled',
          annotations: { 'config.linkerd.io/opaque-ports': '4406' },
          context: context({ asked: true }),
        }).object;
      const strip = (value: PlainMap): PlainMap => uninjectObject(value).object;
      const injected = rewritten(readManifest(text, 'a'), inject);
      assert.equal(rewritten(readManifest(injected, 'a'), inject), injected);
      const stripped = rewritten(readManifest(injected, 'a'), strip);
      const ours = objectsOf(readManifest(stripped, 'a')).filter(({ value }) => !same(strip(value), value));
      assert.deepEqual(ours, []);
      if (text.includes('\r\n')) assert.doesNotMatch(injected, /(?<!\r)\n/);
    };
    fc.assert(fc.property(texts, fc.boolean(), check), {
      numRuns: Number(process.env.MANIFEST_RUNS ?? 300),
      includeErrorInReport: true,
    });
  });
});
