// Converts a metrics snapshot to OTLP: golden metrics of services, endpoints and listeners, and all histograms.
import { histogramsOf, type NamedHistogram, unitOf } from '../histograms/catalog.js';
import { type Bucket, type Unit, unitNamed } from '../histograms/units.js';
import { type HistogramData, lowestOf } from '../metrics/histogram.js';
import { E, HISTOGRAM, HISTOGRAM_SLOTS, L, REASONS, S, VERDICTS, verdictField } from '../metrics/layout.js';
import { endpointOutcomes, type Outcomes, refusalOutcomes } from '../metrics/outcomes.js';
import type { EndpointSeries, ListenerSeries, MetricsSnapshot, Series, ServiceSeries } from '../metrics/reader.js';
import { CELL_LABELS } from '../metrics/response-cells.js';
import { type OtlpExemplar, type OtlpHistogram, type OtlpMetric, type OtlpNumber, otlpName } from './metrics.js';

type Labels = Readonly<Record<string, string>>;

const shown = ({ held, touched }: Series<unknown>): boolean => held || touched;

/** Values of one kind of series. */
interface Numbers<One> {
  readonly all: readonly One[];
  labels(one: One): Labels;
}

/** A metric from a field, or from what `of` computes for a series. */
function numbers<One>(
  { all, labels }: Numbers<One>,
  [kind, name, unit, description]: readonly [kind: 'sum' | 'gauge', name: string, unit: Unit, description: string],
  of: (one: One) => number,
): OtlpMetric {
  return {
    kind,
    name: `sluice.${name}`,
    unit,
    description,
    points: all.map((one) => ({ labels: labels(one), value: of(one) })),
  };
}

/** A sum with a point for each kind that `of` distinguishes. */
function split<One>(
  { all, labels }: Numbers<One>,
  [name, unit, description]: readonly [name: string, unit: Unit, description: string],
  label: string,
  of: (one: One) => readonly (readonly [value: string, count: number])[],
): OtlpMetric {
  const points = all.flatMap((one) =>
    of(one).map(([value, count]): OtlpNumber => ({ labels: { ...labels(one), [label]: value }, value: count })),
  );
  return { kind: 'sum', name: `sluice.${name}`, unit, description, points };
}

const byOutcome = ({ successes, failures }: Outcomes): (readonly [string, number])[] => [
  ['success', successes],
  ['failure', failures],
];
/** The name in OpenTelemetry's conventions. */
const byDirection = (values: Float64Array, read: number, write: number): (readonly [string, number])[] => [
  ['receive', values[read]],
  ['transmit', values[write]],
];
const DIRECTION = 'network.io.direction';

function ofServices(snapshot: MetricsSnapshot): OtlpMetric[] {
  // The client's view: responses of endpoints, and responses of the proxy in their place.
  const outcomes = new Map<string, { successes: number; failures: number }>();
  const add = (service: string, more: Outcomes): void => {
    const sum = outcomes.get(service) ?? { successes: 0, failures: 0 };
    outcomes.set(service, { successes: sum.successes + more.successes, failures: sum.failures + more.failures });
  };
  for (const { info, values } of snapshot.services) add(info.name, refusalOutcomes(values));
  for (const { info, values } of snapshot.endpoints) add(info.service, endpointOutcomes(values));
  const services: Numbers<ServiceSeries> = {
    all: snapshot.services.filter(shown),
    labels: ({ info }) => ({ direction: info.direction ?? 'outbound', service: info.name }),
  };
  return [
    numbers(services, ['sum', 'service.requests', 'request', 'Requests'], ({ values }) => values[S.REQUESTS]),
    split(
      services,
      ['service.responses', 'response', 'Responses, by whether they are failures'],
      'classification',
      (one) => byOutcome(outcomes.get(one.info.name) ?? { successes: 0, failures: 0 }),
    ),
    numbers(
      services,
      ['gauge', 'service.active_requests', 'request', 'Requests under way'],
      ({ values }) => values[S.IN_FLIGHT],
    ),
    numbers(
      services,
      ['sum', 'service.retries', 'request', 'Requests sent once more to another endpoint'],
      ({ values }) => values[S.RETRIES],
    ),
  ];
}

function ofEndpoints(snapshot: MetricsSnapshot): OtlpMetric[] {
  const endpoints: Numbers<EndpointSeries> = {
    all: snapshot.endpoints.filter(({ touched }) => touched),
    labels: ({ info }) => ({
      direction: info.direction ?? 'outbound',
      service: info.service,
      target_addr: info.address,
    }),
  };
  return [
    numbers(endpoints, ['sum', 'endpoint.requests', 'request', 'Requests'], ({ values }) => values[E.REQUESTS]),
    split(
      endpoints,
      ['endpoint.responses', 'response', 'Responses, by whether they are failures'],
      'classification',
      (one) => byOutcome(endpointOutcomes(one.values)),
    ),
    numbers(
      endpoints,
      ['sum', 'endpoint.connections', 'connection', 'Connections made'],
      ({ values }) => values[E.OPEN_TOTAL],
    ),
    numbers(
      endpoints,
      ['gauge', 'endpoint.open_connections', 'connection', 'Connections that are open now'],
      ({ values }) => values[E.OPEN],
    ),
    split(endpoints, ['endpoint.io', 'By', 'Bytes from the endpoint, and to it'], DIRECTION, ({ values }) =>
      byDirection(values, E.READ_BYTES, E.WRITE_BYTES),
    ),
    numbers(
      endpoints,
      ['gauge', 'endpoint.estimated_latency', 'ms', "The balancer's estimate of its latency"],
      ({ values }) => values[E.EWMA_MS],
    ),
  ];
}

function ofListeners(snapshot: MetricsSnapshot): OtlpMetric[] {
  const listeners: Numbers<ListenerSeries> = {
    all: snapshot.listeners.filter(shown),
    labels: ({ info }) => ({ direction: info.direction, listener: info.name }),
  };
  return [
    numbers(
      listeners,
      ['sum', 'listener.connections', 'connection', 'Connections accepted'],
      ({ values }) => values[L.OPEN_TOTAL],
    ),
    numbers(
      listeners,
      ['gauge', 'listener.open_connections', 'connection', 'Connections that are open now'],
      ({ values }) => values[L.OPEN],
    ),
    split(listeners, ['listener.io', 'By', 'Bytes from clients, and to them'], DIRECTION, ({ values }) =>
      byDirection(values, L.READ_BYTES, L.WRITE_BYTES),
    ),
    split(listeners, ['listener.verdicts', 'connection', 'Connections by detected protocol'], 'verdict', ({ values }) =>
      VERDICTS.flatMap((verdict, row) => {
        let count = 0;
        for (let reason = 0; reason < REASONS.length; reason++) count += values[verdictField(row, 0) + reason];
        return count === 0 ? [] : [[verdict, count] as const];
      }),
    ),
  ];
}

/** The non-empty slots. */
export function bucketsOfSlots({ counts }: HistogramData): Bucket[] {
  const buckets: Bucket[] = [];
  for (let slot = 0; slot < HISTOGRAM_SLOTS; slot++) {
    const count = counts[slot];
    if (count === 0) continue;
    const highest = slot + 1 < HISTOGRAM_SLOTS ? lowestOf(slot + 1) - 1 : HISTOGRAM.highest;
    buckets.push({ lowest: lowestOf(slot), highest, count });
  }
  return buckets;
}

/** All metrics of a snapshot. Histograms are read lazily, with their points, because each costs time in proportion to its slots. */
export function otlpPoints(snapshot: MetricsSnapshot): OtlpMetric[] {
  const byName = new Map<string, NamedHistogram[]>();
  for (const named of histogramsOf(snapshot)) {
    const name = otlpName(named.kind, named.histogram);
    const all = byName.get(name);
    if (all === undefined) byName.set(name, [named]);
    else all.push(named);
  }
  const histograms = [...byName].map(
    ([name, all]): OtlpMetric => ({
      kind: 'histogram',
      name,
      unit: unitNamed(unitOf(all[0].histogram)),
      description: all[0].histogram,
      points: all.map((named) => new SlotHistogram(named, exemplarsOf(snapshot, named))),
    }),
  );
  return [...ofServices(snapshot), ...ofEndpoints(snapshot), ...ofListeners(snapshot), ...histograms].filter(
    ({ points }) => points.length > 0,
  );
}

function exemplarsOf({ exemplars }: MetricsSnapshot, { kind, labels }: NamedHistogram): Iterable<OtlpExemplar> {
  if (kind === 'service') return exemplars.of(labels.service).values();
  const cell = CELL_LABELS.findIndex(
    ({ route_class, classification }) => route_class === labels.route_class && classification === labels.classification,
  );
  return kind === 'route' ? exemplars.of(labels.service, cell).values() : [];
}

class SlotHistogram implements OtlpHistogram {
  readonly digits = HISTOGRAM.digits;

  constructor(
    private readonly named: NamedHistogram,
    readonly exemplars: Iterable<OtlpExemplar>,
  ) {}

  get labels(): Labels {
    return this.named.labels;
  }

  get count(): number {
    return this.named.data.count;
  }

  get sum(): number {
    return this.named.data.sum;
  }

  get buckets(): readonly Bucket[] {
    return bucketsOfSlots(this.named.data);
  }
}
