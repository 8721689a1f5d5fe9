// Metric families of TLS in both roles: server towards clients, client towards endpoints.
import { TLS_FAILURES } from '../tls/failures.js';
import { type Family, histogramsFamily, type Sample } from './family.js';
import {
  TLS_GROUPS,
  TLS_ROLES,
  TLS_VERSIONS,
  tlsDoneField,
  tlsFailedField,
  W,
  WORKER_HISTOGRAMS,
  workerHistogram,
} from './layout.js';
import type { MetricsSnapshot } from './reader.js';
import { workerBlockFamily } from './worker-families.js';

const HANDSHAKE_BOUNDS_S = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 10];
const DURATIONS = [WORKER_HISTOGRAMS.indexOf('tls_accept_us'), WORKER_HISTOGRAMS.indexOf('tls_dial_us')];

const total = ({ workers }: MetricsSnapshot, field: number): number =>
  workers.reduce((sum, { values }) => sum + values[field], 0);

/** Omits zeros: most combinations never occur. */
const counted = (value: number, labels: Sample['labels']): Sample[] => (value === 0 ? [] : [{ value, labels }]);

const DONE: Family = {
  name: 'sluice_tls_handshakes_total',
  type: 'counter',
  help: 'TLS handshakes completed, by role, version and group of the key exchange',
  samples: (snapshot) =>
    TLS_ROLES.flatMap((role, r) =>
      TLS_VERSIONS.flatMap((version, v) =>
        TLS_GROUPS.flatMap((group, g) => counted(total(snapshot, tlsDoneField(r, v, g)), { role, version, group })),
      ),
    ),
};

const FAILED: Family = {
  name: 'sluice_tls_handshake_failures_total',
  type: 'counter',
  help: 'TLS handshakes that failed, by role and cause',
  samples: (snapshot) =>
    TLS_ROLES.flatMap((role, r) =>
      TLS_FAILURES.flatMap((cause, c) => counted(total(snapshot, tlsFailedField(r, c)), { role, cause })),
    ),
};

const DURATION = histogramsFamily(
  'sluice_tls_handshake_seconds',
  'Time from the connection to the end of the TLS handshake',
  {
    bounds: HANDSHAKE_BOUNDS_S,
    unit: 1e6,
    series: ({ workers }) =>
      workers.flatMap(({ id, histograms }) =>
        TLS_ROLES.flatMap((role, r) => {
          const data = histograms[workerHistogram(DURATIONS[r])];
          return data === null ? [] : [{ data, labels: { role, worker: String(id) } }];
        }),
      ),
  },
);

export const TLS_FAMILIES: readonly Family[] = [
  DONE,
  FAILED,
  DURATION,
  workerBlockFamily(
    'sluice_tls_resumed_total',
    'Completed TLS handshakes that resumed an earlier session',
    W.TLS_RESUMED,
    TLS_ROLES,
    'role',
  ),
  workerBlockFamily(
    'sluice_tls_truncated_total',
    'TLS connections that ended without a close_notify',
    W.TLS_TRUNCATED,
    TLS_ROLES,
    'role',
  ),
  workerBlockFamily(
    'sluice_tls_broken_total',
    'Connections that broke the rules of TLS after their handshake',
    W.TLS_BROKEN,
    TLS_ROLES,
    'role',
  ),
];
