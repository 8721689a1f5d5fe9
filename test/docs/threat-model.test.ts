import assert from 'node:assert/strict';
import { test } from 'node:test';
import { schemaKeys } from '../../src/config/keys.js';
import { RESPONSE_REASONS } from '../../src/http/response-reasons.js';
import { CLOSE_REASONS, LIMITS, REASONS, VERDICTS } from '../../src/metrics/layout.js';
import { MAIN_LIMITS } from '../../src/metrics/main-limits.js';
import { page } from './fences.js';

const rows = [...page('docs/threat-model.md').matchAll(/^\| `([a-z0-9-]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$/gm)];
/** Bounds that are the system's or a peer's, not the configuration's. */
const WITHOUT_KEY = ['file-descriptors', 'h2-peer-header-bytes'];

test('every limit is in the threat model, with the key that sets it', () => {
  // The size of files is a limit of the main thread, as those of who looks on; the others are the workers'.
  assert.deepEqual(rows.map(([, limit]) => limit).sort(), [...LIMITS, 'file-size', ...MAIN_LIMITS].sort());
  const keys = new Set(schemaKeys().map(({ path }) => path.join('.')));
  for (const [, limit, , key] of rows) {
    if (WITHOUT_KEY.includes(limit)) continue;
    const name = /^`([a-zA-Z0-9.*[\]]+)`$/.exec(key)?.[1].replaceAll('[]', '.[]') ?? '';
    assert.ok(keys.has(name), `${limit}: no key ${key}`);
  }
});

test('the pages name every reason and verdict that the metrics have', () => {
  const metrics = page('docs/metrics.md');
  for (const reason of [...RESPONSE_REASONS, ...CLOSE_REASONS]) assert.ok(metrics.includes(`\`${reason}\``), reason);
  const detection = page('docs/detection.md');
  for (const word of [...VERDICTS, ...REASONS]) {
    if (word !== 'matched') assert.ok(detection.includes(`\`${word}\``), word);
  }
});
