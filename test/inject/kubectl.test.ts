// What is written is for kubectl to read: by its own reader of YAML, which is not ours, and none of 1.2.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { objectsOf, readManifest } from '../../src/inject/manifests.js';
import { asMap, type PlainMap, valueAt, withValueAt } from '../../src/inject/plain.js';
import { repository } from '../docs/fences.js';
import { lackingKubectl } from '../support/kubectl.js';
import { program } from '../support/kubernetes.js';

const MARK = 'test.invalid/mark';
/** kubectl takes no directives, which stand in documents of their own for it. */
const OTHERS = ['kinds'];

const objects = (text: string): PlainMap[] => objectsOf(readManifest(text, 'a')).map(({ value }) => value);

/** With the annotation that kubectl writes, so that it prints each object. */
const marked = (object: PlainMap): PlainMap =>
  withValueAt(object, ['metadata', 'annotations'], {
    ...asMap(valueAt(object, ['metadata', 'annotations'])),
    [MARK]: 'y',
  });

describe('manifests that were injected', { skip: lackingKubectl() }, () => {
  const golden = repository('test/inject/golden/');
  const files = readdirSync(golden).filter(
    (name) =>
      /\.(yaml|json)$/.test(name) && !OTHERS.includes(basename(name).split('.')[0]) && !name.startsWith('empty.'),
  );

  it('are to kubectl what they are to us', () => {
    const paths = files.map((name) => fileURLToPath(new URL(name, golden)));
    const options = paths.flatMap((path) => ['-f', path]);
    const text = execFileSync(program('kubectl'), ['annotate', '--local', `${MARK}=y`, '-o', 'json', ...options], {
      encoding: 'utf8',
      maxBuffer: 1 << 27,
    });
    const expected = paths.flatMap((path) => objects(readFileSync(path, 'utf8')));
    assert.ok(expected.length > 50);
    assert.deepEqual(objects(text), expected.map(marked));
  });
});
