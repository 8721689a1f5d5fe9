// Metric families of spans; none without a collector in the configuration.
import { type Family, NONE, type Sample } from './family.js';
import type { MetricsSnapshot } from './reader.js';

const wanted = (samples: (snapshot: MetricsSnapshot) => Sample[]) => (snapshot: MetricsSnapshot) =>
  snapshot.tracing.wanted ? samples(snapshot) : [];

export function tracingFamilies(): Family[] {
  return [
    {
      name: 'sluice_tracing_spans_total',
      type: 'counter',
      help: 'Spans made of requests',
      samples: wanted(({ tracing }) => [{ value: tracing.spans, labels: NONE }]),
    },
    {
      name: 'sluice_tracing_spans_dropped_total',
      type: 'counter',
      help: 'Spans that were lost, by reason',
      samples: wanted(({ tracing }) =>
        Object.entries(tracing.dropped).map(([reason, value]) => ({ value, labels: { reason } })),
      ),
    },
    {
      name: 'sluice_tracing_messages_total',
      type: 'counter',
      help: 'Messages with spans, by whether the collector accepted them',
      samples: wanted(({ tracing }) =>
        Object.entries(tracing.messages).map(([outcome, value]) => ({ value, labels: { outcome } })),
      ),
    },
  ];
}
