// Results of detection, in our words and in Linkerd's.
import { type Family, histogramFamily, listenerLabels } from './family.js';
import type { Direction } from './groups.js';
import { REASONS, VERDICTS, verdictField } from './layout.js';
import type { MetricsSnapshot } from './reader.js';

/** Bucket bounds of Linkerd's `*_tcp_detect_http_duration_seconds`. */
export const DETECT_BOUNDS_S = [0.001, 0.1];

/** Linkerd's word for the outcome of detection; null where nothing was detected. */
function detectResult(verdict: string, reason: string): string | null {
  if (reason === 'annotation' || reason === 'default-port' || reason === 'hint') return null;
  if (reason === 'timeout') return 'read_timeout';
  if (reason === 'eof') return 'error';
  return verdict === 'http1' ? 'http/1' : verdict === 'http2' ? 'http/2' : 'not_http';
}

export const VERDICT_FAMILY: Family = {
  name: 'sluice_verdict_total',
  type: 'counter',
  help: 'Connections by the detected protocol and the reason',
  samples: (snapshot) =>
    snapshot.listeners.flatMap((series) =>
      VERDICTS.flatMap((verdict, row) =>
        REASONS.flatMap((reason, column) => {
          const value = series.values[verdictField(row, column)];
          return value === 0 ? [] : [{ value, labels: { verdict, reason }, sharedLabels: listenerLabels(series) }];
        }),
      ),
    ),
};

export function detectFamilies(of: Direction): Family[] {
  const listeners = (snapshot: MetricsSnapshot) => snapshot.listeners.filter((series) => series.info.direction === of);
  return [
    {
      name: `${of}_tcp_detect_http_results_total`,
      type: 'counter',
      help: 'Outcomes of protocol detection',
      samples: (snapshot) =>
        listeners(snapshot).flatMap((series) => {
          const results = new Map<string, number>();
          VERDICTS.forEach((verdict, row) => {
            REASONS.forEach((reason, column) => {
              const result = detectResult(verdict, reason);
              const value = series.values[verdictField(row, column)];
              if (result !== null && value > 0) results.set(result, (results.get(result) ?? 0) + value);
            });
          });
          return [...results].map(([result, value]) => ({
            value,
            labels: { result },
            sharedLabels: listenerLabels(series),
          }));
        }),
    },
    histogramFamily(
      `${of}_tcp_detect_http_duration_seconds`,
      'Time that protocol detection took',
      DETECT_BOUNDS_S,
      1e6,
      0,
      listeners,
      listenerLabels,
    ),
  ];
}
