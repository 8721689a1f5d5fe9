// The section `tracing`: destination and limits of spans.
import * as v from 'valibot';
import { collector, fields, queued, text, texts } from './collector.js';
import { integer, section, timeout, value } from './schema-parts.js';
import type { TracingConfig } from './telemetry-model.js';
import { parseNumber } from './values.js';

export const tracing = section({
  endpoint: collector('traces'),
  sampling: v.optional(
    value((input) => parseNumber(input, 0, 1)),
    0.01,
  ),
  serviceName: v.optional(text(), 'sluice'),
  attributes: v.optional(texts()),
  headers: v.optional(fields()),
  interval: v.optional(timeout(), '1s'),
  maxSpans: v.optional(integer(1, 100_000), 250),
  maxQueued: v.optional(queued(), '4MiB'),
  timeout: v.optional(timeout(), '10s'),
});

export function buildTracing(tree: v.InferOutput<typeof tracing>): TracingConfig {
  const {
    endpoint,
    sampling,
    serviceName,
    attributes = {},
    headers = {},
    interval,
    maxSpans,
    maxQueued,
    timeout,
  } = tree;
  return {
    endpoint,
    sampling,
    serviceName,
    attributes,
    headers,
    intervalMs: interval,
    maxSpans,
    maxQueued,
    timeoutMs: timeout,
  };
}
