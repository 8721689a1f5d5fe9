// The load generators as functions: what to run, and what it said.

import { which } from '../src/harness/paths.js';
import type { Session } from './session.js';

export interface Load {
  /** Units of work done: requests, round trips, connections or GB (10^9 bytes). */
  readonly units: number;
  /** Wrong or missing answers of any kind. */
  readonly errors: number;
  readonly seconds: number;
}

export interface LatencyLoad extends Load {
  /** Mean and percentiles in µs, from the time at which a request was due. */
  readonly mean: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  /** The same of each part of the time, where it was asked for in parts. */
  readonly windows?: readonly LatencyWindow[];
}

export interface LatencyWindow {
  readonly mean: number;
  readonly p99: number;
  readonly max: number;
}

const fields = { units: 0, errors: 0, seconds: 0 };

function isLoad(value: unknown): value is Load {
  return typeof value === 'object' && value !== null && Object.keys(fields).every((key) => key in value);
}

/** Parses a generator's JSON line. */
export function parseLoad(line: string): Load {
  const value: unknown = JSON.parse(line);
  if (!isLoad(value)) throw new Error(`not a load generator's result: ${line}`);
  return value;
}

async function generate(session: Session, name: string, ...args: (string | number)[]): Promise<Load> {
  return parseLoad(await session.run(name, [session.compile(name), ...args.map(String)]));
}

/** The same, over TLS; `wrapper`: what to start it with. */
async function generateTls(
  session: Session,
  name: string,
  args: readonly number[],
  wrapper: readonly string[] = [],
): Promise<Load> {
  return parseLoad(await session.run(name, [...wrapper, session.compile(name, true), ...args.map(String)]));
}

/** Keep-alive GETs, closed loop, with wrk. */
export async function wrk(
  session: Session,
  port: number,
  connections: number,
  seconds: number,
  options: WrkOptions = {},
): Promise<Load> {
  return parseWrk(await runWrk(session, port, connections, seconds, options));
}

/** `/large` over TLS. Units: GB, of bodies that came to their end or not. */
export async function wrkBulk(session: Session, port: number, connections: number, seconds: number): Promise<Load> {
  const text = await runWrk(session, port, connections, seconds, { scheme: 'https', path: '/large' });
  return { ...parseWrk(text), units: parseWrkBytes(text) / 1e9 };
}

export interface WrkOptions {
  readonly scheme?: 'http' | 'https';
  /** A connection for each request. */
  readonly close?: boolean;
  readonly path?: string;
}

function runWrk(
  session: Session,
  port: number,
  connections: number,
  seconds: number,
  { scheme = 'http', close = false, path = '/' }: WrkOptions,
): Promise<string> {
  const program = which('wrk');
  if (program === null) throw new Error('wrk is not installed (Debian: wrk)');
  const args = ['-t1', `-c${connections}`, `-d${Math.max(1, Math.round(seconds))}s`, '--timeout', '5s'];
  if (close) args.push('-H', 'Connection: close');
  return session.run('wrk', [program, ...args, `${scheme}://127.0.0.1:${port}${path}`]);
}

/** Bytes that wrk has read, as its report has them. */
export function parseWrkBytes(text: string): number {
  const read = /, ([\d.]+)(B|KB|MB|GB|TB) read/.exec(text);
  if (!read) throw new Error(`not a report of wrk: ${text}`);
  return Number(read[1]) * 1024 ** ['B', 'KB', 'MB', 'GB', 'TB'].indexOf(read[2]);
}

/** Parses wrk's report; counts non-2xx answers and socket errors as errors. */
export function parseWrk(text: string): Load {
  const summary = /(\d+) requests in ([\d.]+)(ms|s|m),/.exec(text);
  if (!summary) throw new Error(`not a report of wrk: ${text}`);
  const socket = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text);
  const status = /Non-2xx or 3xx responses: (\d+)/.exec(text);
  const scale = { ms: 0.001, s: 1, m: 60 }[summary[3]] ?? 1;
  const errors = (socket?.slice(1) ?? []).reduce((sum, count) => sum + Number(count), 0) + Number(status?.[1] ?? 0);
  return { units: Number(summary[1]), errors, seconds: Number(summary[2]) * scale };
}

type Amount = { readonly seconds: number } | { readonly requests: number };

/** Requests over HTTP/2 by prior knowledge, `streams` open on each of the `connections`, with h2load. Units: responses. */
export async function h2load(
  session: Session,
  port: number,
  connections: number,
  streams: number,
  amount: Amount,
  scheme: 'http' | 'https' = 'http',
): Promise<Load> {
  return parseH2load(await runH2load(session, port, connections, streams, amount, scheme)).responses;
}

/** The same, for large bodies. Units: GB of DATA, whether or not its response came to its end within the time. */
export async function h2loadBulk(
  session: Session,
  port: number,
  connections: number,
  streams: number,
  seconds: number,
): Promise<Load> {
  const { responses, bodyBytes } = parseH2load(await runH2load(session, port, connections, streams, { seconds }));
  return { ...responses, units: bodyBytes / 1e9 };
}

function runH2load(
  session: Session,
  port: number,
  connections: number,
  streams: number,
  amount: Amount,
  scheme: 'http' | 'https' = 'http',
): Promise<string> {
  const program = which('h2load');
  if (program === null) throw new Error('h2load is not installed (Debian: nghttp2-client)');
  // A duration is an integer with a unit; in milliseconds it need not be whole seconds.
  const until = 'seconds' in amount ? `-D${Math.round(amount.seconds * 1000)}ms` : `-n${amount.requests}`;
  const args = ['-t1', `-c${connections}`, `-m${streams}`, until, `${scheme}://127.0.0.1:${port}/`];
  return session.run('h2load', [program, ...args]);
}

/** Parses h2load's report; what is not a 2xx, or did not end well, is an error. */
export function parseH2load(text: string): { readonly responses: Load; readonly bodyBytes: number } {
  const time = /^finished in ([\d.]+)(us|ms|s|m)\b/m.exec(text);
  const requests = /(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/.exec(text);
  const status = /(\d+) 2xx,/.exec(text);
  const body = /\((\d+)\) data/.exec(text);
  if (!time || !requests || !status || !body) throw new Error(`not a report of h2load: ${text}`);
  const [done, succeeded, failed, errored, timeout] = requests.slice(1).map(Number);
  const good = Math.min(succeeded, Number(status[1]));
  // "failed" includes what errored and what timed out.
  const errors = Math.max(failed, errored + timeout) + Math.max(0, done - failed - good);
  const scale = { us: 1e-6, ms: 0.001, s: 1, m: 60 }[time[2]] ?? 1;
  return { responses: { units: good, errors, seconds: Number(time[1]) * scale }, bodyBytes: Number(body[1]) };
}

/**
 * What `vary.h` takes as arguments, for generators and upstreams alike: `prefix=acme- again=50` and the like. Figures must not depend on
 * the names and lengths that a bench happens to have.
 */
export const VARY = process.env.SLUICE_BENCH_VARY?.split(' ').filter(Boolean) ?? [];

/** Requests that are all different, one after the other on each connection. Units: responses. */
export function varied(session: Session, port: number, connections: number, seconds: number): Promise<Load> {
  return generate(session, 'vary', port, connections, seconds, ...VARY);
}

/** The same over HTTP/2, `streams` open on each connection. */
export function variedHttp2(
  session: Session,
  port: number,
  connections: number,
  streams: number,
  seconds: number,
): Promise<Load> {
  return generate(session, 'vary-h2', port, connections, streams, seconds, ...VARY);
}

/** Messages of `bytes` echoed, one in flight per connection. Units: round trips. */
export function pingpong(
  session: Session,
  port: number,
  connections: number,
  seconds: number,
  bytes: number,
): Promise<Load> {
  return generate(session, 'pingpong', port, connections, seconds, bytes);
}

/** Downloads in pieces of `bytes`. Units: GB. */
export function sink(
  session: Session,
  kind: 'tcp' | 'http',
  port: number,
  connections: number,
  seconds: number,
  bytes: number,
): Promise<Load> {
  return generate(session, 'sink', kind, port, connections, seconds, bytes);
}

/** One request per connection. Units: connections. */
export function shortConnections(session: Session, port: number, concurrency: number, seconds: number): Promise<Load> {
  return generate(session, 'connect', port, concurrency, seconds);
}

/** Open loop at `rate` requests a second; looked at in parts of `window` seconds as well, where that is not 0. */
export async function fixedRate(
  session: Session,
  port: number,
  connections: number,
  seconds: number,
  rate: number,
  window = 0,
): Promise<LatencyLoad> {
  return withLatency(await generate(session, 'rate', port, connections, seconds, rate, window));
}

/** Open loop at `rate` requests a second over TLS, on connections that stand before it begins. */
export async function fixedRateTls(
  session: Session,
  port: number,
  connections: number,
  seconds: number,
  rate: number,
): Promise<LatencyLoad> {
  return withLatency(await generateTls(session, 'rate', [port, connections, seconds, rate]));
}

/** `rate` handshakes a second asked for, with what the load's core has to spare. Units: those that came to their end. */
export function storm(session: Session, port: number, seconds: number, rate: number): Promise<Load> {
  return generateTls(session, 'storm', [port, seconds, rate], ['nice', '-n', '19']);
}

/** Open loop at `rate` requests a second over HTTP/2, at most `streams` open on a connection; in parts as `fixedRate`. */
export async function fixedRateHttp2(
  session: Session,
  port: number,
  connections: number,
  streams: number,
  seconds: number,
  rate: number,
  window = 0,
): Promise<LatencyLoad> {
  return withLatency(await generate(session, 'rate-h2', port, connections, streams, seconds, rate, window));
}

/** Rejects what has no percentiles. */
export function withLatency(load: Load): LatencyLoad {
  if (!isLatency(load)) throw new Error('the open-loop generator printed no percentiles');
  return load;
}

function isLatency(load: Load): load is LatencyLoad {
  return 'mean' in load && 'p50' in load && 'p99' in load && 'p999' in load && 'max' in load;
}
