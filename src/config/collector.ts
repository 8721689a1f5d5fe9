// Shared by the sections that name an OTLP collector: `tracing` and `metrics.otlp`.
import { otlpUrl, type Signal } from '../otlp/target.js';
import { size, value } from './schema-parts.js';
import { describe, ValueError } from './values.js';

const KiB = 2 ** 10;
const MiB = 2 ** 20;
/** A field name, and the characters of a value (RFC 9110 section 5). */
const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const FIELD_VALUE = /^[\t\x20-\x7e]*$/;

const parseCollector =
  (signal: Signal) =>
  (input: unknown): string => {
    const example = 'write the address of a collector, such as http://127.0.0.1:4318';
    if (typeof input !== 'string') throw new ValueError(`found ${describe(input)}; ${example}`);
    try {
      return String(otlpUrl(input, signal));
    } catch {
      throw new ValueError(`${describe(input)} is not the address of a collector; ${example}`);
    }
  };

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
      throw new ValueError(`${describe(name)} is not an HTTP field name`);
  return fields;
}

/** The URL for messages of a signal. */
export const collector = (signal: Signal) => value(parseCollector(signal));
export const text = () => value(parseText);
export const texts = () => value(parseTexts);
/** HTTP header fields. */
export const fields = () => value(parseFields);
/** Memory for unsent messages. */
export const queued = () => size(64 * KiB, 256 * MiB);
