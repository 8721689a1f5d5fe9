import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RESPONSE_REASONS } from '../../src/http/response-reasons.js';
import { H, H2_ERRORS, H2_ROLES } from '../../src/http2/counters.js';
import { LATENCY_BOUNDS_MS } from '../../src/metrics/bounds.js';
import { Exposition, prefersOpenMetrics } from '../../src/metrics/exposition.js';
import { FAMILIES } from '../../src/metrics/families.js';
import {
  ENDPOINT_FIELDS,
  HTTP2_FIELDS,
  LISTENER_FIELDS,
  SERVICE_FIELDS,
  WORKER_FIELDS,
} from '../../src/metrics/fields.js';
import {
  CLOSE_REASONS,
  E,
  endpointBase,
  endpointHistogram,
  GRPC_CODES,
  h2Base,
  L,
  LIMITS,
  listenerBase,
  listenerHistogram,
  REASONS,
  S,
  serviceBase,
  serviceHistogram,
  VERDICTS,
  verdictField,
  W,
  workerHistogram,
} from '../../src/metrics/layout.js';
import { MetricsReader } from '../../src/metrics/reader.js';
import { allocateWorkerMemory, WorkerMetrics } from '../../src/metrics/shared.js';

function proxy() {
  const reader = new MetricsReader();
  const memory = allocateWorkerMemory();
  reader.addWorker(0, memory);
  const listener = reader.listeners.acquire('edge');
  const service = reader.services.acquire('web');
  const endpoint = reader.endpoints.acquire('web|127.0.0.1:9001');
  reader.setListener(listener, { name: 'edge', direction: 'inbound' });
  reader.setService(service, { name: 'web' });
  reader.setEndpoint(endpoint, { service: 'web', address: '127.0.0.1:9001' });
  const metrics = new WorkerMetrics(memory);
  const exposition = new Exposition(reader, { version: '1.2.3', executor: 'epoll' });
  return { reader, metrics, listener, service, endpoint, exposition };
}

const TARGET = 'direction="outbound",service="web",target_addr="127.0.0.1:9001"';

/** Value of the only line that starts with `series`. */
function valueIn(page: string, series: string): number {
  const lines = page.split('\n').filter((line) => line.startsWith(`${series} `));
  assert.equal(lines.length, 1, `${series} in ${lines.length} lines`);
  return Number(lines[0].slice(series.length + 1));
}

/** The lines of a page on which a single field was set to 1. */
async function visible(field: (setup: ReturnType<typeof proxy>) => number): Promise<string[]> {
  const setup = proxy();
  setup.metrics.values[field(setup)] = 1;
  const { body } = await setup.exposition.page('');
  return body
    .split('\n')
    .filter(
      (line) => !line.startsWith('#') && line.endsWith(' 1') && !/^(nodejs|process)_|^sluice_build_info/.test(line),
    );
}

const W_BLOCKS = [
  'LIMIT',
  'RESPONSE',
  'HTTP2',
  'TLS_RESUMED',
  'TLS_TRUNCATED',
  'TLS_BROKEN',
  'TLS_DONE',
  'TLS_FAILED',
  'SIZE',
];

test('every field of the layout is exposed', async () => {
  const named = new Set(FAMILIES.map(({ name }) => name));
  const missing: string[] = [];
  const tables = [
    ['W', W, WORKER_FIELDS, W_BLOCKS],
    ['H', H, HTTP2_FIELDS, ['RESET_SENT', 'RESET_RECEIVED', 'GOAWAY_SENT', 'GOAWAY_RECEIVED', 'SIZE']],
    ['L', L, LISTENER_FIELDS, ['CLOSE', 'VERDICT', 'TLS', 'COUNTED_BY_IDENTITY', 'SIZE']],
    ['S', S, SERVICE_FIELDS, ['RESPONSE', 'GRPC_STATUS', 'GRPC_MISSING', 'SIZE']],
    ['E', E, ENDPOINT_FIELDS, ['CLOSE', 'STATUS', 'GRPC_STATUS', 'GRPC_MISSING', 'PASSED', 'SIZE']],
  ] as const;
  for (const [kind, layout, fields, blocks] of tables) {
    for (const [key, offset] of Object.entries(layout)) {
      if ((blocks as readonly string[]).includes(key)) continue;
      const metric = (fields as Record<string, { name: string; help: string; scale?: number }>)[key];
      assert.ok(metric !== undefined && named.has(metric.name) && metric.help !== '', `${kind}.${key} has no metric`);
      const setup = proxy();
      const base = { W: 0, H: h2Base(1), L: listenerBase(1), S: serviceBase(1), E: endpointBase(1) }[kind];
      // STATE 1 and PROTOCOL 1 are shown as the label of a worker that sees it.
      const mark = key === 'STATE' || key === 'PROTOCOL' ? 1 : 7;
      setup.metrics.values[base + offset] = mark;
      const { body } = await setup.exposition.page('');
      const lines = body.split('\n').filter((line) => line.startsWith(`${metric.name}{`));
      const shown = lines.some((line) => Math.abs(Number(line.split(' ').at(-1)) / (metric.scale ?? 1) - mark) < 1e-9);
      if (!shown) missing.push(`${kind}.${key}`);
    }
  }
  assert.deepEqual(missing, []);
});

test('files of endpoints are counted by the main thread', async () => {
  const { reader, exposition } = proxy();
  Object.assign(reader.endpointFiles, { watched: 5, broken: 2, tooLarge: 3 });
  const { body } = await exposition.page('');
  assert.equal(valueIn(body, 'sluice_endpoint_files'), 5);
  assert.equal(valueIn(body, 'sluice_endpoint_files_broken'), 2);
  assert.equal(valueIn(body, 'sluice_limit_total{limit="file-size"}'), 3);
});

test('every limit and every reason has its counter', async () => {
  for (const [index, limit] of LIMITS.entries()) {
    assert.ok((await visible(() => W.LIMIT + index)).includes(`sluice_limit_total{limit="${limit}"} 1`), limit);
  }
  for (const [index, reason] of RESPONSE_REASONS.entries()) {
    const own = await visible(() => W.RESPONSE + index);
    assert.ok(own.includes(`sluice_proxy_response_total{reason="${reason}"} 1`), reason);
    const service = await visible(() => serviceBase(1) + S.RESPONSE + index);
    const line = `sluice_service_proxy_response_total{reason="${reason}",direction="outbound",service="web"} 1`;
    assert.ok(service.includes(line), reason);
  }
});

test('connections are counted by how they ended, on both sides', async () => {
  for (const [index, reason] of CLOSE_REASONS.entries()) {
    const source = await visible(() => listenerBase(1) + L.CLOSE + index);
    const from = `tcp_close_total{errno="${reason}",direction="inbound",peer="src",listener="edge"} 1`;
    assert.ok(source.includes(from), reason);
    const target = await visible(() => endpointBase(1) + E.CLOSE + index);
    const to = `tcp_close_total{errno="${reason}",direction="outbound",peer="dst",service="web",target_addr="127.0.0.1:9001"} 1`;
    assert.ok(target.includes(to), reason);
  }
});

test('every verdict is counted with its reason, and as the outcome that Linkerd would name', async () => {
  const results: Record<string, string> = {};
  for (const [row, verdict] of VERDICTS.entries()) {
    for (const [column, reason] of REASONS.entries()) {
      const lines = await visible(() => listenerBase(1) + verdictField(row, column));
      const line = `sluice_verdict_total{verdict="${verdict}",reason="${reason}",direction="inbound",listener="edge"} 1`;
      assert.ok(lines.includes(line), `${verdict} ${reason}`);
      const result = /inbound_tcp_detect_http_results_total\{result="([^"]+)"/.exec(lines.join('\n'))?.[1];
      results[`${verdict} ${reason}`] = result ?? 'none';
    }
  }
  assert.equal(results['http1 matched'], 'http/1');
  assert.equal(results['http2 matched'], 'http/2');
  assert.equal(results['tls matched'], 'not_http');
  assert.equal(results['opaque server-first'], 'not_http');
  assert.equal(results['opaque timeout'], 'read_timeout');
  assert.equal(results['opaque eof'], 'error');
  assert.equal(results['http1 hint'], 'none');
});

test('responses carry their status and classification', async () => {
  const { metrics, endpoint, exposition } = proxy();
  metrics.values[endpointBase(endpoint) + E.STATUS + 100] = 5;
  metrics.values[endpointBase(endpoint) + E.STATUS + 403] = 2;
  const { body } = await exposition.page('');
  assert.equal(valueIn(body, `response_total{status_code="200",classification="success",${TARGET}}`), 5);
  assert.equal(valueIn(body, `response_total{status_code="503",classification="failure",${TARGET}}`), 2);
});

test('gRPC responses carry their grpc-status, and are classified by it', async () => {
  const series = async (at: number): Promise<string[]> =>
    (await visible(() => endpointBase(1) + at)).filter((line) => line.startsWith('response_total'));
  const line = (classification: string, status: string | number) =>
    `response_total{status_code="200",classification="${classification}",grpc_status="${status}",${TARGET}} 1`;
  for (let code = 0; code < GRPC_CODES; code++) {
    const classification = [2, 4, 7, 13, 14, 15].includes(code) ? 'failure' : 'success';
    assert.deepEqual(await series(E.GRPC_STATUS + code), [line(classification, code)]);
  }
  assert.deepEqual(await series(E.GRPC_MISSING), [line('failure', 'missing')]);
});

test('a service counts what its gRPC clients were told', async () => {
  const { metrics, exposition } = proxy();
  metrics.values[serviceBase(1) + S.GRPC_STATUS] = 5;
  metrics.values[serviceBase(1) + S.GRPC_STATUS + 14] = 2;
  metrics.values[serviceBase(1) + S.GRPC_MISSING] = 1;
  const { body } = await exposition.page('');
  const count = (status: string) =>
    valueIn(body, `sluice_grpc_responses_total{grpc_status="${status}",direction="outbound",service="web"}`);
  assert.deepEqual([count('0'), count('14'), count('missing')], [5, 2, 1]);
});

test('resets and GOAWAYs are counted by role, direction and code', async () => {
  const families = {
    sluice_http2_resets_sent_total: H.RESET_SENT,
    sluice_http2_resets_received_total: H.RESET_RECEIVED,
    sluice_http2_goaways_sent_total: H.GOAWAY_SENT,
    sluice_http2_goaways_received_total: H.GOAWAY_RECEIVED,
  };
  for (const [name, at] of Object.entries(families)) {
    for (const [role, side] of H2_ROLES.entries()) {
      for (const [index, code] of H2_ERRORS.entries()) {
        const lines = (await visible(() => h2Base(role) + at + index)).filter((line) => line.includes('_http2_'));
        assert.deepEqual(lines, [`${name}{code="${code}",role="${side}",worker="0"} 1`]);
      }
    }
  }
});

test('what an endpoint speaks is shown once it is known, by how many workers know it', async () => {
  const { reader, metrics, endpoint, exposition } = proxy();
  const memory = allocateWorkerMemory();
  reader.addWorker(1, memory);
  assert.doesNotMatch((await exposition.page('')).body, /^sluice_endpoint_protocol\{/m);
  metrics.values[endpointBase(endpoint) + E.PROTOCOL] = 2;
  new WorkerMetrics(memory).values[endpointBase(endpoint) + E.PROTOCOL] = 3;
  const { body } = await exposition.page('');
  assert.equal(valueIn(body, `sluice_endpoint_protocol{protocol="http1",${TARGET}}`), 1);
  assert.equal(valueIn(body, `sluice_endpoint_protocol{protocol="http2",${TARGET}}`), 2);
});

test('latency has the buckets of Linkerd, cumulative, with sum and count', async () => {
  const { metrics, endpoint, exposition } = proxy();
  for (const micros of [500, 1000, 1500, 45_000, 50_000_000, 2_000_000_000]) {
    metrics.record(endpointHistogram(endpoint, 0), micros);
  }
  const { body } = await exposition.page('');
  const bucket = (le: string) => valueIn(body, `response_latency_ms_bucket{le="${le}",${TARGET}}`);
  assert.equal(bucket('1'), 2);
  assert.equal(bucket('2'), 3);
  assert.equal(bucket('40'), 3);
  assert.equal(bucket('50'), 4);
  assert.equal(bucket('50000'), 5);
  assert.equal(bucket('+Inf'), 6);
  assert.equal(valueIn(body, `response_latency_ms_count{${TARGET}}`), 6);
  assert.equal(valueIn(body, `response_latency_ms_sum{${TARGET}}`), 2_050_048);
  const bounds = body.match(/response_latency_ms_bucket\{le="(\d+)",direction="outbound",service="web",target/g);
  assert.equal(bounds?.length, LATENCY_BOUNDS_MS.length);
});

test('the other histograms are exposed too', async () => {
  const { metrics, listener, service, endpoint, exposition } = proxy();
  metrics.record(workerHistogram(0), 700);
  for (const streams of [1, 10, 5000]) metrics.record(workerHistogram(1), streams);
  metrics.record(listenerHistogram(listener, 0), 50_000);
  metrics.record(serviceHistogram(service, 0), 3_000);
  metrics.record(endpointHistogram(endpoint, 1), 200);
  const { body } = await exposition.page('');
  const edge = 'direction="inbound",listener="edge"';
  assert.equal(valueIn(body, 'sluice_loop_turn_seconds_bucket{le="0.001",worker="0"}'), 1);
  assert.equal(valueIn(body, 'sluice_http2_connection_streams_bucket{le="10",worker="0"}'), 2);
  assert.equal(valueIn(body, 'sluice_http2_connection_streams_bucket{le="10000",worker="0"}'), 3);
  assert.equal(valueIn(body, 'sluice_http2_connection_streams_sum{worker="0"}'), 5011);
  assert.equal(valueIn(body, `inbound_tcp_detect_http_duration_seconds_bucket{le="0.001",${edge}}`), 0);
  assert.equal(valueIn(body, `inbound_tcp_detect_http_duration_seconds_bucket{le="0.1",${edge}}`), 1);
  assert.equal(valueIn(body, 'sluice_service_response_latency_seconds_sum{direction="outbound",service="web"}'), 0.003);
  assert.equal(valueIn(body, `sluice_connect_latency_seconds_count{${TARGET}}`), 1);
});

test('the balancer counts its ready and pending endpoints, without those that are gone', async () => {
  const { reader, metrics, endpoint, exposition } = proxy();
  const second = reader.endpoints.acquire('web|127.0.0.1:9002');
  const third = reader.endpoints.acquire('web|127.0.0.1:9003');
  reader.setEndpoint(second, { service: 'web', address: '127.0.0.1:9002' });
  reader.setEndpoint(third, { service: 'web', address: '127.0.0.1:9003' });
  reader.endpoints.release('web|127.0.0.1:9003');
  metrics.values[endpointBase(second) + E.STATE] = 1;
  metrics.values[endpointBase(endpoint) + E.EWMA_MS] = 12.5;
  const { body } = await exposition.page('');
  assert.equal(valueIn(body, 'outbound_http_balancer_endpoints{service="web",endpoint_state="ready"}'), 1);
  assert.equal(valueIn(body, 'outbound_http_balancer_endpoints{service="web",endpoint_state="pending"}'), 1);
  assert.equal(valueIn(body, `sluice_endpoint_state{state="ready",${TARGET}}`), 1);
  assert.equal(valueIn(body, `sluice_endpoint_ewma_seconds{${TARGET}}`), 0.0125);
});

test('a page says what runs, and names are escaped', async () => {
  const { reader, exposition } = proxy();
  reader.setService(1, { name: 'a"b\\c\nd' });
  const { body, contentType } = await exposition.page('text/plain');
  assert.match(contentType, /^text\/plain; version=0\.0\.4/);
  const build = `sluice_build_info{version="1.2.3",node="${process.versions.node}",executor="epoll"}`;
  assert.equal(valueIn(body, build), 1);
  assert.ok(body.includes('service="a\\"b\\\\c\\nd"'));
  assert.match(body, /^process_resident_memory_bytes \d+$/m);
});

test('both formats can be asked for in turn, and OpenMetrics keeps to its naming rules', async () => {
  const { metrics, endpoint, exposition } = proxy();
  metrics.values[endpointBase(endpoint) + E.REQUESTS] = 3;
  for (let turn = 0; turn < 2; turn++) {
    const plain = await exposition.page('*/*');
    assert.match(plain.body, /^# TYPE request_total counter$/m);
    const open = await exposition.page('application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5');
    assert.match(open.contentType, /^application\/openmetrics-text/);
    assert.match(open.body, /\n# EOF\n$/);
    const types = new Map([...open.body.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]));
    for (const [name, type] of types) assert.ok(!name.endsWith('_total'), `${type} ${name}`);
    assert.equal(types.get('request'), 'counter');
    assert.equal(valueIn(open.body, `request_total{${TARGET}}`), 3);
    for (const line of open.body.split('\n')) {
      assert.match(line, /^(# (HELP|TYPE|EOF).*|[a-z_0-9]+(\{.*\})? ([0-9.e+-]+|NaN)|)$/i);
    }
  }
});

test('no line of a page is there twice', async () => {
  const { exposition } = proxy();
  const { body } = await exposition.page('');
  const series = body
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.replace(/ [^ ]+$/, ''));
  assert.equal(new Set(series).size, series.length);
});

test('the Accept header decides by weight', () => {
  assert.equal(prefersOpenMetrics(''), false);
  assert.equal(prefersOpenMetrics('*/*'), false);
  assert.equal(prefersOpenMetrics('application/openmetrics-text'), true);
  assert.equal(prefersOpenMetrics('application/openmetrics-text;q=0.2, text/plain;q=0.9'), false);
  assert.equal(prefersOpenMetrics('application/openmetrics-text;q=0'), false);
  assert.equal(prefersOpenMetrics('Application/OpenMetrics-Text; version=1.0.0;q=bogus'), false);
});
