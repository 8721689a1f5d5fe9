// Logs endpoints that go out and come back: one line each way for all workers together. Each worker has its own breaker, so an endpoint is
// out when the first worker takes it out, and back when the last one brings it back. Flapping endpoints are reported every few seconds, and
// the number of endpoints per second is limited.
import { HEALTH_SIGNAL_TEXTS } from '../balance/health-signals.js';
import type { Logger } from '../log/logger.js';
import type { HealthChange } from '../proxy/health-changes.js';

/** Interval between two lines about the same endpoint, ms. */
const MIN_INTERVAL_MS = 5000;
const keyOf = (service: string, address: string): string => `${service} ${address}`;
/** Maximum lines per second. */
const MAX_LINES_PER_SECOND = 20;
const SECOND_MS = 1000;

interface Endpoint {
  readonly service: string;
  readonly address: string;
  readonly workers: Set<number>;
  /** State according to the log, and since when, ms. */
  loggedOut: boolean;
  outAt: number;
  /** The last change to out, and how often there was one since the last line. */
  change: HealthChange | undefined;
  hidden: number;
}

export interface HealthLogOptions {
  readonly logger: Logger;
  /** Name of the service in a slot; undefined for services not in the configuration, which are not logged. */
  readonly service: (slot: number) => string | undefined;
  /** Clock, ms, and timer. */
  readonly now?: () => number;
  readonly later?: (run: () => void, ms: number) => void;
}

export class HealthLog {
  private readonly endpoints = new Map<string, Endpoint>();
  private readonly now: () => number;
  private readonly later: (run: () => void, ms: number) => void;
  private lines = 0;
  private left = 0;
  private second = Number.NEGATIVE_INFINITY;

  constructor(private readonly options: HealthLogOptions) {
    this.now = options.now ?? (() => performance.now());
    this.later = options.later ?? ((run, ms) => setTimeout(run, ms).unref());
  }

  /** Report of a worker. */
  changed(worker: number, changes: readonly HealthChange[]): void {
    for (const change of changes) {
      const service = this.options.service(change.service);
      if (service !== undefined) this.change(worker, service, change);
    }
  }

  /** A worker has died, and with it its breaker. */
  died(worker: number): void {
    for (const endpoint of [...this.endpoints.values()]) this.back(worker, endpoint, false);
  }

  private change(worker: number, service: string, change: HealthChange): void {
    const key = keyOf(service, change.endpoint);
    let endpoint = this.endpoints.get(key);
    if (!change.out) {
      if (endpoint !== undefined) this.back(worker, endpoint, change.removed);
      return;
    }
    if (endpoint === undefined) {
      const address = change.endpoint;
      endpoint = {
        service,
        address,
        workers: new Set(),
        loggedOut: false,
        outAt: Number.NEGATIVE_INFINITY,
        change,
        hidden: 0,
      };
      this.endpoints.set(key, endpoint);
    }
    endpoint.workers.add(worker);
    endpoint.change = change;
    if (endpoint.workers.size > 1) return;
    if (this.now() < endpoint.outAt + MIN_INTERVAL_MS) endpoint.hidden++;
    else if (!endpoint.loggedOut) this.logOut(endpoint, worker);
  }

  private back(worker: number, endpoint: Endpoint, removed: boolean): void {
    if (!endpoint.workers.delete(worker) || endpoint.workers.size > 0) return;
    if (endpoint.loggedOut) this.logBack(endpoint, removed);
    if (this.now() >= endpoint.outAt + MIN_INTERVAL_MS) this.forget(endpoint);
  }

  private logOut(endpoint: Endpoint, worker: number): void {
    const { service, address, change, hidden } = endpoint;
    endpoint.loggedOut = true;
    endpoint.outAt = this.now();
    endpoint.hidden = 0;
    this.later(() => this.settle(endpoint), MIN_INTERVAL_MS);
    if (!this.mayLog()) return;
    this.options.logger.warn('an endpoint is out: it is tried last, and probed', {
      service,
      endpoint: address,
      reason: HEALTH_SIGNAL_TEXTS[change?.signal ?? 0],
      failures: change?.failures ?? 0,
      worker,
      ...(hidden > 0 ? { again: hidden } : {}),
    });
  }

  private logBack(endpoint: Endpoint, removed: boolean): void {
    const { service, address, outAt } = endpoint;
    endpoint.loggedOut = false;
    if (!this.mayLog()) return;
    const outMs = Math.round(this.now() - outAt);
    this.options.logger.info(removed ? 'an endpoint that was out is removed' : 'an endpoint is back', {
      service,
      endpoint: address,
      outMs,
    });
  }

  /** Some time after an `out` line: reports what happened since, and drops what is over. */
  private settle(endpoint: Endpoint): void {
    const { workers, hidden } = endpoint;
    if (hidden > 0) {
      const [worker = 0] = workers;
      this.logOut(endpoint, worker);
      if (workers.size === 0) this.logBack(endpoint, false);
    } else if (workers.size === 0) this.forget(endpoint);
  }

  private forget({ service, address }: Endpoint): void {
    this.endpoints.delete(keyOf(service, address));
  }

  private mayLog(): boolean {
    const now = this.now();
    if (now >= this.second + SECOND_MS) {
      this.second = now;
      this.lines = 0;
    }
    if (this.lines < MAX_LINES_PER_SECOND) {
      this.lines++;
      return true;
    }
    if (this.left++ === 0) this.later(() => this.tellLeft(), SECOND_MS);
    return false;
  }

  private tellLeft(): void {
    this.options.logger.warn('more endpoints went out or came back than are logged', { lines: this.left });
    this.left = 0;
  }
}
