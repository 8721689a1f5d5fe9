// Manifests of all shapes, injected and uninjected: properties that hold of each.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { stringify, type ToStringOptions } from 'yaml';
import { same } from '../../src/inject/difference.js';
import { injectObject } from '../../src/inject/inject-object.js';
import { objectsOf, readManifest, rewritten } from '../../src/inject/manifests.js';
import type { PlainMap } from '../../src/inject/plain.js';
import { uninjectObject } from '../../src/inject/uninject.js';
import { context } from './pods.js';

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

const injecting =
  (manual: boolean, annotations: Record<string, string>) =>
  (value: PlainMap): PlainMap =>
    injectObject(value, { manual, word: 'enabled', annotations, context: context({ asked: true }) }).object;
const strip = (value: PlainMap): PlainMap => uninjectObject(value).object;

describe('texts of all shapes', () => {
  it('are injected, injected again without a change, and uninjected', () => {
    const check = (text: string, manual: boolean): void => {
      const inject = injecting(manual, { 'config.linkerd.io/opaque-ports': '4406' });
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

/** A text with remarks, blank lines and spaces put in where they mean nothing. */
function remarked(text: string, places: readonly (readonly [number, number, number])[]): string {
  const meaning = (candidate: string): unknown => {
    try {
      return readManifest(candidate, 'a').parts.map(({ value }) => value);
    } catch {
      return null;
    }
  };
  const before = meaning(text);
  let lines = text.split('\n');
  for (const [index, [place, column, what]] of places.entries()) {
    const at = place % lines.length;
    const space = ' '.repeat(column);
    const next = [...lines];
    if (what === 0) next.splice(at, 0, `${space}# remark ${index}`);
    else if (what === 1) next.splice(at, 0, space);
    else next[at] += what === 2 ? `  # remark ${index}` : space;
    if (same(meaning(next.join('\n')), before)) lines = next;
  }
  return lines.join('\n');
}

const remarks = (text: string): string[] => [...text.matchAll(/# remark \d+/g)].map(([remark]) => remark);

/** In block style, with nothing empty where something is put in or taken out, and nothing of ours: such maps and entries are written anew. */
const some = fc.constantFrom('x: y', '# no', "it's", 'a\nb\n', 'some text that goes on and on', '- q');
const named = fc.record(
  {
    name: fc.constantFrom('a', 'b'),
    annotations: fc.dictionary(fc.constantFrom('team', 'a b', 'x/y'), some, { minKeys: 1 }),
    labels: fc.constant({ app: 'a' }),
  },
  { requiredKeys: ['name'] },
);
const filled = fc.record(
  {
    containers: fc.array(fc.record({ name: fc.constant('a'), args: fc.array(some, { minLength: 1, maxLength: 2 }) }), {
      minLength: 1,
      maxLength: 2,
    }),
    initContainers: fc.constant([{ name: 'i', resources: {} }]),
    volumes: fc.constant([{ name: 'v', emptyDir: {} }]),
    restartPolicy: fc.constant('Always'),
  },
  { requiredKeys: ['containers'] },
);
const plain = fc.oneof(
  fc.record({ apiVersion: fc.constant('v1'), kind: fc.constant('Pod'), metadata: named, spec: filled }),
  fc.record({
    apiVersion: fc.constant('apps/v1'),
    kind: fc.constant('Deployment'),
    metadata: named,
    spec: fc.record({ template: fc.record({ metadata: named, spec: filled }, { requiredKeys: ['spec'] }) }),
  }),
  fc.record({ apiVersion: fc.constant('v1'), kind: fc.constantFrom('Namespace', 'Service'), metadata: named }),
);
const plainTexts = fc
  .tuple(
    fc.array(
      fc.oneof(
        plain,
        plain.map((item) => ({ apiVersion: 'v1', kind: 'List', items: [item] })),
      ),
      {
        minLength: 1,
        maxLength: 2,
      },
    ),
    fc.record({
      indent: fc.constantFrom(2, 4),
      indentSeq: fc.boolean(),
      defaultStringType: fc.constantFrom('PLAIN', 'QUOTE_SINGLE', 'BLOCK_LITERAL', 'BLOCK_FOLDED'),
      defaultKeyType: fc.constant('PLAIN'),
      lineWidth: fc.constantFrom(0, 20),
    }),
  )
  .map(([objects, style]) =>
    objects
      .map((it) => stringify(it, { version: '1.1', aliasDuplicateObjects: false, ...style } as ToStringOptions))
      .join('---\n'),
  );

describe('remarks', () => {
  it('stay, each where it was, and all lines with them', () => {
    const places = fc.array(fc.tuple(fc.nat(200), fc.nat(9), fc.nat(3)), { maxLength: 10 });
    const check = (
      plain: string,
      where: readonly [number, number, number][],
      manual: boolean,
      isOpen: boolean,
    ): void => {
      const text = isOpen ? remarked(plain, where).trimEnd() : remarked(plain, where);
      const result = rewritten(readManifest(text, 'a'), injecting(manual, {}));
      const lines = result.split('\n');
      let next = 0;
      for (const line of text.split('\n')) {
        next = lines.indexOf(line, next) + 1;
        assert.ok(next > 0, `${JSON.stringify(line)} is gone`);
      }
      assert.deepEqual(remarks(rewritten(readManifest(result, 'a'), strip)), remarks(text));
    };
    fc.assert(fc.property(plainTexts, places, fc.boolean(), fc.boolean(), check), {
      numRuns: Number(process.env.MANIFEST_RUNS ?? 100),
      includeErrorInReport: true,
    });
  });
});
