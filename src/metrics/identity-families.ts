// Metric families of the identity; none without one in the configuration.
import { type Family, NONE, type Sample } from './family.js';
import type { MetricsSnapshot } from './reader.js';

const wanted = (samples: (snapshot: MetricsSnapshot) => Sample[]) => (snapshot: MetricsSnapshot) =>
  snapshot.identity.wanted ? samples(snapshot) : [];

export function identityFamilies(): Family[] {
  return [
    {
      name: 'control_identity_cert_expiration_timestamp_seconds',
      type: 'gauge',
      help: 'When the certificate of the identity expires, 0 without one',
      samples: wanted(({ identity }) => [{ value: identity.notAfterMs / 1000, labels: NONE }]),
    },
    {
      name: 'control_identity_cert_refresh_timestamp_seconds',
      type: 'gauge',
      help: 'When the identity was last loaded, 0 without one',
      samples: wanted(({ identity }) => [{ value: identity.refreshedMs / 1000, labels: NONE }]),
    },
    {
      name: 'control_identity_cert_refreshes_total',
      type: 'counter',
      help: 'Identities loaded, and attempts that failed',
      samples: wanted(({ identity }) => [
        { value: identity.refreshes, labels: { result: 'ok' } },
        { value: Object.values(identity.failures).reduce((a, b) => a + b, 0), labels: { result: 'error' } },
      ]),
    },
    {
      name: 'sluice_identity_expires_in_seconds',
      type: 'gauge',
      help: 'Seconds until the certificate of the identity expires, negative afterwards, absent without one',
      samples: wanted(({ identity, atMs }) =>
        identity.notAfterMs === 0 ? [] : [{ value: (identity.notAfterMs - atMs) / 1000, labels: NONE }],
      ),
    },
    {
      name: 'sluice_identity_anchors',
      type: 'gauge',
      help: 'Trust anchors for the chains of peers',
      samples: wanted(({ identity }) => [{ value: identity.anchors, labels: NONE }]),
    },
    {
      name: 'sluice_identity_failures_total',
      type: 'counter',
      help: 'Failed attempts to get an identity, by reason',
      samples: wanted(({ identity }) =>
        Object.entries(identity.failures).map(([reason, value]) => ({ value, labels: { reason } })),
      ),
    },
  ];
}
