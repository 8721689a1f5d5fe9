// Metric series of authorization rules: one for each rule of each listener, and for its default.
import type { Config } from '../config/model.js';
import type { MetricsReader } from '../metrics/reader.js';
import { ruleNames } from './snapshots.js';

const keyOf = (listener: string, rule: string): string => `${listener}|${rule}`;

const keysOf = ({ listeners }: Config): Set<string> =>
  new Set(
    listeners.flatMap(({ name, authorization }) =>
      authorization === null ? [] : ruleNames(authorization).map((rule) => keyOf(name, rule)),
    ),
  );

export class RuleSeries {
  constructor(private readonly reader: Pick<MetricsReader, 'rules' | 'setRule'>) {}

  of(listener: string, rule: string): number {
    const slot = this.reader.rules.acquire(keyOf(listener, rule));
    this.reader.setRule(slot, { listener, rule });
    return slot;
  }

  /** Workers have a new configuration: removed rules are no longer counted. */
  configured(before: Config, after: Config): void {
    const kept = keysOf(after);
    for (const key of keysOf(before)) if (!kept.has(key)) this.reader.rules.release(key);
  }
}
