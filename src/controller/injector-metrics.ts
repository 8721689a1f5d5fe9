// What the injector counts.
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Outcome } from '../inject/admission.js';
import { BUNDLE_RESULTS, type BundleResult } from './ca-bundle.js';
import { EVENT_RESULTS, type EventResult } from './events.js';
import { WEBHOOK_REFUSALS, type WebhookRefusal } from './webhook.js';

const SECONDS = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5];

export class InjectorMetrics {
  readonly #reviews: Counter<'kind' | 'result' | 'reason'>;
  readonly #problems: Counter<'severity'>;
  readonly #refused: Counter<'reason'>;
  readonly #bundles: Counter<'result'>;
  readonly #events: Counter<'result'>;
  readonly #seconds: Histogram;

  constructor(private readonly registry: Registry) {
    this.#reviews = this.#counter('sluice_injector_reviews_total', 'Objects sent for review by API servers', [
      'kind',
      'result',
      'reason',
    ]);
    this.#problems = this.#counter('sluice_injector_problems_total', 'Annotations ignored', ['severity']);
    this.#refused = this.#counter('sluice_injector_refused_total', 'Calls that got no review', ['reason']);
    this.#bundles = this.#counter(
      'sluice_injector_ca_bundle_total',
      'Times the caBundle was written, or could not be checked',
      ['result'],
    );
    this.#events = this.#counter('sluice_injector_events_total', 'Events on objects', ['result']);
    const name = 'sluice_injector_review_seconds';
    const help = 'Time of reviews, from the end of the call to the answer';
    this.#seconds = new Histogram({ name, help, buckets: SECONDS, registers: [registry] });
    for (const reason of WEBHOOK_REFUSALS) this.#refused.inc({ reason }, 0);
    for (const result of BUNDLE_RESULTS) this.#bundles.inc({ result }, 0);
    for (const result of EVENT_RESULTS) this.#events.inc({ result }, 0);
    for (const severity of ['warning', 'note']) this.#problems.inc({ severity }, 0);
  }

  watch(connections: () => number): void {
    new Gauge({
      name: 'sluice_injector_connections',
      help: 'Connections of API servers',
      registers: [this.registry],
      collect: function collect() {
        this.set(connections());
      },
    });
  }

  reviewed({ kind, result, reason, problems }: Outcome, ms: number): void {
    this.#reviews.inc({ kind, result, reason: reason ?? '' });
    for (const { severity } of problems) this.#problems.inc({ severity });
    this.#seconds.observe(ms / 1000);
  }

  refused(reason: WebhookRefusal): void {
    this.#refused.inc({ reason });
  }

  bundle(result: BundleResult): void {
    this.#bundles.inc({ result });
  }

  event(result: EventResult): void {
    this.#events.inc({ result });
  }

  #counter<Label extends string>(name: string, help: string, labelNames: Label[]): Counter<Label> {
    return new Counter({ name, help, labelNames, registers: [this.registry] });
  }
}
