// The section `tracing`: where spans go, and how many.
import * as v from 'valibot';
import { otlpUrl } from '../otlp/target.js';
import type { TracingConfig } from './model.js';
import { integer, section, size, timeout, value } from './schema-parts.js';
import { describe, parseNumber, ValueError } from './values.js';

const KiB = 2 ** 10;
const MiB = 2 ** 20;
/** A field name, and what a value may be made of (RFC 9110 section 5). */
const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const FIELD_VALUE = /^[\t\x20-\x7e]*$/;

function parseCollector(input: unknown): string {
  const example = 'write the address of a collector, such as http://127.0.0.1:4318';
  if (typeof input !== 'string') throw new ValueError(`found ${describe(input)}; ${example}`);
  try {
    return String(otlpUrl(input, 'traces'));
  } catch {
    throw new ValueError(`${describe(input)} is no address of a collector; ${example}`);
  }
}

function parseText(input: unknown): string {
  if (typeof input === 'string' && input !== '' && input.length <= 255) return input;
  throw new ValueError(`found ${describe(input)}; write a text of 1 to 255 characters`);
}

function parseTexts(input: unknown): Readonly<Record<string, string>> {
  if (typeof input !== 'object' || input === null || Array.isArray(input))
    throw new ValueError(`found ${describe(input)}; write a map, such as { name: text }`);
  for (const [name, text] of Object.entries(input))
    if (typeof text !== 'string') throw new ValueError(`${name}: found ${describe(text)}; write a text, in quotes`);
  return input as Record<string, string>;
}

function parseFields(input: unknown): Readonly<Record<string, string>> {
  const fields = parseTexts(input);
  for (const [name, text] of Object.entries(fields))
    if (!FIELD_NAME.test(name) || !FIELD_VALUE.test(text))
      throw new ValueError(`${describe(name)} is no field of HTTP`);
  return fields;
}

export const tracing = section({
  endpoint: value(parseCollector),
  sampling: v.optional(
    value((input) => parseNumber(input, 0, 1)),
    0.01,
  ),
  serviceName: v.optional(value(parseText), 'sluice'),
  attributes: v.optional(value(parseTexts)),
  headers: v.optional(value(parseFields)),
  interval: v.optional(timeout(), '1s'),
  maxSpans: v.optional(integer(1, 100_000), 250),
  maxQueued: v.optional(size(64 * KiB, 256 * MiB), '4MiB'),
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
