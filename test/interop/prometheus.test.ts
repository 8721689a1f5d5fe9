// A real Prometheus takes the page: its text, its protocol buffers with native histograms, and exemplars.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Exposition } from '../../src/metrics/exposition.js';
import { endpointHistogram, serviceHistogram, WORKER_HISTOGRAMS, workerHistogram } from '../../src/metrics/layout.js';
import { MetricsReader } from '../../src/metrics/reader.js';
import { allocateWorkerMemory, WorkerMetrics } from '../../src/metrics/shared.js';
import { freePort, type RealServer, serve, start, temporary, which } from '../support/servers.js';
import { eventually } from '../support/sluice.js';

const TEST_MS = 90_000;
const TIMEOUT_MS = 30_000;
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const prometheus = which('prometheus');
const skip = prometheus === null && 'prometheus is not installed';

/** What `prometheus` is told; it has to know native histograms. */
const FEATURES = '--enable-feature=native-histograms,exemplar-storage';

describe('Prometheus', { timeout: TEST_MS, skip }, () => {
  const reader = new MetricsReader();
  const memory = allocateWorkerMemory();
  reader.addWorker(0, memory);
  const metrics = new WorkerMetrics(memory);
  const exposition = new Exposition(reader, { version: '1', executor: 'epoll' });
  const accepted = new Set<string>();
  let page: Server;
  let server: RealServer;

  before(async () => {
    const service = reader.services.acquire('web');
    reader.setService(service, { name: 'web' });
    const endpoint = reader.endpoints.acquire('web|127.0.0.1:9001');
    reader.setEndpoint(endpoint, { service: 'web', address: '127.0.0.1:9001' });
    for (let millis = 1; millis <= 1000; millis++) {
      metrics.record(serviceHistogram(service, millis % 10 === 0 ? 1 : 0), millis * 1000);
      metrics.record(endpointHistogram(endpoint, 0), millis * 1000);
    }
    metrics.record(endpointHistogram(endpoint, 1), 0);
    metrics.record(workerHistogram(WORKER_HISTOGRAMS.indexOf('h2_connection_streams')), 100);
    reader.exemplars.note('web', 0, { traceId: TRACE, valueUs: 450_000, atMs: Date.now() });
    page = createServer(async (request, response) => {
      const answer = await exposition.answer(request.headers.accept ?? '');
      assert.ok(answer !== null);
      accepted.add(answer.contentType);
      response.setHeader('Content-Type', answer.contentType);
      response.end('octets' in answer ? answer.octets : answer.body);
    });
    await once(page.listen(0, '127.0.0.1'), 'listening');
    server = await startPrometheus((page.address() as AddressInfo).port);
  });
  after(async () => {
    page.close();
    page.closeAllConnections();
    await server.stop();
  });

  const api = async (path: string, query: Record<string, string> = {}): Promise<unknown> => {
    const url = `http://127.0.0.1:${server.port}/api/v1/${path}?${new URLSearchParams(query)}`;
    const { status, data, error } = (await (await fetch(url)).json()) as Record<string, unknown>;
    assert.equal(status, 'success', String(error));
    return data;
  };
  const value = async (query: string): Promise<number> => {
    const { result } = (await api('query', { query })) as { result: { value: [number, string] }[] };
    return result.length === 1 ? Number(result[0].value[1]) : Number.NaN;
  };

  it('scrapes the page as protocol buffers without a complaint', async () => {
    await eventually(async () => (await value('up')) === 1, 'it has scraped the page', TIMEOUT_MS);
    assert.deepEqual(
      [...accepted],
      ['application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited'],
    );
    const { activeTargets } = (await api('targets')) as { activeTargets: { lastError: string }[] };
    assert.equal(activeTargets[0].lastError, '');
    assert.ok((await value('scrape_samples_scraped')) > 100);
    assert.equal(await value('sluice_build_info'), 1);
    assert.ok((await value('process_resident_memory_bytes')) > 1e6);
  });

  it('has native histograms, of which quantiles are as exact as they were recorded', async () => {
    const close = async (query: string, wanted: number): Promise<void> => {
      const found = await value(query);
      assert.ok(Math.abs(found - wanted) <= wanted * 0.02, `${query}: ${found} instead of ${wanted}`);
    };
    const total = 'sluice_service_response_latency_seconds{service="web"}';
    assert.equal(await value(`histogram_count(${total})`), 1000);
    await close(`histogram_sum(${total})`, 500.5);
    await close(`histogram_quantile(0.5, ${total})`, 0.5);
    await close(`histogram_quantile(0.99, ${total})`, 0.99);
    await close(`histogram_quantile(0.001, ${total})`, 0.001);
    // By class and outcome, and their sum.
    const failures = 'sluice_route_response_latency_seconds{route_class="read",classification="failure"}';
    assert.equal(await value(`histogram_count(${failures})`), 100);
    assert.equal(await value('histogram_count(sum(sluice_route_response_latency_seconds))'), 1000);
    await close('histogram_quantile(0.5, response_latency_ms)', 500);
    assert.equal(await value('histogram_count(sluice_connect_latency_seconds)'), 1, 'a value of 0');
    await close('histogram_quantile(0.5, sluice_http2_connection_streams)', 100);
  });

  it('has the exemplar of a trace', async () => {
    const query = { query: 'sluice_service_response_latency_seconds', start: '0', end: String(Date.now() / 1000 + 60) };
    type Found = { exemplars: { labels: Record<string, string>; value: string }[] }[];
    const bucket = { ...query, query: 'sluice_service_response_latency_seconds_bucket' };
    const found = [
      ...((await api('query_exemplars', query)) as Found),
      ...((await api('query_exemplars', bucket)) as Found),
    ];
    const exemplars = found.flatMap((one) => one.exemplars);
    assert.ok(exemplars.length > 0);
    assert.equal(exemplars[0].labels.trace_id, TRACE);
    assert.equal(Number(exemplars[0].value), 0.45);
  });
});

async function startPrometheus(target: number): Promise<RealServer> {
  for (let tries = 1; ; tries++) {
    const directory = temporary('prometheus', null);
    const file = join(directory, 'prometheus.yml');
    writeFileSync(
      file,
      `global: { scrape_interval: 1s, scrape_timeout: 1s }
scrape_configs: [{ job_name: sluice, static_configs: [{ targets: ["127.0.0.1:${target}"] }] }]
`,
    );
    const port = await freePort();
    const args = [`--config.file=${file}`, `--storage.tsdb.path=${join(directory, 'data')}`, FEATURES];
    const started = start(prometheus ?? '', [...args, `--web.listen-address=127.0.0.1:${port}`], null, directory);
    try {
      return await serve('prometheus', started, port, directory, 'SIGTERM');
    } catch (error) {
      // Another has taken the port meanwhile.
      if (tries === 3) throw error;
    }
  }
}
