// Parses the query of /tap.
import { parseNetwork } from '../config/networks.js';
import { suggest } from '../config/suggest.js';
import { parseDuration, ValueError } from '../config/values.js';
import type { TapRequest } from './request.js';

/** Default rate, records per second. */
export const DEFAULT_RPS = 100;
const MAX_TEXT_LENGTH = 1024;
const KEYS = ['method', 'path', 'authority', 'service', 'peer', 'status', 'latencyAbove', 'maxRps'] as const;
type Key = (typeof KEYS)[number];

/** Throws a ValueError that names the bad parameter. `most`: the maximum rate, records per second. */
export function parseTap(query: URLSearchParams, id: number, most: number): TapRequest {
  for (const key of query.keys()) {
    if (!KEYS.includes(key as Key)) throw new ValueError(`unknown parameter ${key}; ${suggest(key, [...KEYS])}`);
    if (query.getAll(key).length > 1) throw new ValueError(`${key} is given twice`);
  }
  const status = named('status', query, parseStatus) ?? { from: 0, to: 0 };
  return {
    id,
    method: named('method', query, parseText),
    path: named('path', query, parsePath),
    authority: named('authority', query, parseText)?.toLowerCase() ?? null,
    service: named('service', query, parseText),
    ...parsePeer(named('peer', query, parseText)),
    statusFrom: status.from,
    statusTo: status.to,
    latencyAboveMs: named('latencyAbove', query, parseLatency) ?? -1,
    maxRps: Math.min(most, named('maxRps', query, parseRps) ?? DEFAULT_RPS),
  };
}

function named<T>(key: Key, query: URLSearchParams, parse: (text: string) => T): T | null {
  const text = query.get(key);
  if (text === null) return null;
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof ValueError) throw new ValueError(`${key}: ${error.message}`);
    throw error;
  }
}

function parseText(text: string): string {
  if (text === '') throw new ValueError('is empty; leave it out to have all');
  if (Buffer.byteLength(text) > MAX_TEXT_LENGTH) throw new ValueError(`is longer than ${MAX_TEXT_LENGTH} octets`);
  return text;
}

function parsePath(text: string): string {
  if (!text.startsWith('/') && text !== '*')
    throw new ValueError(`"${text}" is not the beginning of a path; write /${text}`);
  return parseText(text);
}

/** `404`, `5xx`, `200-299`. */
function parseStatus(text: string): { from: number; to: number } {
  const [, digit] = /^([1-9])xx$/i.exec(text) ?? [];
  if (digit !== undefined) return { from: Number(digit) * 100, to: Number(digit) * 100 + 99 };
  const [, low, high = low] = /^([1-9]\d\d)(?:-([1-9]\d\d))?$/.exec(text) ?? [];
  if (low === undefined || Number(low) > Number(high))
    throw new ValueError(`"${text}" is not a status; write for example 404, 5xx or 400-499`);
  return { from: Number(low), to: Number(high) };
}

function parseLatency(text: string): number {
  return parseDuration(/^\d+$/.test(text) && text !== '0' ? `${text}ms` : text, { in: 'ms', step: 1 });
}

function parseRps(text: string): number {
  const number = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (number === 0) throw new ValueError(`"${text}" is not a number of records a second; write for example 100`);
  return number;
}

/** An address or a network; anything else is the name in a certificate. */
function parsePeer(text: string | null): Pick<TapRequest, 'network' | 'identity'> {
  if (text === null) return { network: null, identity: null };
  try {
    return { network: parseNetwork(text), identity: null };
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    if (/^[\d.:/[\]]*$/.test(text)) throw new ValueError(`peer: ${error.message}`);
    return { network: null, identity: text };
  }
}
