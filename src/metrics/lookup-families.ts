// Metric families of discovery; none if the configuration has none.
import { type Family, NONE, type Sample } from './family.js';
import type { MetricsSnapshot } from './reader.js';

const wanted = (samples: (snapshot: MetricsSnapshot) => Sample[]) => (snapshot: MetricsSnapshot) =>
  snapshot.lookup.wanted ? samples(snapshot) : [];

type Number = 'connects' | 'streams' | 'updates' | 'addresses' | 'services' | 'refused';

const family = (name: string, type: 'gauge' | 'counter', help: string, field: Number): Family => ({
  name,
  type,
  help,
  samples: wanted(({ lookup }) => [{ value: lookup[field], labels: NONE }]),
});

export function lookupFamilies(): Family[] {
  return [
    {
      name: 'sluice_destination_service_connected',
      type: 'gauge',
      help: '1 while there is a connection to the destination service',
      samples: wanted(({ lookup }) => [{ value: lookup.connected ? 1 : 0, labels: NONE }]),
    },
    {
      name: 'sluice_destination_service_state_age_seconds',
      type: 'gauge',
      help: 'How outdated the known destinations may be: 0 while there is a connection, otherwise the time since the last message of the destination service',
      samples: wanted(({ lookup, atMs }) => [
        { value: lookup.connected ? 0 : Math.max(0, atMs - lookup.heardMs) / 1000, labels: NONE },
      ]),
    },
    family(
      'sluice_destination_service_connects_total',
      'counter',
      'Connections established to the destination service',
      'connects',
    ),
    family('sluice_destination_service_streams', 'gauge', 'Open streams to the destination service', 'streams'),
    family(
      'sluice_destination_service_updates_total',
      'counter',
      'Messages received from the destination service',
      'updates',
    ),
    family('sluice_destination_service_addresses', 'gauge', 'Addresses watched because clients dial them', 'addresses'),
    family(
      'sluice_destination_service_services',
      'gauge',
      'Services and pods that the watched addresses lead to',
      'services',
    ),
    family(
      'sluice_destination_service_refused_total',
      'counter',
      'Addresses and services that found no room',
      'refused',
    ),
    {
      name: 'sluice_destination_service_failures_total',
      type: 'counter',
      help: 'Failed connections and unusable answers of the destination service, by reason',
      samples: wanted(({ lookup }) =>
        Object.entries(lookup.failures).map(([reason, value]) => ({ value, labels: { reason } })),
      ),
    },
  ];
}
