// The URLs of a load: protocol and address.
import { lookup } from 'node:dns/promises';
import { connect, isIP } from 'node:net';
import type { LoadProtocol, LoadTarget } from '../load/plan.js';
import { messageOf, UsageError } from './usage.js';

interface Scheme {
  readonly protocol: LoadProtocol;
  readonly tls: boolean;
  /** The default port; 0: a port is required. */
  readonly port: number;
}

const SCHEMES: Readonly<Record<string, Scheme>> = {
  'http:': { protocol: 'http1', tls: false, port: 80 },
  'https:': { protocol: 'http1', tls: true, port: 443 },
  'ws:': { protocol: 'websocket', tls: false, port: 80 },
  'wss:': { protocol: 'websocket', tls: true, port: 443 },
  'tcp:': { protocol: 'tcp', tls: false, port: 0 },
  'tls:': { protocol: 'tcp', tls: true, port: 0 },
  'grpc:': { protocol: 'grpc', tls: false, port: 0 },
  'grpcs:': { protocol: 'grpc', tls: true, port: 443 },
};

export interface ParsedTarget extends Scheme {
  /** The URL as given. */
  readonly url: string;
  readonly host: string;
  readonly authority: string;
  readonly path: string;
}

/** Throws a UsageError. */
export function parseTarget(url: string): ParsedTarget {
  const known = Object.keys(SCHEMES).map((scheme) => `${scheme}//`);
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw new UsageError(`${JSON.stringify(url)} is not a URL; write for example http://127.0.0.1:8080/`);
  }
  const scheme = SCHEMES[parsed.protocol];
  if (scheme === undefined || !url.includes('://'))
    throw new UsageError(`${JSON.stringify(url)}: a URL begins with one of ${known.join(', ')}`);
  if (parsed.username !== '' || parsed.password !== '')
    throw new UsageError(`${parsed.protocol}//…@${parsed.host}: no credentials in a URL; add -H 'authorization: …'`);
  const port = parsed.port === '' ? scheme.port : Number(parsed.port);
  if (parsed.hostname === '') throw new UsageError(`${JSON.stringify(url)} has no host`);
  if (port === 0) throw new UsageError(`${JSON.stringify(url)} has no port`);
  const host = parsed.hostname.replace(/^\[(.*)\]$/, '$1');
  return { ...scheme, port, url, host, authority: parsed.host, path: `${parsed.pathname || '/'}${parsed.search}` };
}

/** Timeout for connecting to one of several addresses. */
const TIMEOUT_MS = 1000;

/** Resolves the names. If a name has several addresses, takes the first that accepts a connection. Throws an Error with the name that fails. */
export async function resolveTargets(
  targets: readonly ParsedTarget[],
  weights: readonly number[],
): Promise<LoadTarget[]> {
  return await Promise.all(
    targets.map(async ({ host, port, authority, path }, i): Promise<LoadTarget> => {
      const address = isIP(host) !== 0 ? host : await addressOf(host, port);
      return { address, port, authority, path, weight: weights[i] };
    }),
  );
}

async function addressOf(host: string, port: number): Promise<string> {
  try {
    const found = (await lookup(host, { all: true })).map(({ address }) => address);
    return found.length > 1 ? await firstListening(found, port) : found[0];
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : '';
    const why =
      code === 'ENOTFOUND' ? 'no such name' : code === 'EAI_AGAIN' ? 'no name server answers' : messageOf(error);
    throw new Error(`cannot resolve ${host}: ${why}`);
  }
}

/** The first address that accepts a connection; the first one if none does. */
export async function firstListening(addresses: readonly string[], port: number): Promise<string> {
  for (const address of addresses) if (await listens(address, port)) return address;
  return addresses[0];
}

const listens = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host, port, timeout: TIMEOUT_MS });
    const end = (listening: boolean): void => {
      socket.destroy();
      resolve(listening);
    };
    socket
      .once('connect', () => end(true))
      .once('error', () => end(false))
      .once('timeout', () => end(false));
  });
