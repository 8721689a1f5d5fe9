// Families of series, and how counts of listeners, services and endpoints become samples.

import type { ClientInfo } from './clients.js';
import type { Exemplar } from './exemplars.js';
import type { FieldMetric } from './fields.js';
import type { Direction, EndpointInfo } from './groups.js';
import type { HistogramData } from './histogram.js';
import { bucketsOf } from './histogram.js';
import { E, LISTENER_TLS } from './layout.js';
import type { MetricsSnapshot, Series } from './reader.js';
import { CELL_LABELS } from './response-cells.js';

export type Labels = Readonly<Record<string, string>>;

/** A sample for prom-client's formatter. `sharedLabels` are formatted once per object and then cached. */
export interface Sample {
  readonly value: number;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly sharedLabels?: Labels;
  /** Where it differs from the family's: `_bucket`, `_sum`, `_count`. */
  readonly metricName?: string;
  /** Of a bucket. */
  readonly exemplar?: {
    readonly labelSet: Labels;
    readonly value: number;
    /** Since 1970, seconds. */
    readonly timestamp: number;
  };
}

/** A series of a histogram. */
export interface HistogramSeries {
  readonly data: HistogramData;
  readonly labels: Labels;
  /** Exemplars, by the bound of their bucket. */
  readonly exemplars?: ReadonlyMap<number, Exemplar>;
}

/** Histogram content for formats that show more than buckets. */
export interface HistogramContent {
  readonly bounds: readonly number[];
  /** Recorded units (usually µs) per unit of the bounds and the sum. */
  readonly unit: number;
  series(snapshot: MetricsSnapshot): HistogramSeries[];
}

export interface Family {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  samples(snapshot: MetricsSnapshot): Sample[];
  /** Of a histogram. */
  readonly histogram?: HistogramContent;
}

export const NONE: Labels = {};

/** The input of labels and fields. */
type Counted<Info> = Pick<Series<Info>, 'info' | 'values'>;

/** Labels created once per named slot: while a slot keeps its name they are the same object, and stay cached. */
function remembered<Info extends object>(make: (info: Info) => Labels): (series: Counted<Info>) => Labels {
  const made = new WeakMap<Info, Labels>();
  return ({ info }) => {
    let labels = made.get(info);
    if (labels === undefined) {
      labels = make(info);
      made.set(info, labels);
    }
    return labels;
  };
}

export const direction = (info: { readonly direction?: Direction }): Direction => info.direction ?? 'outbound';

export const listenerLabels = remembered((info: MetricsSnapshot['listeners'][number]['info']) => ({
  direction: info.direction,
  listener: info.name,
}));
export const sourceLabels = remembered((info: MetricsSnapshot['listeners'][number]['info']) => ({
  direction: info.direction,
  peer: 'src',
  listener: info.name,
  ...info.tls,
}));
/** For a listener's clients by identity. */
export const clientLabels = remembered((info: ClientInfo) => ({
  direction: info.direction,
  listener: info.name,
  ...LISTENER_TLS[info.seen],
  ...(info.identity !== '' && { client_id: info.identity }),
}));
export const clientSourceLabels = remembered((info: ClientInfo) => ({
  direction: info.direction,
  peer: 'src',
  listener: info.name,
  ...LISTENER_TLS[info.seen],
  ...(info.identity !== '' && { client_id: info.identity }),
}));
export const serviceLabels = remembered((info: MetricsSnapshot['services'][number]['info']) => ({
  direction: direction(info),
  service: info.name,
}));
export const endpointLabels = remembered((info: EndpointInfo) => ({
  direction: direction(info),
  service: info.service,
  target_addr: info.address,
}));
/** Linkerd's labels for requests and their outcomes. */
export const requestLabels = remembered((info: EndpointInfo) => ({
  direction: direction(info),
  service: info.service,
  target_addr: info.address,
  ...info.tls,
}));
export const targetLabels = remembered((info: EndpointInfo) => ({
  direction: direction(info),
  peer: 'dst',
  service: info.service,
  target_addr: info.address,
  ...info.tls,
}));
/** For connections that carry clients' own TLS. */
export const passedLabels = remembered((info: EndpointInfo) => ({
  direction: direction(info),
  peer: 'dst',
  service: info.service,
  target_addr: info.address,
  tls: 'opaque',
}));

/** For a service's responses, by cell. */
const cellLabels = CELL_LABELS.map((labels) =>
  remembered((info: MetricsSnapshot['services'][number]['info']) => ({
    direction: direction(info),
    service: info.name,
    ...labels,
  })),
);

/** Current listeners and services show zeros; endpoints, removed series and the overflow show only what they counted. */
const isShown = (series: Series<unknown>): boolean => series.held || series.touched;
export const listenersOf = (snapshot: MetricsSnapshot) => snapshot.listeners.filter(isShown);
export const servicesOf = (snapshot: MetricsSnapshot) => snapshot.services.filter(isShown);
/** The cells with content. */
export const cellsOf = (snapshot: MetricsSnapshot) =>
  snapshot.services.flatMap((series) =>
    series.cells.flatMap((data, cell) => {
      const exemplars = snapshot.exemplars.of(series.info.name, cell);
      return data === null ? [] : [{ data, labels: cellLabels[cell](series), exemplars }];
    }),
  );
/** The same for tcp_*: clients with a known identity are counted there. */
export const sourcesOf = (snapshot: MetricsSnapshot) =>
  snapshot.listeners.filter(isShown).map(({ info, own }) => ({ info, values: own }));
export const clientsOf = (snapshot: MetricsSnapshot) => snapshot.clients;
export const targetsOf = (snapshot: MetricsSnapshot) =>
  endpointsOf(snapshot).map(({ info, own }) => ({ info, values: own }));
export const passedOf = (snapshot: MetricsSnapshot) =>
  endpointsOf(snapshot)
    .map(({ info, values }) => ({ info, values: values.subarray(E.PASSED) }))
    .filter(({ values }) => values[E.OPEN_TOTAL] > 0);
export const endpointsOf = (snapshot: MetricsSnapshot) => snapshot.endpoints.filter((series) => series.touched);

/** Series of one field of a kind of slots. */
export function fieldFamily<Info>(
  metric: FieldMetric,
  index: number,
  seriesOf: (snapshot: MetricsSnapshot) => readonly Counted<Info>[],
  labelsOf: (series: Counted<Info>) => Labels,
): Family {
  const scale = metric.scale ?? 1;
  return {
    ...metric,
    samples: (snapshot) =>
      seriesOf(snapshot).map((series) => ({
        value: series.values[index] * scale,
        labels: NONE,
        sharedLabels: labelsOf(series),
      })),
  };
}

/** Series of a block of fields, one for each name in a list; zeros are omitted. */
export function blockSamples<Info>(
  all: readonly Counted<Info>[],
  labelsOf: (series: Counted<Info>) => Labels,
  at: number,
  names: readonly string[],
  label: string,
): Sample[] {
  return all.flatMap((series) =>
    names.flatMap((name, index) => {
      const value = series.values[at + index];
      return value === 0 ? [] : [{ value, labels: { [label]: name }, sharedLabels: labelsOf(series) }];
    }),
  );
}

/** A family of histograms. `content.bounds` and sums are in units of `content.unit` recorded units. */
export function histogramsFamily(name: string, help: string, content: HistogramContent): Family {
  const { bounds, unit } = content;
  return {
    name,
    type: 'histogram',
    help,
    histogram: content,
    samples: (snapshot) =>
      content
        .series(snapshot)
        .flatMap(({ data, labels, exemplars }) => histogramSamples(name, data, labels, bounds, unit, exemplars)),
  };
}

/** Its samples, about `most` at a time: those of many histograms are made only when it is their turn. */
export function* piecesOf(family: Family, snapshot: MetricsSnapshot, most: number): Generator<Sample[]> {
  const { name, histogram } = family;
  if (histogram === undefined) {
    const samples = family.samples(snapshot);
    for (let from = 0; from < samples.length; from += most) yield samples.slice(from, from + most);
    return;
  }
  const { bounds, unit } = histogram;
  const series = histogram.series(snapshot);
  const together = Math.max(1, Math.floor(most / (bounds.length + 3)));
  for (let from = 0; from < series.length; from += together)
    yield series
      .slice(from, from + together)
      .flatMap(({ data, labels, exemplars }) => histogramSamples(name, data, labels, bounds, unit, exemplars));
}

function histogramSamples(
  name: string,
  data: HistogramData,
  sharedLabels: Labels,
  bounds: readonly number[],
  unit: number,
  exemplars?: ReadonlyMap<number, Exemplar>,
): Sample[] {
  const metricName = `${name}_bucket`;
  return [
    ...bucketsOf(data.counts, bounds, unit).map((value, index) => ({
      metricName,
      value,
      labels: { le: bounds[index] },
      sharedLabels,
      ...exemplarAt(exemplars, bounds[index], unit),
    })),
    {
      metricName,
      value: data.count,
      labels: { le: '+Inf' },
      sharedLabels,
      ...exemplarAt(exemplars, Number.POSITIVE_INFINITY, unit),
    },
    { metricName: `${name}_sum`, value: data.sum / unit, labels: NONE, sharedLabels },
    { metricName: `${name}_count`, value: data.count, labels: NONE, sharedLabels },
  ];
}

/** For prom-client's OpenMetrics formatter; the plain text formatter ignores it. */
function exemplarAt(
  exemplars: ReadonlyMap<number, Exemplar> | undefined,
  bound: number,
  unit: number,
): Pick<Sample, 'exemplar'> {
  const found = exemplars?.get(bound);
  if (found === undefined) return {};
  const { traceId, valueUs, atMs } = found;
  return { exemplar: { labelSet: { trace_id: traceId }, value: valueUs / unit, timestamp: atMs / 1000 } };
}

/** Series of the histogram `index` of a kind of slots. */
export function histogramFamily<Info>(
  name: string,
  help: string,
  bounds: readonly number[],
  unit: number,
  index: number,
  seriesOf: (snapshot: MetricsSnapshot) => readonly Series<Info>[],
  labelsOf: (series: Series<Info>) => Labels,
): Family {
  return histogramsFamily(name, help, {
    bounds,
    unit,
    series: (snapshot) =>
      seriesOf(snapshot).flatMap((series) => {
        const data = series.histograms[index];
        return data === null ? [] : [{ data, labels: labelsOf(series) }];
      }),
  });
}
