// The section `metrics.otlp`: where to send metrics, and how often.
import * as v from 'valibot';
import { collector, fields, queued, text, texts } from './collector.js';
import { duration, section, timeout } from './schema-parts.js';
import type { MetricsOtlpConfig } from './telemetry-model.js';

export const metricsOtlp = section({
  endpoint: collector('metrics'),
  serviceName: v.optional(text(), 'sluice'),
  attributes: v.optional(texts()),
  headers: v.optional(fields()),
  interval: v.optional(duration({ in: 'ms', step: 1, min: '1s' }), '10s'),
  maxQueued: v.optional(queued(), '4MiB'),
  timeout: v.optional(timeout(), '10s'),
});

export function buildMetricsOtlp(tree: v.InferOutput<typeof metricsOtlp>): MetricsOtlpConfig {
  const { endpoint, serviceName, attributes = {}, headers = {}, interval, maxQueued, timeout } = tree;
  return { endpoint, serviceName, attributes, headers, intervalMs: interval, maxQueued, timeoutMs: timeout };
}
