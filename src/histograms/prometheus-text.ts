// Histograms in Prometheus' text format with classic buckets, for a textfile collector or a push gateway. Names are the same as on /metrics,
// if they exist there.
import { LATENCY_BOUNDS_S, STREAM_BOUNDS } from '../metrics/bounds.js';
import { bucketsIn, type NamedRecording } from './recording.js';
import { isTime, secondsOf } from './units.js';

/** For example `sluice_service_response_latency_seconds` for a service's `response_latency_us`. */
export function metricName({ kind, name, unit }: NamedRecording): string {
  const base = (name === '' ? 'recorded' : name).replace(/_(us|ms|ns|s)$/, '').replace(/[^a-zA-Z0-9_]/g, '_');
  return ['sluice', kind, base, isTime(unit) ? 'seconds' : ''].filter((part) => part !== '').join('_');
}

/** The labels that distinguish histograms of one name. */
export const metricLabels = ({ id, labels }: NamedRecording): Readonly<Record<string, string>> =>
  Object.keys(labels).length > 0 ? labels : id === '' ? {} : { id };

const escaped = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');

export function prometheusText(histograms: readonly NamedRecording[]): string {
  const byName = new Map<string, NamedRecording[]>();
  for (const recorded of histograms) {
    const name = metricName(recorded);
    byName.set(name, [...(byName.get(name) ?? []), recorded]);
  }
  return [...byName]
    .map(
      ([name, all]) =>
        `# HELP ${name} ${help(all[0])}\n# TYPE ${name} histogram\n${all.map((one) => series(name, one)).join('')}`,
    )
    .join('');
}

/** For example `response latency of a service, in seconds`. */
function help({ kind, name, unit }: NamedRecording): string {
  const what = name === '' ? 'recorded values' : name.replace(/_(us|ms|ns|s)$/, '').replaceAll('_', ' ');
  return `${what}${kind === '' ? '' : ` of a ${kind}`}${isTime(unit) ? ', in seconds' : ''}`;
}

function series(name: string, recorded: NamedRecording): string {
  const { histogram, unit, sum } = recorded;
  const labels = Object.entries(metricLabels(recorded)).map(([key, value]) => `${key}="${escaped(value)}"`);
  const own = labels.length === 0 ? '' : `{${labels.join(',')}}`;
  const per = isTime(unit) ? 1 / secondsOf(unit) : 1;
  const buckets = bucketsIn(histogram);
  let at = 0;
  let count = 0;
  const lines = (isTime(unit) ? LATENCY_BOUNDS_S : STREAM_BOUNDS).map((bound) => {
    // Values in the bucket that contains the bound count as below it, as on /metrics.
    for (; at < buckets.length && buckets[at].lowest <= Math.round(bound * per); at++) count += buckets[at].count;
    return `${name}_bucket{${[...labels, `le="${bound}"`].join(',')}} ${count}\n`;
  });
  const total = histogram.totalCount;
  lines.push(`${name}_bucket{${[...labels, 'le="+Inf"'].join(',')}} ${total}\n`);
  lines.push(`${name}_sum${own} ${sum / per}\n`, `${name}_count${own} ${total}\n`);
  return lines.join('');
}
