// Metric families of the workers: about themselves, and HTTP/2 in both roles.
import { H, H2_ERRORS, H2_ROLES } from '../http2/counters.js';
import { type Family, histogramsFamily, type Labels, type Sample } from './family.js';
import { HTTP2_FIELDS, WORKER_FIELDS } from './fields.js';
import { h2Base, W } from './layout.js';
import type { MetricsSnapshot } from './reader.js';

/** Sums over the workers of a block of W, one series for each name; zeros are shown, so that a rate sees the first event. */
export function workerBlockFamily(
  name: string,
  help: string,
  at: number,
  names: readonly string[],
  label: string,
): Family {
  return {
    name,
    type: 'counter',
    help,
    samples: ({ workers }) =>
      names.map((entry, index) => ({
        value: workers.reduce((sum, { values }) => sum + values[at + index], 0),
        labels: { [label]: entry },
      })),
  };
}

export function workerFamilies(): Family[] {
  const keys = Object.keys(WORKER_FIELDS) as (keyof typeof WORKER_FIELDS)[];
  return keys.map((key) => {
    const { scale = 1, ...metric } = WORKER_FIELDS[key];
    return {
      ...metric,
      samples: ({ workers }) =>
        workers.map(({ id, values }) => ({ value: values[W[key]] * scale, labels: { worker: id } })),
    };
  });
}

/** Once for every worker and role. */
const perRole = (
  { workers }: MetricsSnapshot,
  samplesOf: (values: Float64Array, base: number, labels: Labels) => Sample[],
): Sample[] =>
  workers.flatMap(({ id, values }) =>
    H2_ROLES.flatMap((role, index) => samplesOf(values, h2Base(index), { role, worker: String(id) })),
  );

export function http2Families(): Family[] {
  const keys = Object.keys(HTTP2_FIELDS) as (keyof typeof HTTP2_FIELDS)[];
  const fields = keys.map((key): Family => {
    const { scale = 1, ...metric } = HTTP2_FIELDS[key];
    return {
      ...metric,
      samples: (snapshot) =>
        perRole(snapshot, (values, base, labels) => [{ value: values[base + H[key]] * scale, labels }]),
    };
  });
  const codes = (name: string, help: string, at: number): Family => ({
    name,
    type: 'counter',
    help,
    samples: (snapshot) =>
      perRole(snapshot, (values, base, shared) =>
        H2_ERRORS.flatMap((code, index) => {
          const value = values[base + at + index];
          return value === 0 ? [] : [{ value, labels: { code, ...shared } }];
        }),
      ),
  });
  return [
    ...fields,
    codes('sluice_http2_resets_sent_total', 'Streams that Sluice reset', H.RESET_SENT),
    codes('sluice_http2_resets_received_total', 'Streams that the peer reset', H.RESET_RECEIVED),
    codes('sluice_http2_goaways_sent_total', 'GOAWAY frames sent', H.GOAWAY_SENT),
    codes('sluice_http2_goaways_received_total', 'GOAWAY frames that the peer sent', H.GOAWAY_RECEIVED),
  ];
}

/** A histogram of the workers. */
export function workerHistogramFamily(
  name: string,
  help: string,
  bounds: readonly number[],
  unit: number,
  index: number,
): Family {
  return histogramsFamily(name, help, {
    bounds,
    unit,
    series: ({ workers }) =>
      workers.flatMap(({ id, histograms }) => {
        const data = histograms[index];
        return data === null ? [] : [{ data, labels: { worker: String(id) } }];
      }),
  });
}
