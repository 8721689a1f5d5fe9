// A proxy under measurement and the work it is set up for.
import { spawnSync } from 'node:child_process';
import type { Processes, Started } from '../processes.js';

const VERSION_MS = 10_000;

export interface Work {
  readonly kind: 'http' | 'tcp';
  /** Who speaks HTTP/2 by prior knowledge, where `kind` is http; nobody where it is not set. */
  readonly http2?: 'clients' | 'endpoint' | 'both';
  /** Clients speak TLS 1.3 to the proxy (`clients`), or two proxies in a row speak mutual TLS with each other (`between`). */
  readonly tls?: 'clients' | 'between';
  /** Port of the one endpoint on 127.0.0.1. */
  readonly upstream: number;
  readonly workers: number;
  /** Cores for `taskset -c`. */
  readonly cores: string;
  /** Client connections that must fit. */
  readonly connections: number;
}

export interface Running {
  readonly name: string;
  readonly port: number;
  /** Where it listens; 127.0.0.1 where it is not set. */
  readonly address?: string;
  /** Port of its admin listener, where it has one. */
  readonly admin?: number;
  /** The proxy's process; for `direct`, the upstream's own. */
  readonly started: Started;
  /** The second of two proxies in a row, whose costs count too. */
  readonly second?: Started;
  /** Whether it says that it is ready, where it says so; else it is once it accepts. */
  ready?(): Promise<boolean>;
  /** Ends what it needs beside its processes, which are stopped by who has started it. */
  stop?(): Promise<void>;
  /** After traffic: why what was measured is not what was meant, or null. */
  check?(): Promise<string | null>;
}

export interface Subject {
  /** Shown in the table; bars refer to it. */
  readonly name: string;
  /** Why it cannot run here, or null. */
  missing(): string | null;
  /** Why it can't do this work; null, or not there: it can. */
  unsupported?(work: Pick<Work, 'kind' | 'http2' | 'tls'>): string | null;
  /** As it says it itself. */
  version?(): string;
  start(session: Processes, work: Work): Promise<Running>;
  /** Of Sluice: the same work and configuration for another build, started with `program`. */
  build?(name: string, program: readonly string[]): Subject;
}

/** What `program` says of its version, by `pattern`; empty where it says nothing of the kind. */
export function saidVersion(program: string, args: readonly string[], pattern: RegExp): string {
  const { stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', timeout: VERSION_MS });
  return pattern.exec(`${stdout ?? ''}${stderr ?? ''}`)?.[1] ?? '';
}

export const clientsSpeakHttp2 = ({ http2 }: Pick<Work, 'http2'>): boolean => http2 === 'clients' || http2 === 'both';

export const endpointSpeaksHttp2 = ({ http2 }: Pick<Work, 'http2'>): boolean =>
  http2 === 'endpoint' || http2 === 'both';

/** No proxy at all: what the load generator and the upstream cost by themselves. */
export const direct: Subject = {
  name: 'direct',
  missing: () => null,
  unsupported({ http2, tls }) {
    if (tls !== undefined) return 'the server behind speaks no TLS';
    return http2 === 'clients' || http2 === 'endpoint' ? 'the server behind speaks one version of HTTP' : null;
  },
  async start(session, work) {
    const upstream = session.processes().at(0);
    if (!upstream) throw new Error('the upstream does not run');
    return { name: 'direct', port: work.upstream, started: upstream };
  },
};
