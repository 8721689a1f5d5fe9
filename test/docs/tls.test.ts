// The examples of docs/tls.md are right, and what the page says is refused, is.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readConfig } from '../../src/config/load.js';
import { formatProblem } from '../../src/config/problem.js';
import { credentialFindings } from '../../src/identity/check-files.js';
import { Pki } from '../support/pki.js';
import { fences, page } from './fences.js';

const examples = fences(page('docs/tls.md')).filter(({ info }) => info === 'yaml');

test('the examples of the page on TLS are valid, with certificates as they name them', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-tls-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const pki = await Pki.make();
  const certs = join(directory, 'certs');
  (await pki.leaf({ dns: ['web.example'] })).write(certs, 'web');
  const shop = (await pki.leaf({ dns: ['*.shop.example', 'shop.example'] })).write(certs, 'shop');
  pki.writeAnchor(certs, 'ca');
  assert.ok(examples.length >= 3);
  const file = join(directory, 'sluice.yaml');
  const findings = () => {
    const { problems, warnings } = credentialFindings('sluice.yaml', readConfig(file, {}));
    return [...problems, ...warnings].map((problem) => formatProblem(problem).replaceAll(`${directory}/`, ''));
  };
  for (const { text, line } of examples) {
    writeFileSync(file, text);
    assert.deepEqual(findings(), [], `docs/tls.md:${line}`);
  }
  writeFileSync(file, examples[0].text);
  writeFileSync(shop.key, '');
  assert.deepEqual(findings(), [
    'sluice.yaml:8:47: listeners[0].tls.certificates[1].key: certs/shop-key.pem is empty; put a PEM file there',
  ]);
});
