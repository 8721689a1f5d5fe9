// The summary logged on SIGUSR1: one line with what an operator looks at first.
import type { LogFields } from '../log/logger.js';
import { processState } from '../log/process-state.js';
import { E, L, S, W } from '../metrics/layout.js';
import type { MetricsSnapshot } from '../metrics/reader.js';

interface Count {
  readonly ready: number;
  readonly of: number;
}

export interface EngineState {
  readonly phase: string;
  readonly executor: string;
  readonly workers: Count;
  readonly listeners: number;
  /** A service is ready when it has an endpoint. */
  readonly services: Count;
  readonly snapshot: MetricsSnapshot;
}

const sum = (all: readonly { readonly values: Float64Array }[], field: number): number =>
  all.reduce((total, { values }) => total + values[field], 0);

export function stateOf({ snapshot, ...engine }: EngineState): LogFields {
  const { listeners, services, endpoints, workers } = snapshot;
  const held = endpoints.filter((series) => series.held);
  return {
    ...processState(),
    ...engine,
    endpoints: { ready: held.filter(({ values }) => values[E.STATE] === 0).length, of: held.length },
    connections: { clients: sum(listeners, L.OPEN), endpoints: sum(endpoints, E.OPEN) },
    requestsInFlight: sum(services, S.IN_FLIGHT),
    slab: { buffers: sum(workers, W.SLAB_BUFFERS), free: sum(workers, W.SLAB_FREE) },
  };
}
