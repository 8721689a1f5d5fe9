// Metric families of taps.
import { type Family, NONE } from './family.js';

export function tapFamilies(): Family[] {
  return [
    {
      name: 'sluice_tap_listeners',
      type: 'gauge',
      help: 'Those who tap now',
      samples: ({ tap }) => [{ value: tap.listeners, labels: NONE }],
    },
    {
      name: 'sluice_tap_records_total',
      type: 'counter',
      help: 'Requests and connections that were shown to somebody who taps',
      samples: ({ tap }) => [{ value: tap.records, labels: NONE }],
    },
    {
      name: 'sluice_tap_left_out_total',
      type: 'counter',
      help: 'Those that were not shown though they were asked for, by why',
      samples: ({ tap }) => Object.entries(tap.leftOut).map(([reason, value]) => ({ value, labels: { reason } })),
    },
    {
      name: 'sluice_tap_refused_total',
      type: 'counter',
      help: 'Times that somebody wanted to tap while as many did as may',
      samples: ({ tap }) => [{ value: tap.refused, labels: NONE }],
    },
  ];
}
