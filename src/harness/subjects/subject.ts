// A proxy to measure, and the work it is configured for.
import { spawnSync } from 'node:child_process';
import type { Processes, Started } from '../processes.js';

const VERSION_MS = 10_000;

export interface Work {
  readonly kind: 'http' | 'tcp';
  /** Who speaks HTTP/2 with prior knowledge, if `kind` is http; unset: nobody. */
  readonly http2?: 'clients' | 'endpoint' | 'both';
  /** Connections of clients are upgraded to WebSocket. */
  readonly upgrade?: true;
  /** Clients speak TLS 1.3 to the proxy (`clients`), with certificates of their own (`mutual`), or two proxies in a row speak mutual TLS with each other (`between`). */
  readonly tls?: 'clients' | 'mutual' | 'between';
  /** Port of the one endpoint on 127.0.0.1. */
  readonly upstream: number;
  readonly workers: number;
  /** Cores for `taskset -c`. */
  readonly cores: string;
  /** Minimum number of client connections. */
  readonly connections: number;
}

export interface Running {
  readonly name: string;
  readonly port: number;
  /** Listening address; 127.0.0.1 if unset. */
  readonly address?: string;
  /** Port of its admin listener, if it has one. */
  readonly admin?: number;
  /** The proxy's process; for `direct`, the upstream's own. */
  readonly started: Started;
  /** The second of two proxies in a row, whose cost counts too. */
  readonly second?: Started;
  /** Whether it reports ready, if it has such a report; otherwise it is ready once it accepts. */
  ready?(): Promise<boolean>;
  /** Cleans up what it needs besides its processes, which the session stops. */
  stop?(): Promise<void>;
  /** After traffic: why the measurement is not what was intended, or null. */
  check?(): Promise<string | null>;
}

export interface Subject {
  /** Name in the table and in bars. */
  readonly name: string;
  /** Why it cannot run here, or null. */
  missing(): string | null;
  /** Why it is not capable of this work; null or no such method: it is. */
  unsupported?(work: Pick<Work, 'kind' | 'http2' | 'tls' | 'upgrade'>): string | null;
  /** Version as reported by itself. */
  version?(): string;
  start(session: Processes, work: Work): Promise<Running>;
  /** For Sluice: the same work and configuration with another build, started with `program`. */
  build?(name: string, program: readonly string[]): Subject;
}

/** The version in the output of `program`, matched by `pattern`; empty if not found. */
export function readVersion(program: string, args: readonly string[], pattern: RegExp): string {
  const { stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', timeout: VERSION_MS });
  return pattern.exec(`${stdout ?? ''}${stderr ?? ''}`)?.[1] ?? '';
}

export const clientsSpeakHttp2 = ({ http2 }: Pick<Work, 'http2'>): boolean => http2 === 'clients' || http2 === 'both';

export const endpointSpeaksHttp2 = ({ http2 }: Pick<Work, 'http2'>): boolean =>
  http2 === 'endpoint' || http2 === 'both';

/** No proxy at all: the cost of the load generator and the upstream alone. */
export const direct: Subject = {
  name: 'direct',
  missing: () => null,
  unsupported({ http2, tls }) {
    if (tls !== undefined) return 'the upstream does not speak TLS';
    return http2 === 'clients' || http2 === 'endpoint' ? 'the upstream speaks only one version of HTTP' : null;
  },
  async start(session, work) {
    const upstream = session.processes().at(0);
    if (!upstream) throw new Error('the upstream does not run');
    return { name: 'direct', port: work.upstream, started: upstream };
  },
};
