import assert from 'node:assert/strict';
import { it } from 'node:test';
import { percentilesOf } from '../../src/harness/latencies.js';
import { merged, seriesOf } from '../../src/report/distribution.js';
import { encoded } from './figures.js';

/** In the middle of a bucket of 64. */
const US = 73_230;

it('no percentile is above the longest', () => {
  const latency = encoded([US]);
  const { p50, p99, p999, max } = percentilesOf(latency);
  assert.deepEqual([p50, p99, p999], [max, max, max]);
  assert.ok(max >= US);
  const { points } = seriesOf('a', merged([latency]));
  assert.ok(points.every(([, value]) => value <= (points.at(-1)?.[1] ?? 0)));
});
