// Endpoints that go out and come back, in the log: one line each way for all workers together. Each worker has a breaker of its own, so an
// endpoint is out when the first has taken it out, and back when the last has it back. Who goes out and comes back all the time is told
// of every few seconds, and of no more endpoints a second than somebody could read.
import { SIGN_TEXTS } from '../balance/signs.js';
import type { Logger } from '../log/logger.js';
import type { HealthChange } from '../proxy/health-news.js';

/** Between two lines that an endpoint is out, ms. */
const AGAIN_MS = 5000;
const keyOf = (service: string, address: string): string => `${service} ${address}`;
/** Lines a second. */
const MOST = 20;
const SECOND_MS = 1000;

interface Endpoint {
  readonly service: string;
  readonly address: string;
  readonly workers: Set<number>;
  /** What the log says of it, and since when, ms. */
  loggedOut: boolean;
  outAt: number;
  /** The last time that it went out, with what, and how often since the log said so. */
  change: HealthChange | undefined;
  hidden: number;
}

export interface HealthLogOptions {
  readonly logger: Logger;
  /** Name of the service in a slot; undefined where nobody has configured it, which is not logged. */
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

  /** What a worker has to tell. */
  changed(worker: number, changes: readonly HealthChange[]): void {
    for (const change of changes) {
      const service = this.options.service(change.service);
      if (service !== undefined) this.change(worker, service, change);
    }
  }

  /** A worker has died: what it had taken out is not out there any more. */
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
    if (this.now() < endpoint.outAt + AGAIN_MS) endpoint.hidden++;
    else if (!endpoint.loggedOut) this.logOut(endpoint, worker);
  }

  private back(worker: number, endpoint: Endpoint, removed: boolean): void {
    if (!endpoint.workers.delete(worker) || endpoint.workers.size > 0) return;
    if (endpoint.loggedOut) this.logBack(endpoint, removed);
    if (this.now() >= endpoint.outAt + AGAIN_MS) this.forget(endpoint);
  }

  private logOut(endpoint: Endpoint, worker: number): void {
    const { service, address, change, hidden } = endpoint;
    endpoint.loggedOut = true;
    endpoint.outAt = this.now();
    endpoint.hidden = 0;
    this.later(() => this.settle(endpoint), AGAIN_MS);
    if (!this.mayLog()) return;
    this.options.logger.warn('an endpoint is out: it is tried last, and probed', {
      service,
      endpoint: address,
      reason: SIGN_TEXTS[change?.sign ?? 0],
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

  /** Some time after a line that an endpoint is out: what came since is told of, and what is over forgotten. */
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
    if (this.lines < MOST) {
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
