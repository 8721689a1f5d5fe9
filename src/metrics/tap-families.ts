// Metric families of taps.
import { type Family, NONE } from './family.js';

export function tapFamilies(): Family[] {
  return [
    {
      name: 'sluice_tap_listeners',
      type: 'gauge',
      help: 'Taps that are open now',
      samples: ({ tap }) => [{ value: tap.listeners, labels: NONE }],
    },
    {
      name: 'sluice_tap_records_total',
      type: 'counter',
      help: 'Requests and connections shown to taps',
      samples: ({ tap }) => [{ value: tap.records, labels: NONE }],
    },
    {
      name: 'sluice_tap_left_out_total',
      type: 'counter',
      help: 'Requests and connections that matched a tap and were not shown, by reason',
      samples: ({ tap }) => Object.entries(tap.leftOut).map(([reason, value]) => ({ value, labels: { reason } })),
    },
    {
      name: 'sluice_tap_refused_total',
      type: 'counter',
      help: 'Taps refused because there were as many as allowed',
      samples: ({ tap }) => [{ value: tap.refused, labels: NONE }],
    },
  ];
}
