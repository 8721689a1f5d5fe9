import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FAMILIES } from '../../src/metrics/families.js';
import {
  ENDPOINT_HISTOGRAMS,
  LISTENER_HISTOGRAMS,
  SERVICE_HISTOGRAMS,
  WORKER_HISTOGRAMS,
} from '../../src/metrics/layout.js';
import { page } from './fences.js';

test('every metric that the pages name exists', () => {
  const histograms = [WORKER_HISTOGRAMS, LISTENER_HISTOGRAMS, SERVICE_HISTOGRAMS, ENDPOINT_HISTOGRAMS].flat();
  const names = new Set<string>([...FAMILIES.map(({ name }) => name), ...histograms]);
  for (const path of [
    'README.md',
    'docs/metrics.md',
    'docs/prometheus.md',
    'docs/detection.md',
    'docs/balancing.md',
    'docs/threat-model.md',
    'docs/ring.md',
    'docs/configuration.md',
  ]) {
    for (const [, name] of page(path).matchAll(/`((?:sluice|tcp|request|response)_[a-z0-9_]+[a-z])[`{]/g)) {
      assert.ok(names.has(name), `${path}: ${name}`);
    }
  }
});
