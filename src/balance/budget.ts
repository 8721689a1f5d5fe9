// Retry budget per service: a share of the requests of the last seconds, plus a minimum. It keeps retries from multiplying the load on a
// service that fails because of load.
import { column } from '../http/columns.js';

const BUCKETS = 10;
const BUCKET_MS = 1000;
/** How long a request pays for retries, ms. */
export const BUDGET_WINDOW_MS = BUCKETS * BUCKET_MS;

export class RetryBudget {
  readonly #ratio: Float64Array;
  readonly #floor: Float64Array;
  /** Requests and retries per second, and their sums over the window. */
  readonly #requests: Int32Array;
  readonly #retries: Int32Array;
  readonly #requestSum: Int32Array;
  readonly #retrySum: Int32Array;
  /** The second each service's window ends in. */
  readonly #second: Float64Array;

  constructor(maxServices: number) {
    this.#ratio = column(Float64Array, maxServices);
    this.#floor = column(Float64Array, maxServices);
    this.#requests = column(Int32Array, maxServices * BUCKETS);
    this.#retries = column(Int32Array, maxServices * BUCKETS);
    this.#requestSum = column(Int32Array, maxServices);
    this.#retrySum = column(Int32Array, maxServices);
    this.#second = column(Float64Array, maxServices);
  }

  /** `share` of requests (0.2 is one in five), and retries per second that are always allowed. Keeps the history. */
  configure(service: number, share: number, minPerSecond: number): void {
    this.#ratio[service] = share;
    this.#floor[service] = (minPerSecond * BUDGET_WINDOW_MS) / 1000;
  }

  /** A request (not a retry) was sent. `now` in ms. */
  deposit(service: number, now: number): void {
    this.#requests[this.#turn(service, now)]++;
    this.#requestSum[service]++;
  }

  /** Takes one retry out of the budget; false if it is used up. */
  tryWithdraw(service: number, now: number): boolean {
    const bucket = this.#turn(service, now);
    const allowed = this.#floor[service] + this.#ratio[service] * this.#requestSum[service];
    // Tolerance: 0.1 * 30 is slightly above 3, 0.7 * 10 slightly below 7.
    if (this.#retrySum[service] + 1 > allowed + 1e-9) return false;
    this.#retries[bucket]++;
    this.#retrySum[service]++;
    return true;
  }

  /** Drops the seconds that have left the window; returns the bucket of `now`. */
  #turn(service: number, now: number): number {
    const base = service * BUCKETS;
    const last = this.#second[service];
    const second = Math.floor(now / BUCKET_MS);
    // A clock that stops or goes back counts into the latest second.
    if (second <= last) return base + (last % BUCKETS);
    const gone = Math.min(second - last, BUCKETS);
    for (let i = 0; i < gone; i++) {
      const bucket = base + ((second - i) % BUCKETS);
      this.#requestSum[service] -= this.#requests[bucket];
      this.#retrySum[service] -= this.#retries[bucket];
      this.#requests[bucket] = 0;
      this.#retries[bucket] = 0;
    }
    this.#second[service] = second;
    return base + (second % BUCKETS);
  }
}
