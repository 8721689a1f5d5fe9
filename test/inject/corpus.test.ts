// Manifests in the manner of public ones, and what becomes of each: test/inject/golden/ has it. `UPDATE_GOLDEN=1` writes it anew.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, extname } from 'node:path';
import { describe, it } from 'node:test';
import { reportLines } from '../../src/cli/manifest-output.js';
import { injectObject, type ObjectReport } from '../../src/inject/inject-object.js';
import { objectsOf, readManifest, rewritten } from '../../src/inject/manifests.js';
import { type PlainMap, textOf, textsOf, valueAt } from '../../src/inject/plain.js';
import { uninjectObject } from '../../src/inject/uninject.js';
import { namespaceOf, roleOf } from '../../src/inject/workloads.js';
import { repository } from '../docs/fences.js';
import { context } from './pods.js';

const UPDATE = process.env.UPDATE_GOLDEN !== undefined;
const GOLDEN = repository('test/inject/golden/');
/** In these, something of the original is ours already, or an alias was written out, or an empty map is gone. */
const DIFFERENT = new Set([
  'anchors.yaml',
  'database.yaml',
  'cronjob.yaml',
  'dense.json',
  'flow.yaml',
  'injected.yaml',
  'kinds.yaml',
  'kustomized.yaml',
  'list.json',
  'merged.yaml',
  'refused.yaml',
]);

/** In these, something of the original is ours already. */
const OURS = new Set(['cronjob.yaml', 'database.yaml', 'injected.yaml', 'kustomized.yaml', 'refused.yaml']);

interface Made {
  readonly text: string;
  /** What is said of each object. */
  readonly said: string;
}

type Change = (object: PlainMap) => ObjectReport;

function made(file: string, text: string, change: Change, done = 'injected'): Made {
  const lines: string[] = [];
  const result = rewritten(readManifest(text, file), (object) => {
    const report = change(object);
    lines.push(...reportLines(object, report, done));
    return report.object;
  });
  return { text: result, said: `${lines.join('\n')}\n` };
}

function injecting(text: string, file: string, manual: boolean): Change {
  const namespaces = new Map(
    objectsOf(readManifest(text, file))
      .filter(({ value }) => roleOf(value).kind === 'namespace')
      .map(({ value }) => [
        textOf(valueAt(value, ['metadata', 'name'])),
        textsOf(valueAt(value, ['metadata', 'annotations'])),
      ]),
  );
  return (object) => {
    const namespace = namespaceOf(object);
    const namespaceAnnotations = namespaces.get(namespace) ?? {};
    const annotations = manual ? {} : { 'config.linkerd.io/proxy-log-level': 'debug' };
    return injectObject(object, {
      manual,
      word: 'enabled',
      annotations,
      context: context({ namespace, namespaceAnnotations, asked: true }),
    });
  };
}

function golden(name: string, text: string): void {
  const file = new URL(name, GOLDEN);
  if (UPDATE) {
    mkdirSync(GOLDEN, { recursive: true });
    writeFileSync(file, text);
  }
  assert.equal(text, readFileSync(file, 'utf8'), name);
}

/** Without what is empty: to Kubernetes that is the same. */
function full(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(full);
  if (typeof value !== 'object' || value === null) return value;
  const rest = Object.entries(value).map(([key, item]) => [key, full(item)] as const);
  return Object.fromEntries(
    rest.filter(([, item]) => item !== null && (typeof item !== 'object' || Object.keys(item).length > 0)),
  );
}

const objects = (text: string, file: string): unknown => readManifest(text, file).parts.map(({ value }) => full(value));

describe('the corpus of manifests', () => {
  for (const file of readdirSync(repository('test/inject/corpus/'))) {
    const original = readFileSync(repository(`test/inject/corpus/${file}`), 'utf8');
    const extension = extname(file);
    const name = basename(file, extension);
    const bare = made(file, original, uninjectObject, 'uninjected');
    it(`${file}, uninjected: without what is ours`, () => {
      if (bare.text !== original) golden(`${name}.uninjected${extension}`, bare.text);
      assert.equal(bare.text !== original, OURS.has(file));
      assert.equal(made(file, bare.text, uninjectObject, 'uninjected').text, bare.text);
    });
    for (const mode of ['annotated', 'manual'] as const) {
      it(`${file}, ${mode}: as it should be, the same when injected again, and gone when uninjected`, () => {
        const manual = mode === 'manual';
        const { text, said } = made(file, original, injecting(original, file, manual));
        golden(`${name}.${mode}${extension}`, text);
        golden(`${name}.${mode}.txt`, said);
        const again = made(file, text, injecting(text, file, manual));
        assert.equal(again.text, text);
        assert.doesNotMatch(again.said, / injected$/m);
        const undone = made(file, text, uninjectObject, 'uninjected');
        if (DIFFERENT.has(file)) assert.deepEqual(objects(undone.text, file), objects(bare.text, file));
        else assert.equal(undone.text, original);
      });
    }
  }
});
