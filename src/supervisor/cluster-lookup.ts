// Discovery without a controller: the proxy itself watches the API server of its cluster.
import type { DestinationConfig } from '../config/model.js';
import type { KubernetesLookup } from '../config/sidecar-model.js';
import { MeshRules } from '../controller/mesh-rules.js';
import type { LookupCounts, LookupFailure } from '../destination/counts.js';
import type { DestinationLookup, EndpointsUpdate, Requester } from '../destination/lookup.js';
import type { RulesMessage } from '../destination/rules-message.js';
import type { DiscoveryLogger, Watch } from '../discovery/source.js';
import { type ApiAccess, podAccess } from '../kubernetes/access.js';
import { CLIENT_LIMITS } from '../kubernetes/client.js';
import { Cluster } from '../kubernetes/cluster.js';
import type { ObjectProblem } from '../kubernetes/object-problems.js';
import { ApiObjects } from '../kubernetes/objects.js';
import { spansOf } from '../kubernetes/opaque-ports.js';
import type { Failure } from '../kubernetes/problem.js';
import { KINDS } from '../kubernetes/stores.js';

export interface ClusterLookupDeps {
  readonly logger: DiscoveryLogger;
  readonly counts: LookupCounts;
}

/** How often to read the mesh's rules, ms. */
const RULES_MS = 10_000;

const FAILURES: Readonly<Record<Failure, LookupFailure>> = {
  status: 'status',
  unreachable: 'unreachable',
  timeout: 'timeout',
  'too-large': 'size',
  garbage: 'garbage',
  credentials: 'unreachable',
  closed: 'broken',
};

export class ClusterLookup implements DestinationLookup {
  readonly #cluster: Cluster;
  readonly #rules: MeshRules;
  /** Services with more endpoints than are used, and how many were left out. */
  readonly #crowded = new Set<string>();
  #refused = 0;
  readonly #startedMs = Date.now();

  constructor(
    access: ApiAccess,
    { clusterDomain, trustDomain, mesh }: KubernetesLookup,
    private readonly config: DestinationConfig,
    opaquePorts: ReadonlySet<number>,
    private readonly deps: ClusterLookupDeps,
  ) {
    const { timeoutMs, keepAliveMs, keepAliveTimeoutMs, minBackoffMs, maxBackoffMs } = config;
    this.#cluster = new Cluster(
      {
        access,
        mesh: { clusterDomain, trustDomain, namespace: mesh, opaque: spansOf(opaquePorts) },
        limits: {
          connectMs: timeoutMs,
          pingMs: keepAliveMs === 0 ? CLIENT_LIMITS.pingMs : keepAliveMs,
          pingTimeoutMs: keepAliveTimeoutMs,
        },
        times: { minBackoffMs, maxBackoffMs },
      },
      { logger: deps.logger, problem: (problem) => this.#tell(problem) },
    );
    this.#rules = new MeshRules({
      objects: new ApiObjects(this.#cluster.client),
      logger: deps.logger,
      namespace: mesh,
      pollMs: RULES_MS,
      looked: () => undefined,
    });
    deps.counts.wanted = true;
    deps.counts.look = () => this.#count();
  }

  start(): void {
    this.#cluster.start();
  }

  stop(): void {
    this.#count();
    this.deps.counts.look = null;
    void this.#rules.close();
    this.#cluster.stop();
  }

  watchProfile(...asked: Parameters<DestinationLookup['watchProfile']>): Watch {
    return this.#cluster.view.watchProfile(...asked);
  }

  watchEndpoints(authority: string, requester: Requester, report: (update: EndpointsUpdate) => void): Watch {
    const { maxEndpoints } = this.config;
    const watch = this.#cluster.view.watchEndpoints(authority, requester, (update) => {
      const count = update.kind === 'endpoints' ? update.endpoints.length : 0;
      this.#warnOfRefusals(authority, count - maxEndpoints);
      const fits = update.kind === 'unknown' || count <= maxEndpoints;
      report(fits ? update : { kind: 'endpoints', endpoints: update.endpoints.slice(0, maxEndpoints) });
    });
    return {
      stop: () => {
        this.#crowded.delete(authority);
        watch.stop();
      },
    };
  }

  /** The mesh's rules for this proxy, from the ConfigMap that a controller would read. Nothing is reported while it can't be read. */
  followRules(namespace: string, account: string, report: (rules: RulesMessage | null) => void): void {
    this.#rules.watch(namespace, account, report);
    void this.#rules.start();
  }

  /** Logs once per service that some of its endpoints are not used. */
  #warnOfRefusals(authority: string, refused: number): void {
    if (refused <= 0) this.#crowded.delete(authority);
    else if (!this.#crowded.has(authority)) {
      this.#crowded.add(authority);
      this.#refused++;
      this.deps.logger.warn('a service has more endpoints than destination.maxEndpoints; the others are not used', {
        about: authority,
        refused,
      });
    }
  }

  #count(): void {
    const { counts } = this.deps;
    const all = KINDS.map((kind) => this.#cluster.status(kind));
    const sum = (of: 'watches' | 'events'): number => all.reduce((total, status) => total + status[of], 0);
    counts.connected = all.every(({ synced, problem }) => synced && problem === null);
    // As old as the least recently updated one.
    counts.heardMs = Math.min(...all.map(({ heardMs }) => (heardMs === 0 ? this.#startedMs : heardMs)));
    counts.connects = sum('watches');
    counts.updates = sum('events');
    counts.streams = all.filter(({ synced, problem }) => synced && problem === null).length;
    for (const failure of Object.keys(counts.failures) as LookupFailure[]) counts.failures[failure] = 0;
    for (const { failures } of all)
      for (const [failure, count] of Object.entries(failures) as [Failure, number][])
        counts.failures[FAILURES[failure]] += count;
    counts.failures.size += this.#refused;
  }

  #tell({ kind, namespace, name, field, message }: ObjectProblem): void {
    this.deps.logger.warn('an object has a value that is not understood', {
      kind,
      namespace,
      name,
      field,
      problem: message,
    });
  }
}

/** Throws if no API server can be reached. */
export async function startClusterLookup(
  source: KubernetesLookup,
  config: DestinationConfig,
  opaquePorts: ReadonlySet<number>,
  deps: ClusterLookupDeps,
): Promise<ClusterLookup> {
  const lookup = new ClusterLookup(await accessOf(source.kubeconfig), source, config, opaquePorts, deps);
  lookup.start();
  return lookup;
}

async function accessOf(kubeconfig: string | null): Promise<ApiAccess> {
  try {
    if (kubeconfig === null) return podAccess();
    const { kubeconfigAccess } = await import('../kubernetes/kubeconfig.js');
    return kubeconfigAccess([kubeconfig]);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`destination.kubernetes: ${why}`, { cause: error });
  }
}
