// Names of metrics keep Prometheus's rules: https://prometheus.io/docs/practices/naming/. Linkerd's are as Linkerd has them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Exposition } from '../../src/metrics/exposition.js';
import { FAMILIES } from '../../src/metrics/families.js';
import type { Family } from '../../src/metrics/family.js';
import { MetricsReader } from '../../src/metrics/reader.js';
import { allocateWorkerMemory } from '../../src/metrics/shared.js';
import { noPromtool, promtool } from '../support/promtool.js';

/** Names that are Linkerd's. */
const LINKERD = new Set([
  'request_total',
  'response_total',
  'response_latency_ms',
  'tcp_open_total',
  'tcp_open_connections',
  'tcp_read_bytes_total',
  'tcp_write_bytes_total',
  'tcp_close_total',
  'inbound_tcp_detect_http_results_total',
  'outbound_tcp_detect_http_results_total',
  'inbound_tcp_detect_http_duration_seconds',
  'outbound_tcp_detect_http_duration_seconds',
  'inbound_http_balancer_endpoints',
  'outbound_http_balancer_endpoints',
  'control_identity_cert_expiration_timestamp_seconds',
  'control_identity_cert_refresh_timestamp_seconds',
  'control_identity_cert_refreshes_total',
]);
/** Of these, the ones that break a rule: dashboards ask for them as they are. */
const EXEMPT: readonly string[] = ['response_latency_ms'];

const OTHER_UNITS =
  /_(?:s|ms|us|ns|sec|secs|millis|milliseconds|microseconds|nanoseconds|minutes|hours|days|b|kb|mb|gb|kib|mib|gib|bits|kilobytes|megabytes|kibibytes|mebibytes|percent|percentage)(?:_|$)/;
const TYPES = /_(?:counter|gauge|histogram|summary)(?:_|$)/;
const RESERVED = /_(?:bucket|count|sum|created|info)$/;
/** A base unit is the last word, but for `_total`. */
const UNIT_BEFORE_MORE = /_(?:seconds|bytes|ratio)_(?!total$)/;

function faults({ name, type, help }: Pick<Family, 'name' | 'type' | 'help'>): string[] {
  const found: string[] = [];
  if (!/^[a-z]+(?:_[a-z0-9]+)*$/.test(name)) found.push('is not in lower case with single underscores');
  if (name.endsWith('_total') !== (type === 'counter')) found.push('counters end in _total, and only they do');
  if (OTHER_UNITS.test(name)) found.push('has a unit that is no base unit, or short for one');
  if (TYPES.test(name)) found.push('has its type in its name');
  if (RESERVED.test(name)) found.push('ends as a series of a histogram, or as what OpenMetrics reserves');
  if (UNIT_BEFORE_MORE.test(name)) found.push('has words after its unit');
  if (help.trim() === '') found.push('has no help');
  if (!name.startsWith('sluice_') && !LINKERD.has(name)) found.push("is neither ours (sluice_) nor Linkerd's");
  return found.map((fault) => `${name} ${fault}`);
}

test('the names of all families keep the rules, those of Linkerd apart', () => {
  const found = FAMILIES.filter(({ name }) => !EXEMPT.includes(name)).flatMap(faults);
  assert.deepEqual(found, []);
  const names = FAMILIES.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length, 'a name is declared twice');
  for (const name of LINKERD) assert.ok(names.includes(name), `${name} is not declared`);
  for (const name of EXEMPT) assert.ok(LINKERD.has(name), `${name} is ours, and not exempt`);
});

test('names that break a rule are found', () => {
  for (const [name, type] of [
    ['sluice_endpoint_ewma_milliseconds', 'gauge'],
    ['sluice_connect_latency_ms', 'histogram'],
    ['sluice_retries', 'counter'],
    ['sluice_open_total', 'gauge'],
    ['sluice_stream_count', 'gauge'],
    ['sluice_seconds_waited', 'gauge'],
    ['sluice_load_gauge', 'gauge'],
    ['sluice_slabFree', 'gauge'],
    ['other_requests_total', 'counter'],
  ] as const) {
    assert.equal(faults({ name, type, help: 'What it is' }).length, 1, name);
  }
});

/** A page with a series of each family, as a page of a proxy that has seen everything. */
function wholePage(): string {
  return FAMILIES.map(({ name, type, help }) => {
    const series =
      type === 'histogram'
        ? [`${name}_bucket{le="1"} 1`, `${name}_bucket{le="+Inf"} 1`, `${name}_sum 1`, `${name}_count 1`]
        : [`${name} 1`];
    return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${series.join('\n')}\n`;
  }).join('');
}

/** What promtool finds, without the names that are exempt. */
const findings = (page: string): readonly string[] =>
  promtool(['check', 'metrics'], page).lines.filter((line) => !EXEMPT.includes(line.split(' ')[0]));

test('promtool finds no fault with any family', { skip: noPromtool }, () => {
  assert.deepEqual(findings(wholePage()), []);
  assert.equal(promtool(['check', 'metrics'], '# TYPE sluice_wait_ms gauge\nsluice_wait_ms 1\n').status, 3);
});

test('promtool finds no fault with the page, with what prom-client adds', { skip: noPromtool }, async () => {
  const reader = new MetricsReader();
  reader.addWorker(0, allocateWorkerMemory());
  reader.setListener(reader.listeners.acquire('edge'), { name: 'edge', direction: 'inbound' });
  reader.setService(reader.services.acquire('web'), { name: 'web' });
  const { body } = await new Exposition(reader, { version: '1.2.3', executor: 'epoll' }).page('');
  assert.match(body, /^process_open_fds /m);
  assert.match(body, /^sluice_build_info\{/m);
  assert.deepEqual(findings(body), []);
});
