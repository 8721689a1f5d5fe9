// A real collector of OpenTelemetry takes what `sluice histograms --format otlp` sends.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { WIRE_FORMAT } from '../../src/histograms/wire.js';
import { startEdge } from '../support/gateway.js';
import { answering, upstream } from '../support/http.js';
import { freePort, serve, start, temporary } from '../support/servers.js';
import { availableExecutors, eventually, inherited } from '../support/sluice.js';
import { lackingTool, toolFolder } from './tools.js';

const TEST_MS = 120_000;
const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

const PAGE = JSON.stringify({
  format: WIRE_FORMAT,
  version: 1,
  significantDigits: 2,
  startMs: 1_700_000_000_000,
  endMs: 1_700_000_010_000,
  histograms: [
    {
      id: 'service.web.response_latency_us',
      kind: 'service',
      name: 'response_latency_us',
      labels: { direction: 'outbound', service: 'web' },
      unit: 'microseconds',
      count: 7,
      sum: 2_004_000,
      buckets: [0, 1, 1000, 4, 999_424, 2],
    },
  ],
});

async function startCollector() {
  for (let tries = 1; ; tries++) {
    const directory = temporary('otelcol', null);
    const file = join(directory, 'config.yaml');
    const log = join(directory, 'log');
    const port = await freePort();
    writeFileSync(
      file,
      `receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:${port}" } } } }
exporters: { debug: { verbosity: detailed } }
service:
  telemetry: { metrics: { level: none }, logs: { output_paths: ["${log}"] } }
  pipelines: { metrics: { receivers: [otlp], exporters: [debug] } }
`,
    );
    const started = start(join(toolFolder('otelcol'), 'collector'), [`--config=file:${file}`], null, directory);
    try {
      const server = await serve('otelcol', started, port, directory, 'SIGTERM');
      return { server, said: () => (existsSync(log) ? readFileSync(log, 'utf8') : '') };
    } catch (error) {
      // Another has taken the port meanwhile.
      if (tries === 3) throw error;
    }
  }
}

async function sluice(...args: string[]): Promise<{ status: number | null; stderr: string }> {
  const child = spawn(process.execPath, [MAIN, 'histograms', ...args], { env: inherited() });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdout.resume();
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, stderr };
}

describe('a collector of OpenTelemetry', { timeout: TEST_MS, skip: lackingTool('otelcol') }, () => {
  it('takes totals and intervals as exponential histograms, and says what is wrong with others', async () => {
    const page = createServer((_, response) => response.setHeader('Connection', 'close').end(PAGE));
    await once(page.listen(0, '127.0.0.1'), 'listening');
    const { server, said } = await startCollector();
    const from = ['--from', `127.0.0.1:${(page.address() as AddressInfo).port}`, '--format', 'otlp'];
    const to = ['--out', `http://127.0.0.1:${server.port}`];
    try {
      assert.deepEqual(await sluice(...from, ...to), { status: 0, stderr: '' });
      await eventually(() => /ZeroCount|Zero count|Count: 7/i.test(said()), 'the collector tells of it', 30_000);
      for (const line of [
        /Name: sluice\.service\.response_latency/,
        /Unit: s/,
        /DataType: ExponentialHistogram/,
        /AggregationTemporality: Cumulative/,
        /-> service: Str\(web\)/,
        /Count: 7/,
        /Sum: 2\.004/,
        /Bucket \[0, 0\], Count: 1/,
        /Bucket \(0\.000\d+, 0\.001\d*\], Count: 4/,
      ])
        assert.match(said(), line);
      // Nothing new: deltas without recordings are points of 0.
      assert.deepEqual(await sluice(...from, ...to, '--interval', '100ms', '--count', '1'), { status: 0, stderr: '' });
      await eventually(() => /AggregationTemporality: Delta/.test(said()), 'the delta has come', 30_000);
      const wrong = await sluice(...from, '--out', `http://127.0.0.1:${server.port}/other`);
      assert.equal(wrong.status, 1);
      assert.match(wrong.stderr, /it answers 404/);
    } finally {
      await server.stop();
      page.close();
    }
  });

  it('takes what a proxy sends of its own accord: sums, gauges and exponential histograms', async () => {
    const { server, said } = await startCollector();
    const origin = await upstream(answering(() => 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'));
    const [io] = await availableExecutors();
    const top = `metrics: { otlp: { endpoint: "http://127.0.0.1:${server.port}", interval: 1s } }`;
    const sluice = await startEdge(io, [origin.address], { top });
    try {
      await fetch(`http://127.0.0.1:${sluice.port('edge')}/`, { headers: { connection: 'close' } });
      const requests =
        /Name: sluice\.service\.requests\n.*?Unit: \{request\}\n.*?DataType: Sum\n.*?IsMonotonic: true\n.*?AggregationTemporality: Cumulative\n.*?service: Str\(web\)\n.*?Value: 1\n/s;
      await eventually(() => requests.test(said()), 'the collector tells of the request', 30_000);
      for (const line of [
        /Name: sluice\.endpoint\.open_connections\n.*?DataType: Gauge\n/s,
        /Name: sluice\.route\.response_latency\n.*?DataType: ExponentialHistogram\n.*?route_class: Str\(read\)\n.*?Count: 1\n/s,
        /service\.instance\.id: Str\(.+:\d+\)/,
      ])
        assert.match(said(), line);
      assert.equal(await sluice.metric('sluice_otlp_points_dropped_total', { reason: 'rejected' }), 0);
    } finally {
      await sluice.stop();
      await origin.close();
      await server.stop();
    }
  });
});
