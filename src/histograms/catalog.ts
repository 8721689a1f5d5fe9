// The list of a proxy's histograms, by name.
import type { HistogramData } from '../metrics/histogram.js';
import { ENDPOINT_HISTOGRAMS, LISTENER_HISTOGRAMS, SERVICE_HISTOGRAMS, WORKER_HISTOGRAMS } from '../metrics/layout.js';
import type { MetricsSnapshot } from '../metrics/reader.js';
import { CELL_LABELS } from '../metrics/response-cells.js';

export interface NamedHistogram {
  /** `kind.name.histogram`, e.g. `service.web.response_latency_us`. */
  readonly id: string;
  /** `route`: a service's latencies by route class and outcome. */
  readonly kind: 'worker' | 'listener' | 'service' | 'route' | 'endpoint';
  readonly histogram: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly data: HistogramData;
}

/** All histograms that are not empty. */
export function histogramsOf(snapshot: MetricsSnapshot): NamedHistogram[] {
  const all: NamedHistogram[] = [];
  const add = (
    kind: NamedHistogram['kind'],
    name: string,
    labels: NamedHistogram['labels'],
    names: readonly string[],
    histograms: readonly (HistogramData | null)[],
  ): void => {
    names.forEach((histogram, index) => {
      const data = histograms[index];
      if (data !== null) all.push({ id: `${kind}.${name}.${histogram}`, kind, histogram, labels, data });
    });
  };
  for (const { info, histograms, cells } of snapshot.services) {
    const labels = { direction: info.direction ?? 'outbound', service: info.name };
    add('service', info.name, labels, SERVICE_HISTOGRAMS, histograms);
    CELL_LABELS.forEach((cell, index) => {
      const name = `${info.name}.${cell.route_class}.${cell.classification}`;
      add('route', name, { ...labels, ...cell }, SERVICE_HISTOGRAMS, [cells[index]]);
    });
  }
  for (const { info, histograms } of snapshot.endpoints) {
    const labels = { direction: info.direction ?? 'outbound', service: info.service, target_addr: info.address };
    add('endpoint', `${info.service}.${info.address}`, labels, ENDPOINT_HISTOGRAMS, histograms);
  }
  for (const { info, histograms } of snapshot.listeners) {
    add('listener', info.name, { listener: info.name, direction: info.direction }, LISTENER_HISTOGRAMS, histograms);
  }
  for (const { id, histograms } of snapshot.workers) {
    add('worker', String(id), { worker: String(id) }, WORKER_HISTOGRAMS, histograms);
  }
  return all;
}

/** Names of times end in `_us`. All others are numbers of streams. */
export const unitOf = (histogram: string): string => (histogram.endsWith('_us') ? 'microseconds' : 'streams');
