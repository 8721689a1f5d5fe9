// Converts recordings, from a proxy or from files, to OTLP metrics.
import { bucketsIn, type NamedRecording, type Recording } from '../histograms/recording.js';
import { encodeMetrics, type OtlpHistogram, type OtlpMetric, type OtlpResource, otlpName } from './metrics.js';

/** `delta`: the recording is an interval; otherwise it is cumulative. */
export function otlpMetrics(recording: Recording, resource: OtlpResource, delta: boolean): Buffer {
  const byName = new Map<string, NamedRecording[]>();
  for (const recorded of recording.histograms) {
    const name = otlpName(recorded.kind, recorded.name);
    byName.set(name, [...(byName.get(name) ?? []), recorded]);
  }
  const metrics = [...byName].map(
    ([name, all]): OtlpMetric => ({
      name,
      description: all[0].name,
      unit: all[0].unit,
      kind: 'histogram',
      points: all.map(point),
    }),
  );
  return encodeMetrics(metrics, { ...recording, delta }, resource);
}

const point = ({ histogram, labels, id, sum }: NamedRecording): OtlpHistogram => ({
  labels: Object.keys(labels).length > 0 || id === '' ? labels : { id },
  count: histogram.totalCount,
  sum,
  buckets: bucketsIn(histogram),
  digits: histogram.numberOfSignificantValueDigits,
});
