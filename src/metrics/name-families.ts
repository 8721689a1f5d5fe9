// DNS names of services.
import type { Family, Labels, Sample } from './family.js';
import type { MetricsSnapshot, NameCounts } from './reader.js';

/** One for each name of a service; during a reload it may be watched twice. */
function nameSamples(
  { names }: MetricsSnapshot,
  value: (counts: Readonly<NameCounts>) => number,
  join: (a: number, b: number) => number,
): Sample[] {
  const samples = new Map<string, { value: number; labels: Labels }>();
  for (const counts of names) {
    const { service, name } = counts;
    const key = `${service}\n${name}`;
    const before = samples.get(key)?.value ?? 0;
    samples.set(key, { value: join(before, value(counts)), labels: { service, name } });
  }
  return [...samples.values()];
}

export const NAME_FAMILIES: readonly Family[] = [
  {
    name: 'sluice_dns_failures_total',
    type: 'counter',
    help: 'Times that a name of a service could not be resolved',
    samples: (snapshot) =>
      nameSamples(
        snapshot,
        ({ failures }) => failures,
        (a, b) => a + b,
      ),
  },
  {
    name: 'sluice_dns_last_success_timestamp_seconds',
    type: 'gauge',
    help: 'When a name of a service last resolved, 0 if never',
    samples: (snapshot) => nameSamples(snapshot, ({ lastSuccess }) => lastSuccess, Math.max),
  },
];
