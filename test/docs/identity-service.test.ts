// The page about the identity service says what there is: its options, reasons, metrics, and what `sluice identity dev` prints.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { identityServeCommand } from '../../src/cli/identity-serve.js';
import { IssuingMetrics } from '../../src/identity/issuing/metrics.js';
import { REFUSAL_STATUS } from '../../src/identity/issuing/refusal.js';
import { inherited } from '../support/sluice.js';
import { fences, page } from './fences.js';

const PAGE = page('docs/identity-service.md');
const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

test('the page names the metrics that there are, and no others', () => {
  const metrics = new IssuingMetrics({ version: '' });
  metrics.watch({ concurrent: () => 0, connections: () => 0, issuerEndsMs: () => 0 });
  const there = metrics.registry.getMetricsAsArray().map(({ name }) => name);
  const named = [...PAGE.matchAll(/^\| `(sluice_\w+)` \|/gm)].map(([, name]) => name);
  assert.deepEqual(named.sort(), there.filter((name) => name.startsWith('sluice_identity_')).sort());
  metrics.registry.clear();
});

test('the page names the reasons that there are, with their status', () => {
  const named = [...PAGE.matchAll(/^\| `([a-z-]+)` \| ([A-Z_]+) \|/gm)].map(([, reason, status]) => [reason, status]);
  assert.deepEqual(Object.fromEntries(named), REFUSAL_STATUS);
});

test('the options that the page names are those of the help', () => {
  const options = (text: string): Set<string> => new Set(text.match(/--[a-z][a-z-]+/g));
  const known = options(identityServeCommand.help);
  for (const option of options(PAGE)) assert.ok(known.has(option) || option === '--names', option);
});

test('the commands of the page do what it shows', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-page-'));
  const blocks = fences(PAGE);
  const at = blocks.findIndex(({ info }) => info === 'sh test');
  const args = blocks[at].text.replace(/^npx sluice /, '').split(' ');
  const { stdout } = spawnSync(process.execPath, [MAIN, ...args], {
    cwd: directory,
    encoding: 'utf8',
    env: inherited(),
  });
  const lines = stdout.split('\n');
  for (const line of blocks[at + 1].text.split('\n')) {
    const [before, rest = ''] = line.split('…');
    assert.ok(
      lines.some((shown) => shown.startsWith(before) && shown.endsWith(rest)),
      line,
    );
  }
  rmSync(directory, { recursive: true });
});
