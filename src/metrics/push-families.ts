// The series of the metrics that are sent to a collector; there are none where the configuration has no collector for them.
import { type Family, NONE, type Sample } from './family.js';
import type { MetricsSnapshot } from './reader.js';

const wanted = (samples: (snapshot: MetricsSnapshot) => Sample[]) => (snapshot: MetricsSnapshot) =>
  snapshot.push.wanted ? samples(snapshot) : [];

export function pushFamilies(): Family[] {
  return [
    {
      name: 'sluice_otlp_messages_total',
      type: 'counter',
      help: 'Messages with metrics, by whether the collector accepted them',
      samples: wanted(({ push }) =>
        Object.entries(push.messages).map(([outcome, value]) => ({ value, labels: { outcome } })),
      ),
    },
    {
      name: 'sluice_otlp_retries_total',
      type: 'counter',
      help: 'Messages with metrics that failed and were sent again',
      samples: wanted(({ push }) => [{ value: push.retries, labels: NONE }]),
    },
    {
      name: 'sluice_otlp_points_total',
      type: 'counter',
      help: 'Metric points for the collector',
      samples: wanted(({ push }) => [{ value: push.points, labels: NONE }]),
    },
    {
      name: 'sluice_otlp_points_dropped_total',
      type: 'counter',
      help: 'Metric points that were lost, by reason',
      samples: wanted(({ push }) =>
        Object.entries(push.dropped).map(([reason, value]) => ({ value, labels: { reason } })),
      ),
    },
    {
      name: 'sluice_otlp_rounds_skipped_total',
      type: 'counter',
      help: 'Rounds skipped because the collector had not accepted the previous one yet',
      samples: wanted(({ push }) => [{ value: push.skipped, labels: NONE }]),
    },
  ];
}
