// The main thread's view: what all workers counted, by name. Reads the workers' memory without stopping them.

import { type LookupCounts, noLookupCounts } from '../destination/counts.js';
import { H, H2_ROLES } from '../http2/counters.js';
import { type IdentityCounts, noCounts } from '../identity/counts.js';
import { noPushCounts, type PushCounts } from '../otlp/counts.js';
import { noTapCounts, type TapCounts } from '../tap/counts.js';
import { noTracingCounts, type TracingCounts } from '../tracing/counts.js';
import { CellSums } from './cell-sums.js';
import type { CertificateCounts } from './certificate-counts.js';
import type { ClientSeriesName } from './client-series.js';
import { ClientGroup, type ClientTotals } from './clients.js';
import { Exemplars } from './exemplars.js';
import { ENDPOINT_PROTOCOLS, ENDPOINT_STATES, gaugesOf, HTTP2_FIELDS, WORKER_FIELDS } from './fields.js';
import { collect, type SlotGroup, type WorkerView } from './group.js';
import { type EndpointInfo, type ListenerInfo, makeGroups, type RuleInfo, type ServiceInfo } from './groups.js';
import type { HistogramData, SnapshotHolders } from './histogram.js';
import { HistogramTotal } from './histogram.js';
import { LabelValues } from './label-values.js';
import {
  C,
  DEFAULT_ENDPOINTS,
  DEFAULT_IDENTITIES,
  DEFAULT_SERVICES,
  E,
  endpointBase,
  h2Base,
  L,
  W,
  WORKER_HISTOGRAMS,
  workerHistogram,
} from './layout.js';
import { type MainLimitCounts, noMainLimits } from './main-limits.js';
import { ServerNames } from './server-names.js';
import type { WorkerMemory } from './shared.js';
import type { SlotTable } from './slots.js';
import { atOnce, type Steps } from './steps.js';

/** A listener, service or endpoint, summed over the workers. */
export interface Series<Info> {
  readonly slot: number;
  /** The object that named the slot. */
  readonly info: Info;
  /** False once its key was released: the totals are kept for a while, but the thing itself is gone. */
  readonly held: boolean;
  /** Whether anything was ever counted. */
  readonly touched: boolean;
  /** Fields as in L, S or E. */
  readonly values: Float64Array;
  /** In the order of LISTENER_HISTOGRAMS, SERVICE_HISTOGRAMS or ENDPOINT_HISTOGRAMS; null without recordings. */
  readonly histograms: readonly (HistogramData | null)[];
}

/** Connection totals include those that are also counted elsewhere; this is the rest. */
interface Own {
  /** Fields of `values` below REQUESTS. */
  readonly own: Float64Array;
}

/** `own`: clients whose identity is not known (yet). */
export interface ListenerSeries extends Series<ListenerInfo>, Own {}

/** `histograms` are sums of `cells`: latencies by class of routes and outcome, in the order of CELL_LABELS. */
export interface ServiceSeries extends Series<ServiceInfo> {
  readonly cells: readonly (HistogramData | null)[];
}

/**
 * `own`: all connections except those that carry clients' own TLS. `values[E.STATE]` is the best state in any worker, `values[E.EWMA_MS]`
 * the mean of the workers' estimates, `values[E.PROTOCOL]` has the bits of all workers.
 */
export interface EndpointSeries extends Series<EndpointInfo>, Own {
  /** Workers that see the endpoint in each of ENDPOINT_STATES. */
  readonly states: readonly number[];
  /** Workers that know it to speak each of ENDPOINT_PROTOCOLS. */
  readonly protocols: readonly number[];
}

export interface WorkerSeries {
  readonly id: number;
  /** Fields as in W. Counters continue when the worker is replaced. */
  readonly values: Float64Array;
  readonly histograms: readonly (HistogramData | null)[];
}

export interface MetricsSnapshot {
  /** Milliseconds since the epoch. */
  readonly atMs: number;
  readonly workers: readonly WorkerSeries[];
  readonly listeners: readonly ListenerSeries[];
  /** Clients by identity. */
  readonly clients: readonly ClientTotals[];
  readonly services: readonly ServiceSeries[];
  readonly endpoints: readonly EndpointSeries[];
  readonly rules: readonly Series<RuleInfo>[];
  /** Times that a name found no room in its table and went to the series `overflow`. */
  readonly overflows: number;
  /** Current names without a series of their own. */
  readonly unassigned: Readonly<Record<'listener' | 'service' | 'endpoint' | 'rule', number>>;
  readonly endpointFiles: Readonly<EndpointFileCounts>;
  readonly certificates: Readonly<CertificateCounts>;
  /** Server names requested by TLS clients that are not ours. */
  readonly serverNames: ServerNames['all'];
  /** DNS names of services. */
  readonly names: readonly Readonly<NameCounts>[];
  /** Services without any endpoint. */
  readonly unready: number;
  readonly identity: Readonly<IdentityCounts>;
  readonly lookup: Readonly<LookupCounts>;
  readonly tap: Readonly<TapCounts>;
  readonly tracing: Readonly<TracingCounts>;
  readonly push: Readonly<PushCounts>;
  readonly limits: Readonly<MainLimitCounts>;
  /** Not a copy. */
  readonly exemplars: Pick<Exemplars, 'of'>;
}

/** Counters of a DNS name. */
export interface NameCounts {
  readonly service: string;
  readonly name: string;
  failures: number;
  /** Last successful resolution, seconds since 1970; 0: never. */
  lastSuccess: number;
}

/** Counters of files of endpoints. */
export interface EndpointFileCounts {
  watched: number;
  /** Files that cannot be used now. */
  broken: number;
  /** Times that one was not read because of its size. */
  tooLarge: number;
}

export interface MetricsReaderOptions {
  /** Services and endpoints with a series of their own. */
  readonly maxServices?: number;
  readonly maxEndpoints?: number;
  /** Identities as label values, for clients and endpoints each. */
  readonly maxIdentities?: number;
  /** Clock, ms. */
  readonly now?: () => number;
  /** How long to keep series of removed things, ms. */
  readonly retainMs?: number;
  /** How long after its release a slot may be reused if its table is full, ms. */
  readonly reuseMs?: number;
}

interface WorkerRecord {
  live: WorkerView | null;
  /** Counters of its predecessors. */
  readonly retired: Float64Array;
  readonly totals: readonly HistogramTotal[];
}

const WORKER_GAUGES = [
  ...gaugesOf(W, WORKER_FIELDS),
  ...H2_ROLES.flatMap((_, role) => gaugesOf(H, HTTP2_FIELDS).map((field) => h2Base(role) + field)),
];

/** Name of the service for original destinations, and of all its endpoints together. */
export const ORIGINAL_DESTINATION = 'original-destination';

export class MetricsReader {
  readonly #workers = new Map<number, WorkerRecord>();
  readonly #views = new Set<WorkerView>();
  readonly #listeners: SlotGroup<ListenerInfo>;
  readonly #services: SlotGroup<ServiceInfo>;
  readonly #endpoints: SlotGroup<EndpointInfo>;
  readonly #rules: SlotGroup<RuleInfo>;
  /** Endpoint series that a worker's memory needs room for. */
  readonly endpointSeries: number;
  readonly names = new Set<NameCounts>();
  /** Set by the owner of that knowledge. */
  unready: () => number = () => 0;
  readonly serverNames = new ServerNames();
  readonly certificates: CertificateCounts = { loaded: 0, failed: 0, broken: 0, used: [] };
  readonly identity: IdentityCounts = noCounts();
  readonly lookup: LookupCounts = noLookupCounts();
  readonly tap: TapCounts = noTapCounts();
  readonly tracing: TracingCounts = noTracingCounts();
  readonly push: PushCounts = noPushCounts();
  readonly limits: MainLimitCounts = noMainLimits();
  readonly endpointFiles: EndpointFileCounts = { watched: 0, broken: 0, tooLarge: 0 };
  /** Identities of endpoints in labels. */
  readonly identities: LabelValues;
  readonly exemplars: Exemplars;
  readonly #clients: ClientGroup;
  readonly #holders: SnapshotHolders = { count: 0 };
  readonly #cells = new CellSums(this.#holders);
  readonly #original: { readonly service: number; readonly endpoint: number };

  constructor(options: MetricsReaderOptions = {}) {
    const services = (options.maxServices ?? DEFAULT_SERVICES) + 1;
    const endpoints = (options.maxEndpoints ?? DEFAULT_ENDPOINTS) + 1;
    this.#original = { service: services, endpoint: endpoints };
    this.endpointSeries = endpoints + 1;
    this.exemplars = new Exemplars(services);
    this.identities = new LabelValues(options.maxIdentities ?? DEFAULT_IDENTITIES);
    this.#clients = new ClientGroup(new LabelValues(options.maxIdentities ?? DEFAULT_IDENTITIES));
    const {
      listeners,
      services: ofServices,
      endpoints: ofEndpoints,
      rules,
    } = makeGroups(this.#views, { ...options, services, endpoints }, this.#holders);
    this.#listeners = listeners;
    this.#services = ofServices;
    this.#endpoints = ofEndpoints;
    this.#rules = rules;
  }

  /** Slots of rules. */
  get rules(): SlotTable {
    return this.#rules.table;
  }

  /** Slots of listeners. Release a key after the workers were told that it is gone. */
  get listeners(): SlotTable {
    return this.#listeners.table;
  }

  get services(): SlotTable {
    return this.#services.table;
  }

  get endpoints(): SlotTable {
    return this.#endpoints.table;
  }

  setListener(slot: number, info: ListenerInfo): void {
    this.#listeners.name(slot, info);
  }

  setRule(slot: number, info: RuleInfo): void {
    this.#rules.name(slot, info);
  }

  setService(slot: number, info: ServiceInfo): void {
    this.#services.name(slot, info);
  }

  setEndpoint(slot: number, info: EndpointInfo): void {
    this.#endpoints.name(slot, info);
  }

  /** A worker counts clients of an identity in a block of their own from now on. */
  nameClients(worker: number, name: ClientSeriesName): void {
    const live = this.#workers.get(worker)?.live;
    const listener = this.#listeners.infoOf(name.listener);
    if (live != null && listener !== undefined) this.#clients.name(live, name, listener);
  }

  /** Names the series for original destinations: one of services, one of endpoints, next to those assigned by the tables. */
  originalDestination(): { readonly service: number; readonly endpoint: number } {
    this.#services.name(this.#original.service, { name: ORIGINAL_DESTINATION });
    this.#endpoints.name(this.#original.endpoint, { service: ORIGINAL_DESTINATION, address: ORIGINAL_DESTINATION });
    return this.#original;
  }

  /** Whether no worker has a request in flight that counts in this service series. */
  isServiceQuiet(series: number): boolean {
    return this.#services.isQuiet(series);
  }

  /** Starts to read a worker's memory. A worker with the id of one that was removed continues its series. */
  addWorker(id: number, memory: WorkerMemory): void {
    const live = { values: new Float64Array(memory.values), counts: new Uint32Array(memory.histograms) };
    const record = this.#workers.get(id);
    if (record === undefined) {
      const totals = WORKER_HISTOGRAMS.map(() => new HistogramTotal(this.#holders));
      this.#workers.set(id, { live, retired: new Float64Array(W.SIZE), totals });
    } else if (record.live === null) {
      record.live = live;
    } else {
      throw new Error(`worker ${id} is already being read; remove it first`);
    }
    this.#views.add(live);
  }

  /** Stops reading a worker that has ended. Its counters stay in the totals, its gauges do not. Its memory must not be added again. */
  removeWorker(id: number): void {
    const record = this.#workers.get(id);
    if (record?.live == null) return;
    const { live, retired, totals } = record;
    for (const group of [this.#listeners, this.#services, this.#endpoints, this.#rules]) group.retire(live);
    this.#clients.retire(live);
    totals.forEach((total, index) => {
      collect(total, live, workerHistogram(index));
      total.forget(live);
    });
    for (let field = 0; field < W.SIZE; field++) retired[field] += live.values[field];
    for (const field of WORKER_GAUGES) retired[field] = 0;
    this.#views.delete(live);
    record.live = null;
  }

  /** Drops expired series. Runs with every snapshot. */
  sweep(): void {
    for (const { table } of [this.#listeners, this.#services, this.#endpoints, this.#rules]) table.sweep();
  }

  /**
   * All current numbers. Workers keep counting meanwhile, so numbers of one snapshot may differ by what happened while it was taken. Take
   * one at least daily: 32-bit counts wrap after 4.3 billion recordings of one value.
   */
  snapshot(): MetricsSnapshot {
    return atOnce(this.steps());
  }

  /** The same in steps, one for each series, which is of one moment. To be taken while they are held (`hold`). */
  *steps(): Steps<MetricsSnapshot> {
    this.sweep();
    const clients = this.#clients.totals((slot) => this.#listeners.infoOf(slot)?.name);
    const workers = [...this.#workers].map(([id, record]) => workerSeries(id, record));
    const listeners = yield* seriesOf(this.#listeners, (series) => withClients(series, clients));
    const services = yield* seriesOf(this.#services, (series) => {
      const { histograms: cells, slot } = series;
      return { ...series, histograms: [this.#cells.of(slot, cells)], cells };
    });
    const endpoints = yield* seriesOf(this.#endpoints, (series) => this.#endpointSeries(series));
    const rules = yield* seriesOf(this.#rules, (series) => series);
    return {
      atMs: Date.now(),
      workers,
      listeners,
      clients,
      services,
      endpoints,
      rules,
      overflows: this.listeners.overflows + this.services.overflows + this.endpoints.overflows + this.rules.overflows,
      unassigned: {
        listener: this.listeners.unassigned,
        service: this.services.unassigned,
        endpoint: this.endpoints.unassigned,
        rule: this.rules.unassigned,
      },
      endpointFiles: { ...this.endpointFiles },
      certificates: { ...this.certificates },
      serverNames: this.serverNames.all,
      names: [...this.names].map((counts) => ({ ...counts })),
      unready: this.unready(),
      identity: { ...this.identity, failures: { ...this.identity.failures } },
      lookup: this.#lookups(),
      exemplars: this.exemplars,
      tap: { ...this.tap, leftOut: { ...this.tap.leftOut } },
      tracing: this.#spans(),
      push: this.#pushed(),
      limits: { ...this.limits },
    };
  }

  /**
   * For who reads a snapshot over several turns: until the function that comes back is called, those that are taken stay as they are, at the
   * price of a copy of each histogram that goes on meanwhile.
   */
  hold(): () => void {
    this.#holders.count++;
    let held = true;
    return () => {
      if (held) this.#holders.count--;
      held = false;
    };
  }

  #pushed(): PushCounts {
    const { push } = this;
    push.look?.();
    return { ...push, dropped: { ...push.dropped }, messages: { ...push.messages } };
  }

  #spans(): TracingCounts {
    const { tracing } = this;
    tracing.look?.();
    return { ...tracing, dropped: { ...tracing.dropped }, messages: { ...tracing.messages } };
  }

  #lookups(): LookupCounts {
    this.lookup.look?.();
    return { ...this.lookup, failures: { ...this.lookup.failures } };
  }

  #endpointSeries(series: Series<EndpointInfo>): EndpointSeries {
    const states = ENDPOINT_STATES.map(() => 0);
    const protocols = ENDPOINT_PROTOCOLS.map(() => 0);
    let estimates = 0;
    let workers = 0;
    const base = endpointBase(series.slot);
    for (const { values } of this.#views) {
      const state = values[base + E.STATE];
      if (state < states.length) states[state]++;
      for (let i = 0; i < protocols.length; i++) protocols[i] += (values[base + E.PROTOCOL] >> i) & 1;
      if (values[base + E.EWMA_MS] > 0) {
        estimates += values[base + E.EWMA_MS];
        workers++;
      }
    }
    series.values[E.STATE] = Math.max(
      0,
      states.findIndex((count) => count > 0),
    );
    series.values[E.PROTOCOL] = protocols.reduce((bits, count, i) => (count > 0 ? bits | (1 << i) : bits), 0);
    series.values[E.EWMA_MS] = workers === 0 ? 0 : estimates / workers;
    const own = series.values.slice(0, E.REQUESTS);
    for (let field = 0; field < E.REQUESTS; field++) series.values[field] += series.values[E.PASSED + field];
    return { ...series, own, states, protocols };
  }
}

/** Adds the counts of all clients to those of their listener. */
function withClients(series: Series<ListenerInfo>, clients: readonly ClientTotals[]): ListenerSeries {
  const own = series.values.slice(0, L.REQUESTS);
  let touched = series.touched;
  for (const { info, values } of clients) {
    if (info.slot !== series.slot) continue;
    for (let field = 0; field <= C.REQUESTS; field++) series.values[field] += values[field];
    touched = true;
  }
  return { ...series, own, touched };
}

function* seriesOf<Info, Made>(group: SlotGroup<Info>, make: (series: Series<Info>) => Made): Steps<Made[]> {
  const all: Made[] = [];
  for (const [slot, info] of group.named()) {
    const values = group.sum(slot);
    const histograms = group.histograms(slot);
    const touched = values.some((value) => value !== 0) || histograms.some((data) => data !== null);
    all.push(make({ slot, info, held: group.isHeld(slot), touched, values, histograms }));
    yield;
  }
  return all;
}

function workerSeries(id: number, { live, retired, totals }: WorkerRecord): WorkerSeries {
  const values = retired.slice();
  if (live !== null) for (let field = 0; field < W.SIZE; field++) values[field] += live.values[field];
  totals.forEach((total, index) => {
    if (live !== null) collect(total, live, workerHistogram(index));
  });
  return { id, values, histograms: totals.map((total) => total.data()) };
}
