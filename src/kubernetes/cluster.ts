// A watched cluster: the collections behind its view, each maintained by a reflector, over one client.
import type { DiscoveryLogger } from '../discovery/source.js';
import { systemClock } from '../identity/source.js';
import type { ApiAccess } from './access.js';
import { ApiClient, type ClientLimits, type Query } from './client.js';
import { ClusterView } from './cluster-view.js';
import type { Mesh } from './endpoint-describer.js';
import { InternPool } from './intern-pool.js';
import type { JsonObject } from './json.js';
import { SERVICE_NAME } from './names.js';
import { readNamespace } from './namespace.js';
import type { ObjectProblem } from './object-problems.js';
import { readPod } from './pod.js';
import { Reflector, type ReflectorDeps, type ReflectorStatus, type ReflectorTimes, type Sink } from './reflector.js';
import { readService } from './service.js';
import { readSlice } from './slice.js';
import { KINDS, type Kind } from './stores.js';

export interface ClusterOptions {
  readonly access: ApiAccess;
  readonly mesh: Mesh;
  readonly limits?: Partial<ClientLimits>;
  readonly times?: Partial<ReflectorTimes>;
}

export interface ClusterDeps extends Partial<ReflectorDeps> {
  readonly logger: DiscoveryLogger;
  readonly problem?: (problem: ObjectProblem) => void;
}

type Following = Pick<Reflector<unknown>, 'start' | 'stop' | 'status'>;

interface Collection {
  readonly path: string;
  readonly query?: Query;
}

/** Finished pods have no address any more, and there may be many. */
const COLLECTIONS: Readonly<Record<Kind, Collection>> = {
  services: { path: '/api/v1/services' },
  slices: { path: '/apis/discovery.k8s.io/v1/endpointslices', query: { labelSelector: SERVICE_NAME } },
  pods: { path: '/api/v1/pods', query: { fieldSelector: 'status.phase!=Succeeded,status.phase!=Failed' } },
  namespaces: { path: '/api/v1/namespaces' },
};

export class Cluster {
  readonly view: ClusterView;
  /** For other calls to the same API server. */
  readonly client: ApiClient;
  readonly #reflectors: Readonly<Record<Kind, Following>>;
  readonly #logged = new Map<Kind, string>();
  #synced: (() => void) | null = null;
  /** Resolves when everything has been listed once. */
  readonly synced = new Promise<void>((resolve) => {
    this.#synced = resolve;
  });

  constructor(
    options: ClusterOptions,
    private readonly deps: ClusterDeps,
  ) {
    const view = new ClusterView(options.mesh, deps.problem === undefined ? {} : { problem: deps.problem });
    this.view = view;
    this.client = new ApiClient(options.access, options.limits);
    const texts = new InternPool();
    const keep = <T>(kind: Kind, read: (object: JsonObject, texts: InternPool) => T | null, sink: Sink<T>) =>
      new Reflector<T>(
        {
          ...COLLECTIONS[kind],
          client: this.client,
          read: (object) => read(object, texts),
          sink,
          times: options.times ?? {},
          statusChanged: (status) => this.#logStatus(kind, status),
        },
        { clock: deps.clock ?? systemClock, random: deps.random ?? Math.random },
      );
    this.#reflectors = {
      services: keep('services', readService, view.services),
      slices: keep('slices', readSlice, view.slices),
      pods: keep('pods', readPod, view.pods),
      namespaces: keep('namespaces', readNamespace, view.namespaces),
    };
  }

  start(): void {
    for (const kind of KINDS) this.#reflectors[kind].start();
  }

  /** Reports nothing any more. */
  stop(): void {
    for (const kind of KINDS) this.#reflectors[kind].stop();
    this.client.close();
  }

  /** Of each collection, for metrics. */
  status(kind: Kind): ReflectorStatus {
    return this.#reflectors[kind].status;
  }

  /** Current problems of collections that can't be watched. */
  get problems(): readonly string[] {
    return KINDS.map((kind) => this.status(kind).problem).filter((problem) => problem !== null);
  }

  #logStatus(kind: Kind, { problem, synced }: ReflectorStatus): void {
    const { logger } = this.deps;
    const before = this.#logged.get(kind) ?? '';
    const now = problem ?? '';
    if (now !== before) {
      this.#logged.set(kind, now);
      const stays = synced ? 'the last known state stays in use' : 'nothing is known yet';
      if (problem !== null) logger.warn(`${kind} of the cluster can't be followed; ${stays}`, { problem });
      else logger.info(`${kind} of the cluster are followed again`);
    }
    if (this.view.synced) this.#synced?.();
  }
}
