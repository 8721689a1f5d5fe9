import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMetrics } from '../../src/metrics/parse.js';

test('a page is read back as it was written', () => {
  const page = [
    '# HELP a_total what # it is',
    '# TYPE a_total counter',
    'a_total 3',
    'a_total{service="we\\"b\\\\c\\nd, e={}",le="+Inf"} 1e3',
    'b_bucket{} +Inf',
    'no sample at all?',
    '# EOF',
    '',
  ].join('\n');
  assert.deepEqual(parseMetrics(page), [
    { name: 'a_total', labels: {}, value: 3 },
    { name: 'a_total', labels: { service: 'we"b\\c\nd, e={}', le: '+Inf' }, value: 1000 },
    { name: 'b_bucket', labels: {}, value: Number.POSITIVE_INFINITY },
  ]);
});
