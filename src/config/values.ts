// Text forms of single values: durations, sizes, addresses, ports. Each parser takes a YAML value and returns the result, or throws a
// ValueError whose message says what is wrong and what to write instead.
import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import type { PortRange } from './authorization-model.js';
import type { Address, EndpointSource, PeerProxy } from './model.js';
import { suggest } from './suggest.js';

export class ValueError extends Error {
  override readonly name = 'ValueError';
}

/** The result of `parse`; undefined if it throws a ValueError, which somebody else reports. */
export function attempt<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (error instanceof ValueError) return undefined;
    throw error;
  }
}

/** The value found, for messages. */
export function describe(input: unknown): string {
  if (input === null || input === undefined) return 'nothing';
  if (Array.isArray(input)) return 'a list';
  if (typeof input === 'object') return 'a map';
  if (typeof input !== 'string') return String(input);
  const text = JSON.stringify(input.length > 80 ? `${input.slice(0, 77)}...` : input);
  // A control character becomes six characters.
  return text.length <= 160 ? text : JSON.stringify(`${input.slice(0, 20)}...`);
}

const MICROSECONDS: Readonly<Record<string, number>> = { us: 1, ms: 1e3, s: 1e6, m: 60e6, h: 3600e6 };
/** Timers use signed 32-bit milliseconds: 24 days. */
const MAX_DURATION_US = 2 ** 31 * 1e3 - 1e3;

export interface DurationRange {
  /** Unit of the result. */
  readonly in: 'us' | 'ms';
  /** The result must be a multiple of this; 0 for any. */
  readonly step: number;
  /** Bounds as durations, e.g. `1ms`. `0` is below every `min`; `orZero` allows it nevertheless. */
  readonly min?: string;
  readonly max?: string;
  readonly orZero?: boolean;
}

function microseconds(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(us|ms|s|m|h)$/.exec(text);
  return match === null ? Number.NaN : Math.round(Number(match[1]) * MICROSECONDS[match[2]] * 1e3) / 1e3;
}

/** A duration such as `10s`, in the range's unit. */
export function parseDuration(input: unknown, range: DurationRange): number {
  const example = range.in === 'us' ? '50us' : '10s';
  const zero = input === 0 || input === '0';
  if (typeof input === 'number' && !zero) {
    throw new ValueError(`${input} has no unit; write "${input}ms" or "${input}s" (units are us, ms, s, m, h)`);
  }
  if (typeof input !== 'string' && !zero)
    throw new ValueError(`found ${describe(input)}; write a duration such as "${example}"`);
  const us = zero ? 0 : microseconds(String(input));
  if (Number.isNaN(us)) {
    throw new ValueError(
      `${describe(input)} is not a duration; write one number and one of the units us, ms, s, m, h, such as "${example}"`,
    );
  }
  if (us === 0 && range.orZero === true) return 0;
  const min = range.min === undefined ? 0 : microseconds(range.min);
  const max = range.max === undefined ? MAX_DURATION_US : microseconds(range.max);
  if (us < min) {
    throw new ValueError(
      `${input} is too short; write at least ${range.min}${range.orZero === true ? ', or 0 for none' : ''}`,
    );
  }
  if (us > max) throw new ValueError(`${input} is too long; write at most ${range.max ?? '596h'}`);
  const value = range.in === 'us' ? us : us / 1e3;
  if (range.step > 0 && value % range.step !== 0) {
    const unit = range.in === 'us' ? 'microseconds' : range.step === 1000 ? 'seconds' : 'milliseconds';
    throw new ValueError(`${input} is too precise; write whole ${unit}`);
  }
  return value;
}

const BYTES: Readonly<Record<string, number>> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

/** Bytes as in `64MiB`, if that is exact. */
export function formatSize(bytes: number): string {
  for (const unit of ['GiB', 'MiB', 'KiB']) {
    if (bytes > 0 && bytes % BYTES[unit] === 0) return `${bytes / BYTES[unit]}${unit}`;
  }
  return String(bytes);
}

/** A size such as `64MiB` or a plain number of bytes; `min` and `max` in bytes. */
export function parseSize(input: unknown, min: number, max: number): number {
  let bytes = Number.NaN;
  if (typeof input === 'number') bytes = input;
  else if (typeof input === 'string') {
    const match = /^(\d+(?:\.\d+)?)(B|KiB|MiB|GiB)?$/.exec(input);
    if (match !== null) bytes = Number(match[1]) * BYTES[match[2] ?? 'B'];
  }
  if (Number.isNaN(bytes)) {
    throw new ValueError(
      `found ${describe(input)}; write a size such as "64KiB" or "1MiB" (units are B, KiB, MiB, GiB), or bytes`,
    );
  }
  if (!Number.isInteger(bytes)) throw new ValueError(`${input} is not a whole number of bytes; write one`);
  if (bytes < min) throw new ValueError(`${input} is too small; write at least ${formatSize(min)}`);
  if (bytes > max) throw new ValueError(`${input} is too large; write at most ${formatSize(max)}`);
  return bytes;
}

export function parseInteger(input: unknown, min: number, max: number): number {
  if (typeof input === 'string' && /^-?\d+$/.test(input)) throw new ValueError(`"${input}" is text; remove the quotes`);
  if (typeof input !== 'number' || !Number.isInteger(input) || input < min || input > max) {
    throw new ValueError(`found ${describe(input)}; write a whole number from ${min} to ${max}`);
  }
  return input;
}

export function parseNumber(input: unknown, min: number, max: number): number {
  if (typeof input !== 'number' || !(input >= min && input <= max)) {
    throw new ValueError(`found ${describe(input)}; write a number from ${min} to ${max}`);
  }
  return input;
}

export function parseBoolean(input: unknown): boolean {
  if (typeof input !== 'boolean') throw new ValueError(`found ${describe(input)}; write true or false, without quotes`);
  return input;
}

/** Which requests the access log has. */
export function parseAccess(input: unknown): boolean | 'errors' {
  if (typeof input === 'boolean' || input === 'errors') return input;
  throw new ValueError(`found ${describe(input)}; write true, false or errors, without quotes around true and false`);
}

export function parseChoice<const T extends string>(input: unknown, choices: readonly T[]): T {
  const choice = choices.find((known) => known === input);
  if (choice !== undefined) return choice;
  if (typeof input !== 'string') throw new ValueError(`found ${describe(input)}; write one of ${choices.join(', ')}`);
  throw new ValueError(`${describe(input)} is unknown; ${suggest(input, choices)}`);
}

/** JavaScript's own names: as keys they would get lost. */
export const RESERVED_WORDS: ReadonlySet<string> = new Set(['__proto__', 'prototype', 'constructor']);

/** Names end up in metric labels, log fields and headers. */
export function parseName(input: unknown): string {
  const text = typeof input === 'number' ? String(input) : input;
  if (typeof text !== 'string') throw new ValueError(`found ${describe(input)}; write a name`);
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,252}$/.test(text)) {
    throw new ValueError(
      `${describe(text)} is not a valid name; use 1 to 253 letters, digits and _ . : / -, starting with a letter, digit or _`,
    );
  }
  if (RESERVED_WORDS.has(text)) throw new ValueError(`"${text}" is reserved; use another name`);
  return text;
}

export function parsePort(text: string, lowest: number): number {
  const port = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (!(port >= lowest && port <= 65535)) {
    throw new ValueError(`${describe(text)} is not a port; write a number from ${lowest} to 65535`);
  }
  return port;
}

/** A numeric address in canonical form (RFC 5952 for IPv6), or undefined. Scoped addresses (`fe80::1%eth0`) are refused. */
function numericHost(host: string): string | undefined {
  if (isIPv4(host)) return host;
  if (!isIPv6(host)) return undefined;
  if (host.includes('%'))
    throw new ValueError(`${describe(host)} names an interface, which is not supported; use an address without %`);
  return new SocketAddress({ address: host, family: 'ipv6' }).address;
}

/** Splits `host:port` or `[ipv6]:port`; the host is empty in `:port`. */
export function parseHostPort(
  input: unknown,
  example: string,
  lowestPort = 1,
): { host: string; port: number; bracketed: boolean } {
  if (typeof input === 'number')
    throw new ValueError(`${input} has no host; write an address and a port, such as "${example}"`);
  if (typeof input !== 'string' || input === '') throw new ValueError(`found ${describe(input)}; write "${example}"`);
  if (/^[a-z]+:\/\//i.test(input))
    throw new ValueError(`${describe(input)} is a URL; write host and port only, such as "${example}"`);
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(input);
  if (bracketed !== null) {
    const [, host, port] = bracketed;
    if (port === undefined) throw new ValueError(`${describe(input)} has no port; write "${input}:8080"`);
    if (!isIPv6(host))
      throw new ValueError(`${describe(input)} has no IPv6 address in its brackets; write "[::1]:8080"`);
    return { host, port: parsePort(port, lowestPort), bracketed: true };
  }
  if (isIPv6(input) || input.split(':').length > 2) {
    throw new ValueError(`${describe(input)} is ambiguous; put the IPv6 address in brackets: "[::1]:8080"`);
  }
  const colon = input.indexOf(':');
  if (colon < 0) throw new ValueError(`${describe(input)} has no port; write "${input}:8080"`);
  return { host: input.slice(0, colon), port: parsePort(input.slice(colon + 1), lowestPort), bracketed: false };
}

/** Address to listen on. `:8080` is every address of the host, IPv4 and IPv6; with port 0 the kernel chooses. */
export function parseListen(input: unknown): Address {
  const { host, port } = parseHostPort(input, '127.0.0.1:8080', 0);
  if (host === '') return { host: '::', port };
  const numeric = numericHost(host);
  if (numeric === undefined) {
    const instead = host === 'localhost' ? `"127.0.0.1:${port}"` : `a numeric address such as "0.0.0.0:${port}"`;
    throw new ValueError(`${describe(host)} is not numeric; write ${instead}`);
  }
  return { host: numeric, port };
}

export function parseHostName(host: string): string {
  const name = host.endsWith('.') ? host.slice(0, -1) : host;
  const labels = name.split('.');
  if (/^\d+$/.test(labels[labels.length - 1])) {
    throw new ValueError(
      `${describe(host)} is neither an IPv4 address nor a name; write four numbers from 0 to 255, or a name`,
    );
  }
  if (name.length > 253 || !labels.every((label) => /^(?!-)[A-Za-z0-9_-]{1,63}(?<!-)$/.test(label))) {
    throw new ValueError(`${describe(host)} is not a host name; use letters, digits and hyphens between dots`);
  }
  return host;
}

/** A numeric address with a port, `10.0.0.1:80` or `[::1]:80`. */
export function parseAddress(input: unknown): Address {
  const { host, port } = parseHostPort(input, '10.0.0.1:80');
  if (host === '') throw new ValueError(`${describe(input)} has no host; write "127.0.0.1:${port}"`);
  const numeric = numericHost(host);
  if (numeric === undefined)
    throw new ValueError(`${describe(host)} is not a numeric address; write one such as "10.0.0.1:${port}"`);
  return { host: numeric, port };
}

/** `127.0.0.1:9001`, `[::1]:80`, `name.example:80` or `srv:_http._tcp.name.example`. */
export function parseEndpoint(input: unknown): EndpointSource {
  if (typeof input === 'string' && input.startsWith('srv:')) {
    const name = input.slice(4);
    if (name.includes(':'))
      throw new ValueError(`${describe(input)} has a port, but a service record brings its own; remove it`);
    return { kind: 'srv', name: parseHostName(name) };
  }
  const { host, port } = parseHostPort(input, '127.0.0.1:9001');
  if (host === '') throw new ValueError(`${describe(input)} has no host; write "127.0.0.1:${port}"`);
  const numeric = numericHost(host);
  if (numeric !== undefined) return { kind: 'static', address: { host: numeric, port } };
  return { kind: 'dns', name: parseHostName(host), port };
}

/** Maximum bytes of a SPIFFE ID (SPIFFE-ID section 2.3); a DNS name has 253. */
const MAX_IDENTITY = 2048;

/** A peer's name in its certificate. */
export function parseIdentity(input: unknown): string {
  if (typeof input !== 'string' || !/^[\x21-\x7e]+$/.test(input) || input.length > MAX_IDENTITY)
    throw new ValueError(`found ${describe(input)}; write a name such as "web.default" or "spiffe://example/web"`);
  return input;
}

/** The proxy in front of an endpoint. */
export function parsePeerProxy(input: unknown): PeerProxy {
  if (typeof input !== 'object' || input === null || Array.isArray(input))
    throw new ValueError(`found ${describe(input)}; write a map such as { port: 4143, http2: true }`);
  const { port, http2, ...others } = input as Record<string, unknown>;
  const [other] = Object.keys(others);
  if (other !== undefined) throw new ValueError(`has the key ${JSON.stringify(other)}; it has port and http2`);
  const at = <T>(key: string, read: () => T): T => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      throw new ValueError(`${key}: ${error.message}`);
    }
  };
  return {
    port: port === undefined ? 0 : at('port', () => parseInteger(port, 1, 65_535)),
    http2: http2 === undefined ? false : at('http2', () => parseBoolean(http2)),
  };
}

/** A path in the file, relative to the file. */
export function parseFilePath(input: unknown): string {
  if (typeof input !== 'string' || input === '')
    throw new ValueError(`found ${describe(input)}; write the path of a file, such as "endpoints.yaml"`);
  if (input.includes('\0')) throw new ValueError(`${describe(input)} is not a path; remove the zero byte`);
  return input;
}

/** A port or a range such as `4000-4010`, both ends included. */
export function parsePorts(input: unknown): PortRange {
  const match = typeof input === 'string' ? /^(\d+)\s*-\s*(\d+)$/.exec(input) : null;
  if (match !== null) {
    const range = { first: parsePort(match[1], 1), last: parsePort(match[2], 1) };
    if (range.first > range.last)
      throw new ValueError(`${describe(input)} is in the wrong order; write "${range.last}-${range.first}"`);
    return range;
  }
  if (typeof input !== 'number' && typeof input !== 'string') {
    throw new ValueError(`found ${describe(input)}; write a port such as 5432 or a range such as "4000-4010"`);
  }
  const port = parsePort(String(input), 1);
  return { first: port, last: port };
}
