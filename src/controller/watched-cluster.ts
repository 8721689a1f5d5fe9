// The watched cluster as a component of the controller, with its metrics.
import { Counter, Gauge, type Registry } from 'prom-client';
import type { ApiAccess } from '../kubernetes/access.js';
import type { ClientLimits } from '../kubernetes/client.js';
import { Cluster } from '../kubernetes/cluster.js';
import type { ClusterView } from '../kubernetes/cluster-view.js';
import type { Mesh } from '../kubernetes/endpoint-describer.js';
import type { ObjectProblem } from '../kubernetes/object-problems.js';
import { ApiObjects } from '../kubernetes/objects.js';
import { KINDS } from '../kubernetes/stores.js';
import type { Logger } from '../log/logger.js';
import type { Component } from './component.js';
import { EVENT_RESULTS, type EventResult, Events } from './events.js';
import { eventOf } from './object-event.js';

export interface WatchedClusterOptions {
  readonly access: ApiAccess;
  readonly mesh: Mesh;
  readonly limits?: Partial<ClientLimits>;
}

export interface WatchedClusterDeps {
  readonly registry: Registry;
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>;
}

export class WatchedCluster implements Component {
  readonly name = 'cluster';
  /** For whatever else is asked of the same API server. */
  readonly objects: ApiObjects;
  readonly #cluster: Cluster;
  readonly #events: Events;

  constructor(options: WatchedClusterOptions, { registry, logger }: WatchedClusterDeps) {
    this.#cluster = new Cluster(options, { logger, problem: (problem) => this.#tell(problem, logger) });
    this.objects = new ApiObjects(this.#cluster.client);
    const events = new Counter({
      name: 'sluice_cluster_events_total',
      help: 'Events on objects with a value that is not understood',
      labelNames: ['result'],
      registers: [registry],
    });
    for (const result of EVENT_RESULTS) events.inc({ result }, 0);
    const done = (result: EventResult): void => events.inc({ result });
    this.#events = new Events('sluice-controller', { objects: this.objects, now: Date.now, done });
    measure(this.#cluster, registry);
  }

  get view(): ClusterView {
    return this.#cluster.view;
  }

  /** Does not wait until everything has been listed: until then nothing is reported. */
  async start(): Promise<void> {
    this.#cluster.start();
  }

  async close(): Promise<boolean> {
    this.#cluster.stop();
    return true;
  }

  unready(): string | null {
    if (this.view.synced) return null;
    return ['the cluster has not been read yet', ...this.#cluster.problems].join('; ');
  }

  /** The last known state stays valid. */
  get problem(): string | null {
    const { problems } = this.#cluster;
    return problems.length === 0 ? null : problems.join('; ');
  }

  #tell(problem: ObjectProblem, logger: Pick<Logger, 'warn'>): void {
    const { kind, namespace, name, field, message } = problem;
    logger.warn('an object has a value that is not understood', { kind, namespace, name, field, problem: message });
    this.#events.tell(eventOf(problem));
  }
}

function measure(cluster: Cluster, registry: Registry): void {
  const gauge = (name: string, help: string, set: (gauge: Gauge<'kind'>) => void, labelNames: 'kind'[] = []): void => {
    new Gauge({
      name: `sluice_cluster_${name}`,
      help,
      labelNames,
      registers: [registry],
      collect: function collect() {
        set(this);
      },
    });
  };
  const { view } = cluster;
  gauge(
    'objects',
    'Objects of the cluster that are watched',
    (objects) => {
      const { services, slices, pods, namespaces } = view.counts;
      for (const [kind, count] of Object.entries({ services, slices, pods, namespaces })) objects.set({ kind }, count);
    },
    ['kind'],
  );
  gauge('endpoints', 'Endpoints in the slices of the cluster', (endpoints) => endpoints.set(view.counts.endpoints));
  gauge('object_problems', 'Objects with a value that is not understood', (all) => all.set(view.problems));
  gauge('synced', 'Whether the whole cluster has been read', (synced) => synced.set(view.synced ? 1 : 0));
  gauge(
    'age_seconds',
    'Time since the API server was last heard from; +Inf if it never was',
    (age) => {
      for (const kind of KINDS) {
        const { heardMs } = cluster.status(kind);
        age.set({ kind }, heardMs === 0 ? Number.POSITIVE_INFINITY : (Date.now() - heardMs) / 1000);
      }
    },
    ['kind'],
  );
  const counted = (name: string, help: string, of: 'lists' | 'watches' | 'events'): void => {
    new Counter({
      name: `sluice_cluster_${name}_total`,
      help,
      labelNames: ['kind'],
      registers: [registry],
      collect: function collect() {
        this.reset();
        for (const kind of KINDS) this.inc({ kind }, cluster.status(kind)[of]);
      },
    });
  };
  counted('lists', 'Times a collection was listed', 'lists');
  counted('watches', 'Times a collection was watched', 'watches');
  counted('changes', 'Changes reported by the API server', 'events');
}
