// A bench that compares CPU time per request: Sluice and rivals under the same load, on one core.
import { sluice } from '../../src/harness/subjects/sluice.js';
import type { Running, Subject, Work } from '../../src/harness/subjects/subject.js';
import { type Bar, type Bench, cpuSample } from '../bench.js';
import type { Load } from '../load.js';
import { meshProxies } from '../rivals/mesh.js';
import type { Session } from '../session.js';
import { PROXY_CORE } from './http.js';

export interface CpuBench {
  readonly name: string;
  readonly title: string;
  readonly bar: Bar | null;
  readonly rivals: readonly Subject[];
  readonly http2?: Work['http2'];
  readonly connections: number;
  /** Starts the server behind the subjects; returns its port. */
  upstream(session: Session): Promise<number>;
  load(session: Session, running: Running, seconds: number): Promise<Load>;
}

export function cpuBench({ name, title, bar, rivals, http2, connections, upstream, load }: CpuBench): Bench {
  const work = { kind: 'http', workers: 1, cores: PROXY_CORE, connections, ...(http2 ? { http2 } : {}) } as const;
  return {
    name,
    title,
    unit: 'µs CPU/request',
    measures: 'cpu',
    bar,
    contenders: [sluice('sluice', 'auto'), ...rivals, ...meshProxies],
    work,
    upstream,
    sample: (session, running, seconds) => cpuSample(running, work.cores, () => load(session, running, seconds)),
  };
}
