// Metrics of the identity service. It is one thread with little traffic, so prom-client counts here.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { REFUSAL_STATUS, type RefusalReason } from './refusal.js';
import type { ReviewResult } from './token-review.js';

const SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5];
const LOAD_RESULTS = ['ok', 'refused'] as const;
const REVIEW_RESULTS: readonly ReviewResult[] = ['authenticated', 'denied', 'unavailable'];

/** What gauges show at the time of a scrape. */
export interface Gauges {
  readonly concurrent: () => number;
  readonly connections: () => number;
  /** Ms since 1970. */
  readonly issuerEndsMs: () => number;
}

export class IssuingMetrics {
  readonly registry = new Registry();
  readonly #issued = this.#counter('sluice_identity_issued_total', 'Certificates issued');
  readonly #refused = this.#counter('sluice_identity_refused_total', 'Requests refused', ['reason']);
  readonly #connectionsRefused = this.#counter(
    'sluice_identity_connections_refused_total',
    'Connections refused because of a limit',
  );
  readonly #loads = this.#counter('sluice_identity_issuer_loads_total', 'Times the issuer was loaded', ['result']);
  readonly #reviews = this.#counter('sluice_identity_token_reviews_total', 'Tokens Kubernetes was asked about', [
    'result',
  ]);
  readonly #reviewSeconds = this.#histogram(
    'sluice_identity_token_review_seconds',
    'Time that Kubernetes took to answer',
  );
  readonly #seconds = this.#histogram(
    'sluice_identity_request_seconds',
    'Time that requests took, including refused ones',
  );

  constructor({ version }: { readonly version: string }) {
    for (const reason of Object.keys(REFUSAL_STATUS)) this.#refused.inc({ reason }, 0);
    for (const result of LOAD_RESULTS) this.#loads.inc({ result }, 0);
    for (const result of REVIEW_RESULTS) this.#reviews.inc({ result }, 0);
    const build = this.#gauge('sluice_build_info', 'The running version', ['version', 'node']);
    build.set({ version, node: process.versions.node }, 1);
    collectDefaultMetrics({ register: this.registry, eventLoopMonitoringPrecision: 500 });
  }

  watch({ concurrent, connections, issuerEndsMs }: Gauges): void {
    this.#live('sluice_identity_requests', 'Requests in progress', concurrent);
    this.#live('sluice_identity_connections', 'Connections of callers', connections);
    const name = 'sluice_identity_issuer_expiry_timestamp_seconds';
    this.#live(name, 'When the issuer in use expires, in Unix time', () => issuerEndsMs() / 1000);
  }

  connectionRefused(): void {
    this.#connectionsRefused.inc();
  }

  issued(): void {
    this.#issued.inc();
  }

  refused(reason: RefusalReason): void {
    this.#refused.inc({ reason });
  }

  loaded(result: (typeof LOAD_RESULTS)[number]): void {
    this.#loads.inc({ result });
  }

  reviewed(result: ReviewResult, ms: number): void {
    this.#reviews.inc({ result });
    this.#reviewSeconds.observe(ms / 1000);
  }

  duration(ms: number): void {
    this.#seconds.observe(ms / 1000);
  }

  #counter<Label extends string>(name: string, help: string, labelNames: Label[] = []): Counter<Label> {
    return new Counter({ name, help, labelNames, registers: [this.registry] });
  }

  #gauge<Label extends string>(name: string, help: string, labelNames: Label[] = []): Gauge<Label> {
    return new Gauge({ name, help, labelNames, registers: [this.registry] });
  }

  #histogram(name: string, help: string): Histogram {
    return new Histogram({ name, help, buckets: SECONDS, registers: [this.registry] });
  }

  #live(name: string, help: string, value: () => number): void {
    const registers = [this.registry];
    new Gauge({
      name,
      help,
      registers,
      collect: function collect() {
        this.set(value());
      },
    });
  }
}
