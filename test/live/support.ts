// A proxy's memory without a proxy: what a worker would count, a test counts.
import type { FeedBounds } from '../../src/live/feed.js';
import { E, endpointBase, endpointHistogram, S, serviceBase, serviceHistogram } from '../../src/metrics/layout.js';
import { MetricsReader } from '../../src/metrics/reader.js';
import { ROUTE_CLASS, responseCell } from '../../src/metrics/response-cells.js';
import { allocateWorkerMemory, WorkerMetrics } from '../../src/metrics/shared.js';

/** As the configuration has them where nothing is said. */
export const LIVE_BOUNDS: FeedBounds = { listeners: 16, waiting: 16, missed: 10 };

export interface Counted {
  readonly reader: MetricsReader;
  readonly metrics: WorkerMetrics;
  /** So many requests of a service, answered by an endpoint with this status after so many µs. */
  requests(count: number, micros: number, status?: number, endpoint?: number): void;
}

/** One worker; the listener `edge`, the service `web` with the endpoints 10.0.0.1:80 and 10.0.0.2:80, each in slots from 1 on. */
export function counted(): Counted {
  const reader = new MetricsReader();
  const memory = allocateWorkerMemory();
  reader.addWorker(0, memory);
  reader.listeners.acquire('edge');
  reader.setListener(1, { name: 'edge', direction: 'inbound' });
  reader.services.acquire('web');
  reader.setService(1, { name: 'web' });
  for (const slot of [1, 2]) {
    reader.endpoints.acquire(`web 10.0.0.${slot}:80`);
    reader.setEndpoint(slot, { service: 'web', address: `10.0.0.${slot}:80` });
  }
  const metrics = new WorkerMetrics(memory);
  const { values } = metrics;
  return {
    reader,
    metrics,
    requests(count, micros, status = 200, endpoint = 1) {
      values[serviceBase(1) + S.REQUESTS] += count;
      values[endpointBase(endpoint) + E.REQUESTS] += count;
      values[endpointBase(endpoint) + E.STATUS + status - 100] += count;
      for (let i = 0; i < count; i++) {
        metrics.record(serviceHistogram(1, responseCell(ROUTE_CLASS.READ, status >= 500)), micros);
        metrics.record(endpointHistogram(endpoint, 0), micros);
      }
    },
  };
}
